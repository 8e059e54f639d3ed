"""Steps that decide something. That all together make the release of `upnext train`: tests/flows/test_pipeline_kill.py."""

import json
from functools import partial

import pytest

from core import release
from core.clock import ManualClock
from core.errors import ReleaseRefused
from pipelines import presets
from pipelines.gates import result as gates_result
from pipelines.gates.gates import Gate, GatesConfig, Verdict
from pipelines.gates.result import GatesResult
from pipelines.orchestration import launch, steps
from pipelines.orchestration.job import Job, Request
from pipelines.releases import history
from pipelines.spaces import Space

FACTS = {"snapshot": "s", "feature_schema": "f", "config_fingerprint": "c", "git_commit": "g", "created_at": 1}


@pytest.fixture
def space(tmp_path):
    return Space(tmp_path / "var" / "space")


def job(space, gated):
    folder = launch.begin(space, Request("world", presets.tiny(), (1,), gated), ManualClock(0))
    return Job(folder, Request("world", presets.tiny(), (1,), gated), 1, lambda share, note: None)


def published(space):
    return release.publish(space.releases, lambda folder: (folder / "weights").write_text("w") and None, **FACTS).release_id


def answering(verdict):
    gate = Gate("quality:ease", 0.1, 0.2, verdict, "the sentence")
    return lambda space, release_id, live_id, config, stages, now: GatesResult(
        release_id, live_id, now, GatesConfig(), (gate,), {}, 0.0
    )


def test_a_gate_in_the_way_stops_the_run_and_nothing_serves(space, monkeypatch):
    step, release_id = job(space, gated=True), published(space)
    monkeypatch.setattr(gates_result, "ask", answering(Verdict.FAIL))
    with pytest.raises(ReleaseRefused, match=f"{release_id} may not serve: quality:ease"):
        steps.gates(step, release_id)
    assert [release.resolve(space.releases, name) for name in ("live", "candidate")] == [None, release_id]


def test_gates_that_are_passed_are_counted(space, monkeypatch):
    step, release_id = job(space, gated=True), published(space)
    monkeypatch.setattr(gates_result, "ask", answering(Verdict.PASS))
    assert steps.gates(step, release_id) == f"gates/{release_id}-against-nothing.html"
    assert step.note.startswith("1 asked")


def test_without_gates_nothing_is_asked_and_the_move_is_signed(space, monkeypatch):
    monkeypatch.setattr(gates_result, "ask", lambda *_: pytest.fail("it asked"))
    step, release_id = job(space, gated=False), published(space)
    assert steps.gates(step, release_id) == ""
    steps.deploy(step, release_id)
    steps.deploy(step, release_id)  # a killed step does it again
    assert release.resolve(space.releases, "live") == release_id
    assert [(move.after, move.who) for move in history.read(space)] == [(release_id, f"pipeline run {step.folder.name}")]
    assert (space.path.parent / "current").read_text().strip() == space.name


def test_progress_of_a_part_is_progress_of_the_whole():
    told = []
    part = steps._part(lambda share, note: told.append(share), 0.7, 1.0)
    for share in (0.0, 0.5, 1.0):
        part(share, "")
    assert told == pytest.approx([0.7, 0.85, 1.0])


def written(folder, text):
    (folder / steps.LEADERBOARD).write_text(text)


def test_metrics_over_seeds_are_compared_from_the_leaderboards(space):
    step = job(space, gated=False)
    row = {"model": "two_stage", "ndcg@10": 0.1, "interval": {"ndcg@10": [0.05, 0.15]}}
    boards = []
    for value in (0.1, 0.3):
        text = json.dumps({"leaderboard": [row | {"ndcg@10": value}]})
        made = step.make("leaderboard", ("core",), partial(written, text=text), value=value)
        boards.append(made.key)
    key = steps.compare_seeds(step, boards)
    found = json.loads((step.shelf.find("seeds", key).files / steps.SEEDS).read_text())["two_stage"]["ndcg@10"]
    assert (found["mean"], found["per_seed"]) == (pytest.approx(0.2), [0.1, 0.3])
    assert "<svg" in steps.page(step.folder, steps.seeds_page(step.folder, key))
    assert steps.compare_seeds(step, boards) == key
