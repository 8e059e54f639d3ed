import dataclasses

import pytest

from core import events as ev
from core.policy import HOME, Request
from data import tombstones
from experiments.config import ArmConfig, ExperimentConfig, ExperimentsConfig
from serving import fakes, met
from serving.arms import ArmRecommender, Base
from serving.recommender import Recommender

ARMS = (ArmConfig("control"), ArmConfig("bold", set=("exploration.epsilon=1.0",)))


class CountingLog(fakes.MemoryLog):
    """A log that knows how many events were read from it."""

    handed_out = 0

    def read(self, after=0, limit=10_000):
        events, following = super().read(after, limit)
        self.handed_out += len(events)
        return events, following


@pytest.fixture
def log():
    return CountingLog()


def base():
    return Base(fakes.parts().config, lambda chosen: Recommender(dataclasses.replace(fakes.parts(), config=chosen)))


def shown(viewer, arm, n=0):
    return ev.Impression(
        event_id=f"{viewer}-{n}", event_at=1, received_at=1, viewer_id=viewer, video_id=1, request_id="r", position=0,
        surface=HOME, release_id="a", arm=arm, source="fresh", propensity=1.0, exploration=False,
    )  # fmt: skip


def weighted(bold):
    return ExperimentsConfig((ExperimentConfig("explore", (ARMS[0], dataclasses.replace(ARMS[1], weight=bold))),))


def pages(experiments, kept=None, n=40):
    requests = [Request(f"r{viewer}", viewer, fakes.NOW) for viewer in range(n)]
    return [slate.arm for slate in ArmRecommender(experiments, base(), met=kept).recommend(requests)]


def test_viewers_keep_their_arm_when_weights_change(tmp_path, log):
    arms = pages(weighted(1.0))
    log.append(ev.to_table([shown(viewer, arm) for viewer, arm in enumerate(arms)]))
    kept = met.arms_of(tmp_path, log, weighted(9.0))
    fresh, after = (pages(weighted(9.0), each, n=60) for each in (None, kept))
    assert after[:40] == arms
    assert after[40:] == fresh[40:]
    assert set(kept["explore"]) == {v for v in range(40) if fresh[v] != arms[v]} != set()


def test_only_what_weights_would_change_is_kept(tmp_path, log):
    labels = ["other:x+explore:bold", "explore:gone", "control", "holdout"]
    log.append(ev.to_table([shown(viewer, label) for viewer, label in enumerate(labels)]))
    log.append(ev.to_table([shown(0, "explore:control", 1)]))  # the first one counts
    kept = met.arms_of(tmp_path, log, weighted(1e-9))
    assert kept == {"explore": {0: "bold"}}
    assert met.arms_of(tmp_path, log, weighted(1e9)) == {}
    assert pages(weighted(1e-9), kept, n=2) == ["explore:bold", "explore:control"]


def test_a_look_reads_only_what_is_new_and_outlives_the_log(tmp_path, log):
    log.append(ev.to_table([shown(viewer, "explore:bold") for viewer in range(20)]))
    first = met.arms_of(tmp_path, log, weighted(1e-9))
    assert len(first["explore"]) == log.handed_out == 20
    assert met.arms_of(tmp_path, log, weighted(1e-9)) == first  # as after a restart: nothing is held but the file
    assert log.handed_out == 20
    log.append(ev.to_table([shown(viewer, "explore:bold") for viewer in range(20, 23)]))
    assert len(met.arms_of(tmp_path, log, weighted(1e-9))["explore"]) == log.handed_out == 23
    assert met.arms_of(tmp_path, log, weighted(1e9)) == {}


def test_a_log_is_not_looked_at_for_nobody(tmp_path, log):
    log.append(ev.to_table([shown(1, "explore:bold")]))
    duel = ExperimentsConfig((dataclasses.replace(weighted(1.0).experiments[0], interleaving="team_draft"),))
    assert met.arms_of(tmp_path, log, duel) == met.arms_of(tmp_path, log, ExperimentsConfig()) == {}
    assert log.handed_out == 0


def test_forgotten_viewers_are_dropped_and_stay_dropped(tmp_path, log):
    log.append(ev.to_table([shown(viewer, "explore:bold") for viewer in range(3)]))
    met.read(tmp_path, log)
    met.forget(tmp_path, 1)
    assert set(met.read(tmp_path, log).arms) == {("explore", 0), ("explore", 2)}
    tombstones.forget(tmp_path, [2], 1)
    assert set(met.read(tmp_path, log).arms) == {("explore", 0)}
    met.forget(tmp_path, 7)


def test_a_file_that_cannot_be_read_is_made_again(tmp_path, log):
    log.append(ev.to_table([shown(1, "explore:bold")]))
    (tmp_path / met.FILE).write_bytes(b"not parquet")
    assert met.read(tmp_path, log).arms == {("explore", 1): "bold"}
