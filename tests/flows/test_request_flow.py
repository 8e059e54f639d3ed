"""HTTP request → page → impressions in the log, over a trained release and a real store."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest

from app.schemas import Found, SlateOut
from core import columns as c
from core import events as ev
from core.ids import to_id

SCORES = {"affinity", "relevance", "click", "watch", "utility"}


@pytest.fixture
def site(own_space, open_site):
    with open_site(own_space) as (client, services):
        yield client, services


def logged(services, kind=ev.IMPRESSION) -> pl.DataFrame:
    assert services.impressions.flush(5)
    frame = pl.DataFrame(pl.from_arrow(services.event_log.read()[0]))
    return frame.filter(pl.col(c.KIND) == kind)


def test_a_page_explains_itself_and_reaches_the_log(site, trained):
    client, services = site
    viewer = services.releases.live.viewers.frame[c.EXTERNAL_ID][0]
    answer = client.get("/recommend", params={"viewer_id": viewer, "k": 12, "explain": True})
    page = SlateOut.model_validate(answer.json())
    assert page.release == trained[1].release_id
    assert not page.degraded, page.reasons
    assert len({video.video_id for video in page.videos}) == 12
    for video in page.videos:
        assert 0 < video.explain.propensity <= 1
        assert set(video.explain.scores) >= SCORES
        assert np.isfinite(list(video.explain.scores.values())).all()
        assert "video_clicks_7d" in video.explain.features
        assert video.explain.why
        assert video.explain.source in {"two_tower", "cowatch", "trending", "fresh"}
    assert {"viewer_features", "sources", "ranker", "explorer"} <= set(page.stage_ms)

    shown = logged(services).sort(c.POSITION)
    assert shown[c.VIDEO_ID].to_list() == [to_id(video.video_id) for video in page.videos]
    assert shown[c.PROPENSITY].to_list() == pytest.approx([video.explain.propensity for video in page.videos])
    assert shown[c.REQUEST_ID].unique().to_list() == [page.request_id]
    assert shown[c.RELEASE_ID].unique().to_list() == [page.release]
    assert shown[c.FEATURE_HASH].null_count() == 0


def test_pages_differ_by_viewer_and_repeat_for_the_same_one(site):
    client, services = site

    def videos(viewer):
        answer = client.get("/recommend", params={"viewer_id": viewer, "k": 20, "preview": True}).json()
        return {video["video_id"] for video in answer["videos"]}

    viewers = services.releases.live.viewers.frame[c.EXTERNAL_ID].head(12).to_list()
    pages, again = [videos(viewer) for viewer in viewers], [videos(viewer) for viewer in viewers]
    same = np.mean([len(one & other) for one, other in zip(pages, again, strict=True)])
    between = np.mean([len(one & other) for one, other in combinations(pages, 2)])
    assert same > 17, "exploration replaces one video in twenty"
    assert between < 14
    assert not len(logged(services))


def test_up_next_leaves_out_the_video_and_logs_its_surface(site):
    client, services = site
    video = str(services.releases.live.catalogue.frame[c.EXTERNAL_ID][5])
    page = SlateOut.model_validate(client.get(f"/upnext/{video}", params={"k": 10, "explain": True}).json())
    assert len(page.videos) == 10
    assert video not in {shown.video_id for shown in page.videos}
    assert all(0 < shown.explain.propensity <= 1 for shown in page.videos)
    assert logged(services)[c.SURFACE].unique().to_list() == ["up_next"]


def test_an_unknown_viewer_gets_a_page_that_says_so(site):
    client, _ = site
    page = SlateOut.model_validate(client.get("/recommend", params={"viewer_id": "nobody knows"}).json())
    assert len(page.videos) == 10
    assert any("viewer" in reason for reason in page.reasons)


def test_search_finds_a_video_by_its_title(site):
    client, services = site
    frame = services.releases.live.catalogue.frame
    title, video = frame[c.TITLE][3], str(frame[c.EXTERNAL_ID][3])
    found = Found.model_validate(client.get("/search", params={"q": title, "k": 100}).json())
    assert video in {shown.video_id for shown in found.videos}


def test_operations_say_what_serves(site, trained):
    client, _ = site
    client.get("/recommend")
    assert client.get("/readyz").json()["ready"]
    summary = client.get("/ops/summary").json()
    assert summary["release"]["release_id"] == trained[1].release_id
    assert summary["num_pages"] == 1
    assert "upnext_stage_seconds" in client.get("/metrics").text
