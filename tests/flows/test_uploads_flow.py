"""Upload → pages within seconds → after a restart → in a refreshed release that takes over → rolled back; removals for good."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from app.main import create_app
from cli.main import app
from core import moves, release
from core.errors import BadInput
from core.ids import to_id
from retrieval.encoder import VideoEncoder
from serving.releases import load_release
from tests.flows.conftest import TestClient, services_of

ADMIN = {"authorization": "Bearer open sesame"}
MINE = "my video"


@pytest.fixture
def enter(own_space, patient_store):
    """A function that opens the site with an admin token, and asks."""

    def opened(ask):
        with services_of(own_space) as services:
            settings = replace(services.settings, admin_token="open sesame")
            with TestClient(create_app(replace(services, settings=settings))) as client:
                return ask(client, services)

    return opened


@pytest.fixture
def refreshed(own_var, tmp_path, monkeypatch):
    """`upnext refresh` as a person types it: the JSON that it wrote."""
    monkeypatch.setenv("UPNEXT_VAR", str(own_var))

    def run(*arguments):
        result = CliRunner().invoke(app, ["refresh", *arguments, "--by", "ann", "--json", str(tmp_path / "out.json")])
        if result.exception is not None:
            raise result.exception
        return json.loads((tmp_path / "out.json").read_text())

    return run


def shown(client, services, viewers=200):
    """How often each video is on the long pages of some viewers."""
    ids = services.releases.live.viewers.frame["external_id"][:viewers].to_list()
    asked = [{"viewer_id": viewer, "k": 100, "preview": True} for viewer in ids]
    return Counter(video["video_id"] for a in asked for video in client.get("/recommend", params=a).json()["videos"])


def like_another(services, model, **more):
    """A new video that says of itself what a known one does."""
    row = services.releases.live.find(model)[0]
    known = services.releases.live.catalogue.frame.row(int(row), named=True)
    said = {name: known[name] for name in ("title", "channel", "category", "language", "duration_s", "content")}
    return said | {"video_id": MINE, "channel_id": str(known["channel_id"])} | more


def post(client, *videos):
    return client.post("/videos?wait=true", json={"videos": videos}, headers=ADMIN).json()


def uploads_and_removals(client, services):
    """What is on pages at once; returns a video that is on many, and one that was taken down."""
    (model, _), (victim, _) = shown(client, services).most_common(2)
    bad = {"wide": {"content": [1.0]}, "odd": {"size": 3}, model: {}}
    refused = [like_another(services, model, video_id=name, **more) for name, more in bad.items()]
    receipt = post(client, like_another(services, model), *refused)
    assert (receipt["accepted"], receipt["applied"]) == ([f"upload/{to_id(MINE)}"], True)
    assert [each["index"] for each in receipt["rejected"]] == [1, 2, 3]
    assert client.get(f"/videos/{MINE}").json()["video_id"] == MINE
    assert MINE in shown(client, services)
    assert client.delete(f"/videos/{victim}?wait=true", headers=ADMIN).json()["applied"]
    return model, victim


def assert_gone(client, services, victim):
    known = services.releases.live.catalogue.frame
    assert victim not in shown(client, services)
    assert client.get(f"/videos/{victim}").status_code == 404
    assert client.get(f"/watch/{victim}").status_code == 404
    for title in known.filter(external_id=victim)["title"]:
        found = client.get("/search", params={"q": title, "k": 100}).json()["videos"]
        assert victim not in {video["video_id"] for video in found}
    again = post(client, {"video_id": victim})
    assert "was taken down" in again["rejected"][0]["reason"]


def assert_tables_add_up(said, num_videos):
    found = {table["name"]: table for table in said["tables"]}
    vectors = found["video vectors"]
    assert (vectors["rows"], vectors["bytes"]) == (num_videos, num_videos * vectors["dim"] * 4)
    assert found["towers: raw video vectors"]["rows"] == num_videos - 1
    assert (said["uploads"], said["removed"]) == (1, 1)
    assert (said["index"]["vectors"], said["index"]["beside"]) == (num_videos, 1)
    assert [made["refresh_of"] for made in said["releases"]] == [said["warm"], None]
    assert said["guard"]["before"] == said["warm"]


def test_uploads_and_removals_hold_at_once_after_a_restart_a_refresh_and_a_rollback(enter, own_space, refreshed):
    first_id = release.resolve(own_space.releases, "live")

    def before(client, services):
        model, victim = uploads_and_removals(client, services)
        assert_gone(client, services, victim)
        return model, victim

    model, victim = enter(before)
    made = refreshed()
    assert (made["uploads"], made["removals"], made["to"]) == (1, 1, "live")
    release.point(own_space.releases, "live", first_id)

    def after(client, services):
        assert services.releases.live.release_id == first_id
        assert MINE in shown(client, services)  # replayed from the log
        assert_gone(client, services, victim)
        assert client.post("/admin/reload", headers=ADMIN).json()["release_id"] == first_id
        release.point(own_space.releases, "live", made["release_id"])
        assert client.post("/admin/reload", headers=ADMIN).json()["release_id"] == made["release_id"]
        assert MINE in shown(client, services)
        assert_gone(client, services, victim)
        tables = client.get("/ops/tables/summary").json()
        assert (tables["live"], tables["warm"]) == (made["release_id"], first_id)
        assert post(client, like_another(services, model, video_id="another"))["applied"]  # both hear of it
        assert_tables_add_up(client.get("/ops/tables/summary").json(), len(services.releases.live.catalogue))
        assert client.post("/admin/rollback", headers=ADMIN).json()["release_id"] == first_id
        assert {MINE, "another"} <= shown(client, services).keys()
        assert_gone(client, services, victim)

    enter(after)
    assert [(made.who, made.after) for made in moves.read(own_space.path)][-2:] == [
        ("ann", made["release_id"]), ("the service", first_id),
    ]  # fmt: skip


def test_a_refreshed_release_is_the_same_models_over_the_longer_log(enter, own_space, refreshed):
    def visit(client, services):
        model, victim = uploads_and_removals(client, services)
        events = [{"kind": "click", "viewer_id": str(viewer), "video_id": MINE} for viewer in range(5)]
        assert client.post("/events?wait=true", json={"events": events}).json()["applied"]
        return model, victim

    model, victim = enter(visit)
    old = load_release(own_space.releases, release.resolve(own_space.releases, "live"))
    made = refreshed()
    new = load_release(own_space.releases, made["release_id"], verify=True)
    assert made["agreement"]["nearest"] > 0.5
    assert len(new.catalogue) == len(old.catalogue) == made["videos"]
    assert (new.catalogue.rows([to_id(victim)])[0], new.removed_ids.tolist()) == (-1, [to_id(victim)])
    mine = new.catalogue.rows([to_id(MINE)])
    twin = new.catalogue.rows([to_id(model)])
    assert np.array_equal(new.catalogue.codes[mine], new.catalogue.codes[twin])
    tower = VideoEncoder.load(new.path)
    told = tower.encode(new.catalogue.content[mine], new.catalogue.codes[mine], new.catalogue.uploaded_at[mine], new.end_at)
    assert np.allclose(new.video_VD[mine], told, atol=1e-5)
    assert new.scorer.videos.shape == old.scorer.videos.shape
    assert new.video_state.counts[:, mine].max() == 5
    common = np.setdiff1d(old.catalogue.video_ids, [to_id(victim)])
    same = [found.scorer.videos.take(found.catalogue.rows(common)) for found in (old, new)]
    assert np.array_equal(*same)
    assert refreshed()["to"] is None  # nothing has happened since
    with pytest.raises(BadInput, match="live or candidate"):
        refreshed("--to", "canary")
