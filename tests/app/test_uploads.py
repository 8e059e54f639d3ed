import json

import pytest

from core import columns as c
from core.ids import to_id
from tests.app.conftest import NOW

ADMIN = {"authorization": "Bearer open sesame"}
CHESS = {"video_id": "mine", "title": "Chess for all", "category": "Chess", "channel_id": "7", "uploaded_at": NOW + 5}


def post(client, *videos, headers=ADMIN):
    return client.post("/videos", json={"videos": videos}, headers=headers)


def test_an_upload_is_an_event_that_says_what_is_known(client, site):
    answer = post(client, CHESS, CHESS | {"video_id": "5"}, {"video_id": "other", "duration_s": -1})
    assert answer.status_code == 200
    assert answer.json()["accepted"] == [f"upload/{to_id('mine')}"]
    refused = answer.json()["rejected"]
    assert [(each["index"], each["reason"].split()[0]) for each in refused] == [
        (1, "there"),
        (2, "duration_s:"),
    ]
    (row,) = site.event_log.rows
    said = {name: row[name] for name in (c.KIND, c.VIDEO_ID, c.VIEWER_ID, c.EVENT_AT, c.RECEIVED_AT)}
    assert list(said.values()) == ["upload", to_id("mine"), 7, NOW, NOW]
    assert json.loads(row[c.DETAIL]) == {
        "category": "Chess", "channel_id": 7, "external_id": "mine", "title": "Chess for all", "uploaded_at": NOW,
    }  # fmt: skip
    post(client, CHESS)
    assert len(site.event_log.rows) == 1


def test_a_removal_is_an_event_of_the_videos_channel(client, site):
    assert client.delete("/videos/5", headers=ADMIN).json()["accepted"] == ["remove/5"]
    channel = site.releases.live.catalogue.frame[c.CHANNEL_ID][4]
    assert [(row[c.KIND], row[c.VIDEO_ID], row[c.VIEWER_ID]) for row in site.event_log.rows] == [("remove", 5, channel)]
    assert client.delete("/videos/unheard of", headers=ADMIN).status_code == 404


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}])
def test_changing_the_catalogue_needs_the_token(client, site, headers):
    assert post(client, CHESS, headers=headers).status_code == 401
    assert client.delete("/videos/5", headers=headers).status_code == 401
    assert site.event_log.rows == []


def test_what_is_no_batch_of_videos_is_refused(client):
    assert client.post("/videos", content="video=1", headers=ADMIN).status_code == 415
    assert client.post("/videos", json={"events": []}, headers=ADMIN).status_code == 422
    assert post(client, {"title": "nameless"}).json()["rejected"][0]["reason"].startswith("video_id")
