import dataclasses
from itertools import count

import pytest

from app.privacy import PageRecords
from app.schemas import Deleted, ViewerData
from app.scoreboard import Scoreboard
from core.errors import LogUnavailable, StoreUnavailable
from core.ids import to_id
from core.policy import Request
from serving import fakes as stand_ins
from serving import met
from serving.counterfactual import FOLDER, Recorder, Subjects, Writer
from serving.recommender import Recommender
from serving.witness import Notebook

ADMIN = {"authorization": "Bearer open sesame"}
EVENTS = [{"kind": kind, "viewer_id": viewer, "video_id": "5"} for viewer in ("3", "4") for kind in ("click", "like")]


@pytest.fixture
def marked(site):
    """A site that remembers whom it was told to forget: viewer id → when first."""
    marks, now = {}, count(1)
    return dataclasses.replace(site, mark_forgotten=lambda viewer_id: marks.setdefault(viewer_id, next(now))), marks


def test_an_export_holds_what_is_known_and_nobody_elses(client, site):
    client.post("/events", json={"events": EVENTS})
    answer = client.get("/viewers/3/data", headers=ADMIN)
    held = ViewerData.model_validate(answer.json())
    assert [(event["kind"], event["viewer_id"], event["video_id"]) for event in held.events] == [
        ("click", 3, 5),
        ("like", 3, 5),
    ]
    row = site.releases.live.viewers.frame.filter(viewer_id=3).to_dicts()[0]
    assert held.profile == {name: row[name] for name in held.profile}
    assert held.profile["external_id"] == "3"
    assert held.features == {}


def test_an_unknown_viewer_is_nothing_and_no_error(client):
    held = client.get("/viewers/never came/data", headers=ADMIN).json()
    assert held == {"viewer_id": "never came", "profile": None, "events": [], "features": {}, "records": []}
    gone = Deleted.model_validate(client.delete("/viewers/never came", headers=ADMIN).json())
    assert (gone.events, gone.features, gone.records) == (0, False, 0)


def test_deleting_removes_the_viewer_and_nobody_else_and_twice_is_once(make_client, marked):
    services, marks = marked
    with make_client(services) as client:
        client.post("/events", json={"events": EVENTS})
        first = Deleted.model_validate(client.delete("/viewers/3", headers=ADMIN).json())
        again = Deleted.model_validate(client.delete("/viewers/3", headers=ADMIN).json())
        assert client.get("/viewers/3/data", headers=ADMIN).json()["events"] == []
        assert len(client.get("/viewers/4/data", headers=ADMIN).json()["events"]) == 2
    assert (first.events, again.events) == (2, 0)
    assert first.forgotten_at == again.forgotten_at == 1
    assert marks == {to_id("3"): 1}
    assert any("upnext data compact" in place for place in first.stays_in)


@pytest.mark.parametrize("broken", ["log", "follower", "impressions"])
def test_a_part_that_does_not_answer_is_said_and_deleting_again_works(make_client, marked, monkeypatch, broken):
    services, marks = marked

    def down(*arguments):
        raise {"log": LogUnavailable, "follower": StoreUnavailable}[broken]("down")

    with make_client(services) as client:
        client.post("/events", json={"events": EVENTS})
        with monkeypatch.context() as patch:
            if broken == "impressions":
                patch.setattr(services.impressions, "flush", lambda timeout_s: False)
            else:
                patch.setattr(services.event_log if broken == "log" else services.follower, "forget", down)
            answer = client.delete("/viewers/3", headers=ADMIN)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert client.delete("/viewers/3", headers=ADMIN).status_code == 200
        assert client.get("/viewers/3/data", headers=ADMIN).json()["events"] == []
    assert marks == {3: 1}


def test_records_of_pages_go_with_the_viewer(make_client, marked, tmp_path):
    services, _ = marked
    writer, live, notes = Writer(tmp_path / FOLDER), Recommender(stand_ins.parts()), Notebook()
    board = Scoreboard(services.event_log, lambda: None, None)

    def keep(row):
        writer.add(row)
        board.remember(row)

    recorder = Recorder(lambda: Subjects(lambda request: live, stand_ins.viewers(), live, notes), keep)
    requests = [Request(f"r{viewer}", viewer, stand_ins.NOW, k=4) for viewer in (3, 4)]
    for request, slate in zip(requests, notes.over(live).recommend(requests), strict=True):
        recorder(request, slate)
    met._save(tmp_path, met.Met({("e", 3): "bold", ("e", 4): "bold"}, 1))
    with make_client(dataclasses.replace(services, records=PageRecords(tmp_path, writer, board))) as client:
        held = client.get("/viewers/3/data", headers=ADMIN).json()["records"]
        assert [(row["request_id"], len(row["shown"])) for row in held] == [("r3", 4)]
        assert len(held[0]["rows"]) == len(held[0]["utility"]) > 100
        assert client.delete("/viewers/3", headers=ADMIN).json()["records"] == 1
        assert client.get("/viewers/3/data", headers=ADMIN).json()["records"] == []
        assert len(client.get("/viewers/4/data", headers=ADMIN).json()["records"]) == 1
    assert [row["viewer_id"] for row in board._records] == [4]
    assert set(met.read(tmp_path, stand_ins.MemoryLog()).arms) == {("e", 4)}
