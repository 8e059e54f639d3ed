"""Against a release's folder in miniature, with fakes for what is loaded."""

import json
import os
import threading
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest

from app.trials import Trials, Watcher
from core import config as configs
from core.errors import LogUnavailable, ReleaseRefused
from core.policy import Request
from experiments.canary import CanaryConfig, CanaryState, Phase, StepConfig
from serving import fakes
from serving.arms import Base
from serving.config import ExplorationConfig, ServingConfig
from serving.recommender import Recommender

TWO_ARMS = """
[[experiments]]
name = "ranker"
arms = [{ name = "control" }, { name = "treatment", release = "candidate" }]
"""
GREEDY = ServingConfig(exploration=ExplorationConfig(epsilon=0.0))


def release(release_id):
    def build(config):
        return Recommender(replace(fakes.parts(), config=config, release_id=release_id))

    return SimpleNamespace(base=Base(GREEDY, build), loaded=SimpleNamespace(release_id=release_id, viewers=fakes.viewers()))


@dataclass
class FakeOpened:
    """Opened without files."""

    release: object
    ended: list[str] = field(default_factory=list)

    def follow(self, changed):
        self.changed = changed

    def close(self):
        self.ended.append("closed")

    def retire(self):
        self.ended.append("retired")


class Site:
    """A folder, and what was opened from it."""

    def __init__(self, path):
        self.releases, self.opened = path / "releases", {}
        self.releases.mkdir(parents=True)
        self.point("a1")
        self._written = 1

    def write(self, text):
        file = self.releases.parent / "experiments.toml"
        file.write_text(text)
        self._written += 1
        os.utime(file, (self._written, self._written))

    def point(self, release_id, name="candidate"):
        (self.releases / name).write_text(release_id)

    def open(self, release_id):
        if release_id == "broken":
            raise ReleaseRefused("release broken: model.onnx is missing")
        self.opened[release_id] = FakeOpened(release(release_id))
        return self.opened[release_id]

    def trials(self):
        self.live = FakeOpened(release("live1"))
        return Trials(self.releases, self.live, self.open, fakes.MemoryLog())


@pytest.fixture
def place(tmp_path):
    return Site(tmp_path)


def served(trials, n=30):
    slates = trials.policy.recommend([Request(f"r{v}", v, fakes.NOW, k=3) for v in range(n)])
    return {(slate.arm, slate.release_id) for slate in slates}


def test_without_files_the_live_release_answers_alone(place):
    trials = place.trials()
    assert served(trials) == {("control", "live1")}
    assert trials.challengers() == []
    assert trials.subjects().behind(Request("r", 1, 0)).parts.release_id == "live1"
    assert not trials.refresh()


def test_an_arm_is_answered_by_the_release_that_a_pointer_names(place):
    place.write(TWO_ARMS)
    trials = place.trials()
    assert served(trials) == {("ranker:control", "live1"), ("ranker:treatment", "a1")}
    trials.close()
    assert place.opened["a1"].ended == ["closed"]


def test_a_changed_file_runs_without_a_restart_and_what_nobody_needs_is_retired(place):
    trials = place.trials()
    place.write(TWO_ARMS)
    assert trials.refresh()
    first = place.opened["a1"]
    assert ("ranker:treatment", "a1") in served(trials)
    place.write(TWO_ARMS + "[experiments.analysis]\ndays = 7\n")
    assert trials.refresh()
    assert place.opened["a1"] is first  # still needed: not opened again
    place.point("b2")
    assert trials.refresh()
    assert ("ranker:treatment", "b2") in served(trials)
    assert first.ended == ["retired"]
    place.write("")
    assert trials.refresh()
    assert served(trials) == {("control", "live1")}
    assert place.opened["b2"].ended == ["retired"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("experiments = 3", "experiments"),
        (TWO_ARMS.replace("candidate", "canary"), "no release is 'canary'"),
        (TWO_ARMS.replace("candidate", "broken"), "model.onnx is missing"),
        (TWO_ARMS.replace("release =", "set ="), "set"),
    ],
)
def test_what_cannot_run_is_said_and_what_ran_goes_on(place, text, problem):
    place.write(TWO_ARMS)
    trials = place.trials()
    before = served(trials)
    place.write(text)
    assert not trials.refresh()
    assert problem in trials.problem
    assert served(trials) == before
    assert place.opened["a1"].ended == []
    with pytest.raises(ReleaseRefused, match=problem):
        place.trials()
    place.write(TWO_ARMS)
    assert trials.refresh()
    assert trials.problem is None


def test_a_pointer_that_appears_later_is_enough(place):
    trials = place.trials()
    place.write(TWO_ARMS.replace("candidate", "canary"))
    assert not trials.refresh()
    place.point("a1", "canary")
    assert trials.refresh()
    assert ("ranker:treatment", "a1") in served(trials)


def test_what_was_only_unavailable_is_tried_again(place, monkeypatch):
    trials = place.trials()
    place.write(TWO_ARMS)
    with monkeypatch.context() as patch:
        patch.setattr(fakes.MemoryLog, "read", lambda *args: (_ for _ in ()).throw(LogUnavailable("the log is down")))
        assert not trials.refresh()
        assert trials.problem == "the log is down"
        assert place.opened["a1"].ended == ["closed"]
    assert trials.refresh()


def test_a_canary_is_served_from_its_file_and_overtakes_when_it_arrives(place):
    trials = place.trials()

    def save(state):
        (place.releases.parent / "canary.json").write_text(json.dumps(configs.to_dict(state)))

    state = CanaryState("a1", "live1", CanaryConfig((StepConfig(0.5, 1, 2),)))
    save(state)
    assert trials.refresh()
    assert {release_id for _, release_id in served(trials)} == {"live1", "a1"}
    assert not trials.overtaken
    place.point("a1", "live")
    save(replace(state, phase=Phase.ARRIVED))
    assert trials.refresh()
    assert trials.overtaken


def test_a_release_that_has_grown_answers_in_its_new_form_in_every_arm(place):
    place.write(TWO_ARMS)
    policies, live = [], FakeOpened(release("live1"))
    trials = Trials(place.releases, live, place.open, fakes.MemoryLog(), policies.append)
    before = trials.policy
    live.release = release("longer")
    trials.renew()
    assert served(trials) == {("ranker:control", "longer"), ("ranker:treatment", "a1")}
    place.opened["a1"].release = release("a2")
    place.opened["a1"].changed()
    assert served(trials) == {("ranker:control", "longer"), ("ranker:treatment", "a2")}
    assert {slate.release_id for slate in before.recommend([Request(f"r{v}", v, fakes.NOW) for v in range(9)])} == {
        "live1",
        "a1",
    }
    assert [policies[0] is before, policies[-1] is trials.policy, len(policies)] == [True, True, 3]


def test_the_shadow_answers_nobody(place):
    place.write('shadow = "candidate"\nrecord = 0.5\n')
    trials = place.trials()
    assert served(trials) == {("control", "live1")}
    assert trials.subjects().challenger.parts.release_id == "a1"
    assert trials.config.record == 0.5


def test_a_watcher_looks_again_after_a_look_that_failed():
    looks, enough = [], threading.Event()

    def look():
        looks.append(1)
        if len(looks) == 1:
            raise RuntimeError("once")
        enough.set()

    watcher = Watcher(look, every_s=0.01)
    watcher.start()
    assert enough.wait(10)
    watcher.close()
