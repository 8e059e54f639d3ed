import numpy as np
import pytest

from data.validation_report import Finding, ValidationReport
from pipelines.gates.gates import GatesConfig, Verdict, blocking
from pipelines.gates.judge import Head, judge
from tests.pipelines.gates import evidence as made

CONFIG = GatesConfig()


def verdict(name, config=CONFIG, **parts):
    gates = {gate.name: gate for gate in judge(made.evidence(**parts), config)}
    return gates[name].verdict, gates[name]


def test_a_release_that_is_as_good_passes_everything_that_can_be_measured():
    gates = judge(made.evidence(live=made.measured("l"), disparities=[made.disparity()]), CONFIG)
    assert blocking(gates, CONFIG) == []
    assert {gate.verdict for gate in gates} == {Verdict.PASS}
    assert len({gate.name for gate in gates}) == len(gates)
    assert all(gate.sentence.endswith(".") for gate in gates)


@pytest.mark.parametrize(
    ("mean", "expected", "said"),
    [(0.1, Verdict.PASS, "+0.0"), (0.099, Verdict.PASS, "-0.0"), (0.09, Verdict.FAIL, "certainly more")],
)
def test_quality_against_live_allows_the_margin_and_no_more(mean, expected, said):
    found, gate = verdict("quality:live", candidate=made.measured("c", mean=mean), live=made.measured("l", mean=0.1))
    assert found is expected
    assert gate.bound == pytest.approx(-0.005, abs=2e-4)
    assert said in gate.sentence


def test_doubt_is_not_enough_against_a_baseline():
    close = (made.entry("ease", 0.1, noise=0.5), made.entry("popularity", 0.05))
    found, gate = verdict("quality:ease", baselines=close)
    assert found is Verdict.FAIL
    assert "does not exclude more" in gate.sentence
    assert gate.interval[0] < 0 < gate.interval[1]
    assert verdict("quality:popularity", baselines=close)[0] is Verdict.PASS


def test_an_order_that_viewers_certainly_enjoy_less_fails_whatever_clicks_it_guesses():
    live = made.measured("l", seconds=20.0)
    found, gate = verdict("choice", candidate=made.measured("c", mean=0.2, seconds=15.0), live=live)
    assert found is Verdict.FAIL
    assert (gate.value, gate.bound) == (pytest.approx(-5.0, abs=0.2), pytest.approx(-2.0, abs=0.1))
    assert "certainly too much" in gate.sentence
    assert verdict("choice", candidate=made.measured("c", seconds=18.5), live=live)[0] is Verdict.PASS
    assert verdict("choice")[0] is Verdict.UNKNOWN
    assert "few pages" in verdict("choice", candidate=made.measured("c", seconds=None), live=live)[1].sentence


def test_predicting_clicks_certainly_worse_than_the_live_release_fails():
    live = made.measured("l")
    found, gate = verdict("prediction", candidate=made.measured("c", factor=1.6), live=live)
    assert found is Verdict.FAIL
    assert gate.value > gate.bound > 0
    assert "certainly worse" in gate.sentence
    assert verdict("prediction", candidate=made.measured("c", factor=1.05), live=live)[0] is Verdict.PASS
    assert verdict("prediction")[0] is Verdict.UNKNOWN


def test_a_slice_that_certainly_loses_fails_and_is_named():
    found, gate = verdict("slices", live=made.measured("l"), loss=0.03)
    assert found is Verdict.FAIL
    assert "age old" in gate.sentence
    assert gate.value == pytest.approx(-0.03 / 0.13, abs=0.02)
    assert verdict("slices", live=made.measured("l"), loss=0.002)[0] is Verdict.PASS


def test_calibration_has_a_bound_of_its_own_and_the_live_one():
    assert verdict("calibration:click", candidate=made.measured("c", factor=1.5))[0] is Verdict.FAIL
    worse = {"candidate": made.measured("c", factor=1.12), "live": made.measured("l")}
    found, gate = verdict("calibration:click", **worse, config=GatesConfig(ece_margin=0.0))
    assert found is Verdict.FAIL
    assert gate.value < CONFIG.max_ece
    assert verdict("calibration:click", **worse, config=GatesConfig(ece_margin=0.1))[0] is Verdict.PASS


def test_seconds_are_judged_by_their_sum():
    candidate = made.measured("c")
    candidate.heads["watch"] = Head(np.full(600, 40.0), np.tile([0.0, 60.0], 300), np.arange(600))
    found, gate = verdict("calibration:watch", candidate=candidate)
    assert (found, gate.value) == (Verdict.FAIL, pytest.approx(1 / 3))


def test_what_cannot_be_measured_blocks_only_where_it_is_required():
    candidate = made.measured("c")
    candidate.heads.clear()
    gates = judge(made.evidence(candidate=candidate), CONFIG)
    unknown = {gate.name for gate in gates if gate.verdict is Verdict.UNKNOWN}
    assert unknown == {"calibration", "choice", "fairness", "prediction", "shadow"}
    assert blocking(gates, CONFIG) == []
    strict = GatesConfig(required=("calibration", "data"))
    assert [gate.name for gate in blocking(gates, strict)] == ["calibration"]


@pytest.mark.parametrize(
    ("gap", "half", "expected"),
    [(0.05, 0.2, Verdict.PASS), (0.2, 0.05, Verdict.FAIL), (0.2, 0.15, Verdict.UNKNOWN)],
)
def test_a_group_gap_fails_where_it_is_certain(gap, half, expected):
    found, gate = verdict("fairness:opportunity:gender", disparities=[made.disparity(gap=gap, half=half)])
    assert found is expected
    assert gate.value == pytest.approx(gap)


def test_one_certain_gap_among_many_is_enough():
    many = [made.disparity("exposure", 0.6, 0.5), made.disparity("exposure", 0.5, 0.05), made.disparity("exposure", 0.1, 0.05)]
    assert verdict("fairness:exposure:gender", disparities=many)[0] is Verdict.FAIL


def test_budgets():
    slow = {"candidate": made.measured("c", page_ms=30.0), "live": made.measured("l", page_ms=20.0)}
    assert verdict("latency:p50", **slow)[0] is Verdict.FAIL
    assert verdict("latency:p99", **slow)[0] is Verdict.PASS
    assert verdict("latency:live", **slow)[1].value == pytest.approx(1.5)
    large = made.measured("c", num_bytes=3 << 30)
    assert verdict("size", candidate=large)[0] is Verdict.FAIL
    assert verdict("memory", candidate=made.measured("c", resident=5 << 30))[0] is Verdict.FAIL
    assert verdict("memory", candidate=made.measured("c", resident=None))[0] is Verdict.UNKNOWN


def test_pages_that_have_nothing_in_common_with_live_fail():
    assert verdict("shadow:overlap", live=made.measured("l"), overlap=0.02)[0] is Verdict.FAIL
    assert verdict("shadow:rbo", live=made.measured("l"), overlap=0.5)[0] is Verdict.PASS


def test_broken_data_fail():
    broken = ValidationReport("made up", {"events": 9}, (Finding("fail", "events", "sorted", 3),))
    found, gate = verdict("data", report=broken)
    assert (found, gate.value) == (Verdict.FAIL, 1.0)
