import json
from dataclasses import replace

import numpy as np

from app.answers import Json, server_timing, slate_json
from core.policy import Request


def test_numbers_that_json_lacks_become_null():
    assert json.loads(Json({"a": float("nan"), "b": float("inf"), "c": np.float32(0.5)}).body) == {
        "a": None,
        "b": None,
        "c": 0.5,
    }


def test_a_video_that_left_the_catalogue_is_left_out_and_positions_stay(site):
    live = site.releases.live
    request = Request("r", 1, site.clock.now(), k=3)
    slate = live.recommender.recommend([request])[0]
    gone = replace(slate, video_ids=np.array([slate.video_ids[0], -7, slate.video_ids[2]]))
    videos = slate_json(live, request, gone, "1", explain=True)["videos"]
    assert [video["position"] for video in videos] == [0, 2]
    assert [video["explain"]["scores"]["click"] for video in videos] == [float(slate.scores["click"][i]) for i in (0, 2)]


def test_a_slate_that_explains_nothing_still_has_its_facts(site):
    live = site.releases.live
    request = Request("r", 1, site.clock.now(), k=2)
    bare = replace(live.recommender.recommend([request])[0], explanation={}, release_id="", stage_ms={})
    answer = slate_json(live, request, bare, "1", explain=True)
    assert answer["release"] == live.release_id
    assert answer["videos"][1]["explain"]["why"] == ""
    assert answer["videos"][1]["explain"]["source"] == "cowatch"
    assert server_timing(bare) == ""
