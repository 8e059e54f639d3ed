"""Two releases of one tiny world: gates, promotion, waivers, the way back, the registry, the canary and the card."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from core import events as ev
from core import moves, release
from core.clock import DAY_MS
from core.errors import BadInput, ReleaseRefused
from core.event_log import SqliteEventLog
from experiments import assignment, served
from experiments.canary import CanaryConfig, Phase, StepConfig
from experiments.config import MetricConfig
from pipelines.gates import result as gates_result
from pipelines.gates.gates import GatesConfig, Verdict
from pipelines.progress import Stages
from pipelines.promote import Reasons, promote, roll_back
from pipelines.releases import canary, history, model_card, registry
from pipelines.releases.history import Signed
from pipelines.spaces import Space
from tests.pipelines import variants

ANN = Signed("ann", 1_800_000_000_000)
LENIENT = GatesConfig(
    live_margin=1.0, baseline_margin=1.0, max_ece=1.0, ece_margin=1.0, watch_bias=9.0, requests=20, slowdown=50.0, p50_ms=1e4,
    p99_ms=1e5,
)  # fmt: skip


@pytest.fixture(scope="module")
def judged(trained, tmp_path_factory):
    """(space, live, candidate) after one real run of the gates; the candidate differs in how it serves."""
    space = Space(tmp_path_factory.mktemp("promote") / trained[1].space.name)
    shutil.copytree(trained[1].space.path, space.path, ignore=shutil.ignore_patterns(moves.FILE))
    live_id = trained[1].release_id
    candidate_id = variants.another(space, live_id)
    gates_result.ask(space, candidate_id, live_id, LENIENT, Stages(), ANN.at)
    return space, live_id, candidate_id


@pytest.fixture
def space(judged, tmp_path):
    copy = Space(tmp_path / judged[0].name)
    shutil.copytree(judged[0].path, copy.path)
    return copy


@pytest.fixture
def ids(judged):
    return judged[1:]


def lenient(**changes):
    return Reasons("better", None, replace(LENIENT, **changes))


def fail(space, release_id, live, *names):
    """Let the kept result say that these gates failed."""
    path = gates_result.path(space, release_id, live)
    values = json.loads(path.read_text())
    for gate in values["gates"]:
        gate["verdict"] = "fail" if gate["name"] in names else gate["verdict"]
    path.write_text(json.dumps(values))


def test_the_gates_measure_everything_on_real_files(judged, trained):
    space, live, candidate = judged
    result = gates_result.last(space, candidate, live)
    families = {gate.family for gate in result.gates}
    assert families == {
        "data",
        "quality",
        "choice",
        "prediction",
        "slices",
        "calibration",
        "fairness",
        "latency",
        "size",
        "memory",
        "shadow",
    }
    gates = {gate.name: gate for gate in result.gates}
    assert gates["data"].verdict is Verdict.PASS
    assert {"quality:live", "quality:ease", "quality:item_knn"} <= set(gates)
    board = {row["model"]: row for row in result.evidence["leaderboard"]["leaderboard"]}
    ours = board["two_stage"]["ndcg@10"]
    assert gates["quality:ease"].value == pytest.approx(ours - board["ease"]["ndcg@10"])
    in_training = {row["model"]: row["ndcg@10"] for row in trained[1].to_json()["leaderboard"]}
    assert gates["quality:live"].value == pytest.approx(ours - in_training["two_stage"])
    assert board["ials"]["ndcg@10"] == pytest.approx(in_training["ials"])
    assert 50 < gates["memory"].value < 4_096  # MiB of a process with its libraries
    assert 0.2 < gates["shadow:overlap"].value <= 1.0
    assert len(result.evidence["page_ms"]) == LENIENT.requests
    assert result.blocking == []


def test_the_page_says_what_the_result_says_and_fetches_nothing(judged):
    space, live, candidate = judged
    page = gates_result.page(space, candidate, live).read_text()
    result = gates_result.last(space, candidate, live)
    assert all(gate.name in page for gate in result.gates)
    assert "May be promoted" in page
    assert "http" not in page
    assert "prefers-color-scheme: dark" in page


def test_a_fresh_result_is_used_again_and_an_old_or_other_one_is_not(space, ids, monkeypatch):
    live, candidate = ids
    monkeypatch.setattr(gates_result.gates_measure, "evidence", _measured)
    assert gates_result.ask(space, candidate, live, LENIENT, Stages(), ANN.at + DAY_MS).created_at == ANN.at
    with pytest.raises(AssertionError, match="measured anew"):
        gates_result.ask(space, candidate, live, LENIENT, Stages(), ANN.at + 8 * DAY_MS)
    with pytest.raises(AssertionError, match="measured anew"):
        gates_result.ask(space, candidate, live, replace(LENIENT, max_mib=9.0), Stages(), ANN.at)


def _measured(*args):
    raise AssertionError("measured anew")


def test_a_promotion_moves_the_pointer_and_is_written_down_and_rolled_back(space, ids):
    live, candidate = ids
    done = promote(space, candidate, "live", ANN, lenient(), Stages())
    assert release.resolve(space.releases, "live") == candidate
    assert (done.move.before, done.move.after, done.move.who, done.move.why) == (live, candidate, "ann", "better")
    assert done.move.gates["data"] == "pass"
    assert roll_back(space, Signed("ben", ANN.at + 1), "worse") == live
    assert release.resolve(space.releases, "live") == live
    assert [(made.after, made.who) for made in history.read(space)] == [(candidate, "ann"), (live, "ben")]


def test_a_failed_gate_stops_it_in_plain_words(space, ids):
    live, candidate = ids
    fail(space, candidate, live, "slices", "quality:ease")
    with pytest.raises(ReleaseRefused, match=r"2 gates stand in the way(.|\n)*quality:ease: nDCG@10(.|\n)*slices: ") as refused:
        promote(space, candidate, "live", ANN, lenient(), Stages())
    assert "--waiver" in str(refused.value)
    assert release.resolve(space.releases, "live") == live
    assert history.read(space) == []


def test_waivers_let_it_through_and_are_kept(space, ids, tmp_path):
    live, candidate = ids
    fail(space, candidate, live, "slices", "quality:ease")
    file = tmp_path / "w.toml"
    one = '[[waivers]]\ngate = "{}"\nreason = "known"\nowner = "ann"\nreviewer = "ben"\nexpires = 2027-01-20\n'
    file.write_text(one.format("slices"))
    with pytest.raises(ReleaseRefused, match="1 gate stands"):
        promote(space, candidate, "live", ANN, replace(lenient(), waivers=file), Stages())
    file.write_text(one.format("slices") + one.format("quality:ease") + one.format("size"))
    moved = promote(space, candidate, "live", ANN, replace(lenient(), waivers=file), Stages()).move
    assert [waiver["gate"] for waiver in moved.waivers] == ["slices", "quality:ease"]
    assert history.read(space)[-1] == moved


def test_a_candidate_is_only_marked(space, ids, monkeypatch):
    monkeypatch.setattr(gates_result, "ask", _measured)
    assert promote(space, ids[1], "candidate", ANN, lenient(), Stages()).gates is None
    assert release.resolve(space.releases, "candidate") == ids[1]
    with pytest.raises(BadInput, match="not to 'previous'"):
        promote(space, ids[1], "previous", ANN, lenient(), Stages())


def test_a_damaged_release_is_never_promoted(space, ids):
    file = space.releases / ids[1] / "ranker.json"
    file.write_text(file.read_text() + " ")
    with pytest.raises(ReleaseRefused, match="differs from its hash"):
        promote(space, ids[1], "live", ANN, lenient(), Stages())


def test_without_a_previous_release_there_is_no_way_back(space):
    with pytest.raises(ReleaseRefused, match="no previous"):
        roll_back(space, ANN, "")


def test_a_torn_line_of_history_is_passed_over(space, ids):
    history.move(space, "candidate", ids[1], ANN, "first")
    with (space.path / moves.FILE).open("a") as file:
        file.write('{"at": 1, "poin')
    history.move(space, "candidate", None, ANN, "second")
    assert [made.why for made in history.read(space)] == ["first", "second"]


def test_the_registry_mirrors_the_files_and_can_be_made_anew(space, ids):
    live, candidate = ids
    promote(space, candidate, "live", ANN, lenient(), Stages())
    assert registry.sync(space) == f"2 versions of {space.name} in the registry"
    found = registry.read(space)
    assert [(v.version, v.release_id, v.stage, v.pointers) for v in found] == [
        (1, live, "archived", ("previous",)),
        (2, candidate, "production", ("live",)),
    ]
    assert [v.to_json() for v in found] == [v.to_json() for v in registry.versions(space)]
    assert found[1].tags["gates"] == "passed"
    assert float(found[1].tags["page_ms_p50"]) > 0
    assert int(found[1].tags["resident_bytes"]) > 50 << 20
    assert json.loads(found[1].tags["config"])["serving"]["rerank"]["diversity"] == 0.5
    roll_back(space, ANN, "worse")
    history.move(space, "canary", candidate, ANN, "")
    registry.sync(space)
    assert [(v.stage, v.pointers) for v in registry.read(space)] == [
        ("production", ("live",)),
        ("staging", ("canary", "previous")),
    ]


def test_a_registry_that_cannot_be_written_is_a_warning(space):
    (space.path.parent / "mlflow.db").write_text("no database")
    assert registry.sync(space).startswith("warning: the registry was not updated")


PLAN = CanaryConfig(
    steps=(StepConfig(0.5, 1, 20, proof=True),), guardrails=(MetricConfig("clicks", margin=0.5),), planned_viewers=500
)


def visit(space, state, share_of_clicks, num=600):
    """Everyone sees ten videos of the arm that the service would give them; the candidate's viewers click less or more."""
    running = state.experiment
    arms = assignment.Assigner(served.read(space.path)).assign(np.arange(num))[running.name].arm_B
    events = []
    for viewer, arm in enumerate(arms.tolist()):
        facts = {"event_at": ANN.at, "received_at": ANN.at, "viewer_id": viewer, "video_id": 1, "request_id": f"r{viewer}"}
        shown = {"position": 0, "surface": "home", "release_id": "x", "source": "any", "propensity": 1.0, "exploration": False}
        label = f"{running.name}:{running.arm_names[arm]}"
        events.append(ev.Impression(event_id=f"i{viewer}", arm=label, **shown, **facts))
        for click in range(10 + viewer % 3 if arm == 0 else int(share_of_clicks * (10 + viewer % 3))):
            events.append(ev.Click(event_id=f"c{viewer}-{click}", **facts))
    log = SqliteEventLog(space.events)
    log.append(ev.to_table(events))
    log.close()


def begin(space, ids):
    return canary.start(space, ids[1], PLAN, ANN, lenient(), Stages())


def test_a_good_canary_goes_live(space, ids):
    state = begin(space, ids)
    assert release.resolve(space.releases, "canary") == ids[1]
    assert "no viewer has been seen" in canary.step(space, ANN).reason
    visit(space, state, 1.0)
    assert canary.step(space, ANN).phase == Phase.ARRIVED
    assert [release.resolve(space.releases, name) for name in ("live", "previous", "canary")] == [ids[1], ids[0], None]
    assert served.read(space.path) is None
    assert [made.pointer for made in history.read(space)] == ["canary", "live", "canary"]


def test_a_bad_canary_is_taken_back(space, ids):
    visit(space, begin(space, ids), 0.2)
    state = canary.step(space, ANN)
    assert (state.phase, state.share) == (Phase.HALTED, 0.0)
    assert [release.resolve(space.releases, name) for name in ("live", "canary")] == [ids[0], None]
    assert "clicks got worse" in history.read(space)[-1].why
    assert canary.step(space, ANN) == state


def test_a_step_completes_what_a_killed_one_left(space, ids, monkeypatch):
    visit(space, begin(space, ids), 1.0)
    with monkeypatch.context() as patch:
        patch.setattr(canary, "_save", _killed)
        with pytest.raises(KeyboardInterrupt):
            canary.step(space, ANN)
    assert release.resolve(space.releases, "live") == ids[1]
    assert served.read_canary(space.path).phase == Phase.RUNNING
    assert canary.step(space, ANN).phase == Phase.ARRIVED
    assert release.resolve(space.releases, "canary") is None


def _killed(*args):
    raise KeyboardInterrupt


def test_a_canary_ends_when_live_changes_under_it(space, ids):
    begin(space, ids)
    promote(space, ids[1], "live", ANN, lenient(), Stages())
    roll_back(space, ANN, "worse")
    assert canary.step(space, ANN).phase == Phase.RUNNING
    release.point(space.releases, "live", ids[1])
    assert canary.step(space, ANN).phase == Phase.ARRIVED


def test_one_canary_at_a_time_and_by_hand_it_ends(space, ids):
    begin(space, ids)
    with pytest.raises(ReleaseRefused, match="is under way"):
        begin(space, ids)
    assert canary.stop(space, ANN, "enough").phase == Phase.STOPPED
    with pytest.raises(BadInput, match="has stopped"):
        canary.stop(space, ANN, "again")
    assert begin(space, ids).phase == Phase.RUNNING
    canary.stop(space, ANN, "enough")
    with pytest.raises(ReleaseRefused, match="another live release"):
        canary.start(space, ids[0], PLAN, ANN, lenient(), Stages())


def test_the_card_says_what_was_measured_and_what_was_not(space, ids):
    live, candidate = ids
    card = model_card.write(space, candidate)
    text, page = card.markdown.read_text(), card.html.read_text()
    result = gates_result.last(space, candidate, live)
    board = {row["model"]: row for row in result.evidence["leaderboard"]["leaderboard"]}
    assert f"{board['two_stage']['ndcg@10']:.4f} ± " in text
    assert all(f"| {gate.name} | {gate.verdict.value} |" in text for gate in result.gates)
    for heading in ("Intended use", "Limitations", "Groups", "Data sheet", "Before a sensitive use"):
        assert heading in text
        assert heading in page
    assert "MiB, a process that serves it" in text
    assert "<table>" in page
    assert "http" not in page
    gates_result.path(space, candidate, live).unlink()
    assert "Not asked yet" in model_card.write(space, candidate).markdown.read_text()
