"""A tiny release refreshed over a longer log: its gates, its promotion, and what is asked of the next trained release."""

import shutil

import onnx
import pytest

from core import events as ev
from core import moves, release
from core.errors import ReleaseRefused
from core.event_log import SqliteEventLog
from pipelines.gates import result as gates_result
from pipelines.gates.gates import GatesConfig, Verdict, blocking
from pipelines.gates.questions import trained_of
from pipelines.progress import Stages
from pipelines.promote import Reasons, enter, promote
from pipelines.releases import refresh, registry
from pipelines.releases.history import Signed
from pipelines.spaces import Space
from serving.releases import VIEWER_STATES, load_release

ANN = Signed("ann", 1_800_000_000_000)
QUICK = GatesConfig(requests=20, slowdown=50.0, p50_ms=1e4, p99_ms=1e5)
"""Times are of a machine that does other things, too."""


@pytest.fixture(scope="module")
def refreshed(trained, tmp_path_factory):
    """(space, trained release, its refresh as the candidate) after some viewers have clicked."""
    space = Space(tmp_path_factory.mktemp("refreshed") / trained[1].space.name)
    shutil.copytree(trained[1].space.path, space.path, ignore=shutil.ignore_patterns(moves.FILE))
    loaded = load_release(space.releases, trained[1].release_id)
    at = loaded.end_at + 60_000
    pairs = zip(loaded.viewers.viewer_ids[:30].tolist(), loaded.catalogue.video_ids[:30].tolist(), strict=True)
    clicks = [
        ev.Click(event_id=f"new-{viewer}", event_at=at, received_at=at, viewer_id=viewer, video_id=video)
        for viewer, video in pairs
    ]
    log = SqliteEventLog(space.events)
    log.append(ev.to_table(clicks))
    log.close()
    made = refresh.refresh(space, ANN, Stages(), to="candidate")
    return space, trained[1].release_id, made.release_id


def tampered(space: Space, release_id: str, file: str, change) -> str:
    """The release again with one file changed, as a refresh of the same release."""
    found = release.load(space.releases, release_id)

    def write(path):
        shutil.copytree(found.path, path, dirs_exist_ok=True)
        (path / release.MANIFEST).unlink()
        change(path / file)

    m = found.manifest
    facts = {"snapshot": m.snapshot, "feature_schema": m.feature_schema, "config_fingerprint": "x", "git_commit": "g"}
    return release.publish(space.releases, write, created_at=m.created_at + 1, metrics=m.metrics, **facts).release_id


def failed(space: Space, release_id: str) -> list[str]:
    result = gates_result.ask(space, release_id, release.resolve(space.releases, "live"), QUICK, Stages(), ANN.at)
    return [gate.name for gate in result.blocking]


def test_a_refresh_inherits_its_quality_and_passes_gates_of_its_own(refreshed):
    space, trained_id, refreshed_id = refreshed
    assert trained_of(space, refreshed_id) == trained_id
    done = promote(space, refreshed_id, "live", ANN, Reasons("refreshed", config=QUICK), Stages())
    gates = {gate.name: gate for gate in done.gates.gates}
    assert [*gates] == [
        "models", "data", "skew", "recall", "agreement:nearest", "agreement:pages",
        "latency:p50", "latency:p99", "latency:live", "size", "memory",
    ]  # fmt: skip
    assert {gate.verdict for gate in gates.values()} == {Verdict.PASS}
    assert gates["agreement:nearest"].value > 0.5
    assert release.resolve(space.releases, "live") == refreshed_id
    inherited = release.load(space.releases, trained_id).manifest.metrics["leaderboard"]
    assert done.gates.evidence["leaderboard"]["leaderboard"] == inherited
    assert gates_result.page(space, refreshed_id, trained_id).read_text().count("agreement:pages") == 1
    assert {each.tags.get("gates") for each in registry.versions(space)} == {None, "passed"}
    release.point(space.releases, "live", trained_id)


def test_a_store_that_does_not_know_the_newest_clicks_fails(refreshed):
    space, trained_id, refreshed_id = refreshed
    before = release.load(space.releases, trained_id).path / VIEWER_STATES
    wrong = tampered(space, refreshed_id, VIEWER_STATES, lambda path: shutil.copy(before, path))
    assert failed(space, wrong) == ["skew"]


def test_other_networks_than_those_that_were_judged_fail(refreshed):
    space, _, refreshed_id = refreshed
    other = tampered(space, refreshed_id, "ranker.onnx", lambda path: path.write_bytes(renamed(path.read_bytes())))
    assert failed(space, other) == ["models"]


def renamed(network: bytes) -> bytes:
    """The same network by another producer: other bytes, equal answers."""
    model = onnx.load_from_string(network)
    model.producer_name = "another"
    return model.SerializeToString()


def test_a_trained_release_is_held_against_the_training_behind_a_refreshed_one(refreshed):
    space, trained_id, refreshed_id = refreshed
    release.point(space.releases, "live", refreshed_id)
    result = gates_result.ask(space, trained_id, refreshed_id, QUICK, Stages(), ANN.at)
    quality = next(gate for gate in result.gates if gate.name == "quality:live")
    assert (quality.value, quality.verdict) == (0.0, Verdict.PASS)  # against itself, on its own test period
    assert quality not in blocking(result.gates, QUICK)
    release.point(space.releases, "live", trained_id)


def test_what_its_gates_refuse_stays_the_candidate(refreshed):
    space, trained_id, refreshed_id = refreshed
    other = tampered(space, refreshed_id, "ranker.onnx", lambda path: path.write_bytes(renamed(path.read_bytes())))
    with pytest.raises(ReleaseRefused, match="models: Its networks are not those"):
        enter(space, other, ANN, Reasons("refreshed", config=QUICK), Stages())
    assert release.resolve(space.releases, "live") == trained_id
    assert release.resolve(space.releases, "candidate") == other
