"""Pages recorded while experiments ran and a video was uploaded, decided again from their files alone."""

import dataclasses
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.experiment import app
from core import columns as c
from core import events as ev
from core import release
from core.clock import HOUR_MS
from core.errors import BadInput, ConfigError
from core.event_log import SqliteEventLog
from core.policy import Request, Slate
from experiments import config as configs
from experiments import served
from features.memory_store import MemoryStore
from pipelines import replay as replaying
from pipelines.replay import NO_RELEASE, NO_SPREAD, NO_UPLOAD, OTHER_SETTINGS, replay
from pipelines.spaces import Space, current
from serving import counterfactual
from serving.arms import ArmRecommender
from serving.counterfactual import Recorder, Subjects, Writer
from serving.fresh_videos import GrowingRelease
from serving.impressions import to_table
from serving.live import go_live
from serving.releases import load_release
from serving.witness import Notebook

EXPERIMENTS = """
holdout = 0.2
record = 1.0

[[experiments]]
name = "explore"
arms = [
  { name = "control", set = ["exploration.epsilon=0.3"] },
  { name = "thompson", set = ["exploration.kind=thompson", "exploration.epsilon=0.1", "rerank.diversity=0.3"] },
]
"""
NUM_PAGES = 40


def serve(space: Space) -> None:
    """What a server does: an upload comes in, pages go out and into the log, and all of them are recorded."""
    (space.path / served.EXPERIMENTS).write_text(EXPERIMENTS)
    growing = GrowingRelease(go_live(load_release(space.releases, release.resolve(space.releases, "live")), MemoryStore()))
    at, log = growing.live.loaded.end_at + HOUR_MS, SqliteEventLog(space.events)
    like = growing.live.loaded.catalogue.frame.row(0, named=True)
    new = {name: like[name] for name in (c.TITLE, c.CHANNEL_ID, c.CATEGORY, c.LANGUAGE, c.DURATION_S, c.CONTENT)}
    came = ev.to_table([ev.Upload(event_id="u", event_at=at, received_at=at, viewer_id=1, video_id=2**40, attributes=new)])
    log.append(came)
    growing.apply(came)
    live, notes, writer = growing.live, Notebook(), Writer(space.path / counterfactual.FOLDER)
    arms = ArmRecommender(configs.load(space.path / served.EXPERIMENTS), notes.among(live.base))
    recorder = Recorder(lambda: Subjects(arms.of, live.loaded.viewers, None, notes), writer.add)
    viewers = live.loaded.viewers.viewer_ids[:NUM_PAGES].tolist()
    for request in [Request(f"r{viewer}", viewer, at + 1_000 + i, k=5 + i % 3) for i, viewer in enumerate(viewers)]:
        slates = arms.recommend([request])
        live.apply(to_table([request], slates, request.at + 1))
        recorder(request, slates[0])
        log.append(ev.to_table(_clicks(request, slates[0])))
    writer.close()
    log.close()


def _clicks(request: Request, slate: Slate) -> list[ev.Event]:
    """The first video of every other page, and one that was not on it."""
    here = {"event_at": request.at + 5, "received_at": request.at + 5, "viewer_id": request.viewer_id}
    return [
        ev.Click(event_id=f"{request.request_id}-{n}", video_id=video, request_id=request.request_id, **here)
        for n, video in enumerate([int(slate.video_ids[0]), 2**41])
        if request.viewer_id % 2
    ]


@pytest.fixture(scope="module")
def space(trained, tmp_path_factory):
    """A space of its own over the trained releases."""
    found = Space(tmp_path_factory.mktemp("var") / "again")
    found.path.mkdir()
    found.releases.symlink_to(current(trained[0]).releases)
    serve(found)
    return found


@pytest.fixture
def edited(space):
    """Its experiments.toml may be changed for a while."""
    file = space.path / served.EXPERIMENTS
    yield file
    file.write_text(EXPERIMENTS)


def test_every_page_comes_out_as_it_was_shown(space):
    answer = replay(space)
    (found,) = answer.releases
    records = counterfactual.read(space.path, candidates=True)
    assert set(records[c.ARM]) == {"holdout", "explore:control", "explore:thompson"}
    newest = records["rows"].list.max().max()
    assert newest == len(load_release(space.releases, found.release_id).catalogue)  # the upload was a candidate
    assert (found.records, found.decided, found.same) == (NUM_PAGES, NUM_PAGES, NUM_PAGES)
    assert (found.overlap, found.rbo) == pytest.approx((1, 1))
    assert not found.left_out
    assert answer.value is not None
    assert (answer.value.check.mean_weight, answer.value.check.max_weight) == (1.0, 1.0)  # a policy against itself
    clicked = np.mean([viewer % 2 for viewer in records[c.VIEWER_ID]])
    assert [each.mean for each in answer.value.estimates.values()] == pytest.approx([clicked] * 3)


def test_other_settings_give_other_pages(space):
    (calm,) = replay(space, ["exploration.epsilon=0"]).releases
    (ordered,) = replay(space, ["exploration.epsilon=0", "rerank.diversity=0.9"]).releases
    assert calm.decided == ordered.decided == NUM_PAGES
    assert calm.same < NUM_PAGES
    assert 0.1 < min(calm.rbo, calm.overlap) <= max(calm.rbo, calm.overlap) < 1
    assert ordered.overlap != calm.overlap


def test_what_was_clicked_is_weighed_by_the_odds_of_the_page(space):
    value = replay(space, ["exploration.epsilon=0.2"]).value
    assert value is not None
    assert 0.5 < value.check.mean_weight < 2
    assert value.behaviour.mean < 1
    assert value.to_json()["estimator"] == "rips"


def test_what_was_not_noted_cannot_be_asked(space):
    arms = counterfactual.read(space.path)[c.ARM]
    (found,) = replay(space, ["exploration.kind=thompson"]).releases
    assert found.left_out == {NO_SPREAD: int((arms != "explore:thompson").sum())}
    assert found.same == found.decided == int((arms == "explore:thompson").sum())


def test_what_is_gone_is_counted(space, edited, monkeypatch):
    edited.write_text(EXPERIMENTS.replace("exploration.epsilon=0.3", "exploration.epsilon=0.2"))
    (found,) = replay(space).releases
    assert found.left_out == {OTHER_SETTINGS: int((counterfactual.read(space.path)[c.ARM] == "explore:control").sum())}
    edited.write_text(EXPERIMENTS)
    monkeypatch.setattr(replaying, "live_events", lambda space, after=0: ([], after))
    (found,) = replay(space).releases
    assert found.left_out.keys() == {NO_UPLOAD}
    bare = dataclasses.replace(space, path=space.path.with_name("bare"))
    bare.path.mkdir()
    (bare.path / counterfactual.FOLDER).symlink_to(space.path / counterfactual.FOLDER)
    answer = replay(bare)
    assert (answer.releases[0].decided, answer.releases[0].left_out) == (0, {NO_RELEASE: NUM_PAGES})
    assert answer.to_json()["releases"][0]["overlap"] is None
    assert answer.value is None


def test_mistakes_are_named(space, tmp_path):
    with pytest.raises(ConfigError, match="a record answers exploration"):
        replay(space, ["quotas.two_tower=10"])
    with pytest.raises(ConfigError, match="did you mean 'epsilon'"):
        replay(space, ["exploration.epsilonn=1"])
    with pytest.raises(BadInput, match="no page of 'empty' was recorded"):
        replay(Space(tmp_path / "empty"))


def test_the_command_tells_it(space, tmp_path, monkeypatch):
    monkeypatch.setenv("UPNEXT_VAR", str(space.path.parent))
    for settings in ([], ["--set", "rerank.diversity=0.5"]):
        command = ["replay", "--space", space.name, *settings, "--json", str(tmp_path / "replay.json")]
        assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
        found = json.loads((tmp_path / "replay.json").read_text())
        assert found["set"] == settings[1:]
        assert (found["clicks"]["mean_weight"] == 1) is (not settings)
        assert (found["releases"][0]["same"] == NUM_PAGES) is (not settings)
