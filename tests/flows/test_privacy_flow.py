"""A viewer is forgotten: in the log, in the store, after a restart, and for the next training run."""

from dataclasses import replace

import pytest

from app.main import create_app
from core import columns as c
from core.ids import to_id
from data import tombstones
from tests.flows.conftest import TestClient, services_of

ADMIN = {"authorization": "Bearer open sesame"}


@pytest.fixture
def enter(own_space, patient_store):
    """A function that opens the site, with an admin token."""

    def opened(ask):
        with services_of(own_space) as services:
            settings = replace(services.settings, admin_token="open sesame")
            with TestClient(create_app(replace(services, settings=settings))) as client:
                return ask(client, services)

    return opened


def test_a_viewer_of_the_release_is_forgotten_for_good(enter, own_space):
    (own_space.path / "experiments.toml").write_text("record = 1.0\n")

    def first(client, services):
        viewer = services.releases.live.viewers.frame[c.EXTERNAL_ID][0]
        page = client.get("/recommend", params={"viewer_id": viewer}).json()
        click = {"kind": "click", "viewer_id": viewer, "video_id": page["videos"][0]["video_id"], "event_id": "mine"}
        client.post("/events?wait=true", json={"events": [click]})
        held = client.get(f"/viewers/{viewer}/data", headers=ADMIN).json()
        assert held["profile"]["external_id"] == viewer
        assert len(held["features"]["clicks"]) >= 1
        assert services.impressions.flush(5)
        (record,) = client.get(f"/viewers/{viewer}/data", headers=ADMIN).json()["records"]
        assert record["shown"] == [to_id(video["video_id"]) for video in page["videos"]]
        assert record["replayed"]
        gone = client.delete(f"/viewers/{viewer}", headers=ADMIN).json()
        assert gone["events"] >= 11
        assert gone["features"]
        assert gone["records"] == 1
        after = client.get(f"/viewers/{viewer}/data", headers=ADMIN).json()
        assert (after["events"], after["features"], after["records"]) == ([], {}, [])
        assert client.delete(f"/viewers/{viewer}", headers=ADMIN).json()["forgotten_at"] == gone["forgotten_at"]
        return viewer, gone["forgotten_at"]

    viewer, at = enter(first)
    assert tombstones.read(own_space.path).forgotten_at == {to_id(viewer): at}

    def again(client, services):
        after = client.get(f"/viewers/{viewer}/data", headers=ADMIN).json()
        assert (after["events"], after["features"]) == ([], {})
        assert len(client.get("/recommend", params={"viewer_id": viewer}).json()["videos"]) == 10

    enter(again)
