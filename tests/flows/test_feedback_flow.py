"""Click → event log → features of the next page → after a restart → in the next release."""

import json
from collections import Counter

import numpy as np
import polars as pl
import pytest

from core import columns as c
from core.ids import to_id
from core.policy import Request
from data import versioning
from pipelines import presets
from pipelines.progress import Stages
from pipelines.run import run
from serving.releases import LINEAGE

NEWCOMER = "a newcomer"
OUTCOMES = {"click": None, "watch": 61.0, "like": None}


def page(client, viewer, k=100):
    answer = client.get("/recommend", params={"viewer_id": viewer, "k": k}).json()
    return answer["request_id"], [video["video_id"] for video in answer["videos"]]


def send(client, *events):
    receipt = client.post("/events", params={"wait": True}, json={"events": events}).json()
    assert receipt["applied"], receipt
    assert not receipt["rejected"]


def features(services, viewer):
    """What the ranker sees of a viewer at this moment."""
    request = Request("question", to_id(viewer), services.clock.now())
    return services.releases.live.recommender.recommend([request], explain=True)[0].explanation["viewer"]


def logged(services):
    return pl.DataFrame(pl.from_arrow(services.event_log.read()[0]))


def assert_remembered(client, services, video):
    """Once, whatever happened in between."""
    found = features(services, NEWCOMER)
    once = pytest.approx(np.log1p(1))
    assert (found["viewer_clicks_7d"], found["viewer_likes_30d"]) == (once, once)
    assert found["viewer_watch_mean_30d"] == pytest.approx(np.log1p(61.0))
    shown = page(client, NEWCOMER)[1]
    assert len(shown) == 100
    assert video not in shown


@pytest.fixture
def liked(own_space, open_site):
    """What a newcomer, shown a page, watched and liked; the service has stopped since."""
    with open_site(own_space) as (client, services):
        request_id, shown = page(client, NEWCOMER)
        assert features(services, NEWCOMER)["viewer_clicks_7d"] == 0
        about = {"viewer_id": NEWCOMER, "video_id": shown[0], "request_id": request_id, "position": 0}
        send(client, *({"kind": kind, "value": value, **about} for kind, value in OUTCOMES.items()))
        assert_remembered(client, services, shown[0])
    return shown[0]


def test_events_survive_a_restart_and_count_once(own_space, open_site, liked):
    with open_site(own_space) as (client, services):
        assert_remembered(client, services, liked)
        kinds = logged(services)[c.KIND].to_list()
        assert [kinds.count(kind) for kind in (*OUTCOMES, "impression")] == [1, 1, 1, 200]


def test_sending_an_event_again_changes_nothing(own_space, open_site):
    click = {"kind": "click", "viewer_id": NEWCOMER, "event_id": "mine"}
    with open_site(own_space) as (client, services):
        click["video_id"] = page(client, NEWCOMER)[1][0]
        for _ in range(2):
            send(client, click)
        assert features(services, NEWCOMER)["viewer_clicks_7d"] == pytest.approx(np.log1p(1))


def test_clicks_bring_more_of_their_kind(own_space, open_site):
    with open_site(own_space) as (client, services):

        def shown():
            answer = client.get("/recommend", params={"viewer_id": NEWCOMER, "k": 30, "preview": True}).json()
            return Counter(video["category"] for video in answer["videos"])

        before = shown()
        common = [category["name"] for category in services.releases.live.cards.categories(8)]
        rare = min(common, key=lambda name: before[name])
        videos = client.get("/browse", params={"category": rare, "k": 6}).json()["videos"]
        send(client, *({"kind": "click", "viewer_id": NEWCOMER, "video_id": video["video_id"]} for video in videos))
        assert shown()[rare] > before[rare]


def test_the_next_training_run_learns_from_what_was_logged(trained, own_var, own_space, open_site, liked):
    again = run("world", None, None, presets.tiny(), own_var, Stages())
    assert again.release_id != trained[1].release_id
    snapshot = versioning.list_snapshots(own_space.snapshots)[-1]
    events = versioning.open_snapshot(own_space.snapshots, snapshot.snapshot_id, verify=True).events
    mine = events.filter((pl.col(c.VIEWER_ID) == to_id(NEWCOMER)) & (pl.col(c.KIND) != "impression"))
    assert sorted(mine[c.KIND]) == sorted(OUTCOMES)
    assert mine[c.VIDEO_ID].unique().to_list() == [to_id(liked)]
    lineage = json.loads((own_space.releases / again.release_id / LINEAGE).read_text())
    with open_site(own_space) as (client, services):
        assert lineage["log_offset"] == services.event_log.read()[1]
        assert services.releases.live.release_id == again.release_id
        assert_remembered(client, services, liked)
