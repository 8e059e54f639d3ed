import numpy as np
import pytest

from core import rng
from experiments import fairness
from experiments.fairness import Cases, Support

FEW = Support(cases=50, viewers=20)


def two_groups(shares, n=100, of=("female", "male")):
    """One case per viewer; `shares` of each group are positive."""
    group = np.repeat(of, n)
    positive = np.concatenate([np.arange(n) < share * n for share in shares])
    return positive.astype(float), Cases("gender", group, np.arange(len(group)))


def test_demographic_parity_on_the_textbook_example():
    shown, cases = two_groups((0.4, 0.3))
    found = fairness.exposure({"music": shown}, cases, FEW)[0]
    assert found.gap.mean == pytest.approx(0.1)
    assert found.ratio == pytest.approx(0.75)
    assert [(rate.group, rate.rate, rate.cases) for rate in found.rates] == [("female", 0.4, 100), ("male", 0.3, 100)]


def test_the_gap_s_interval_is_that_of_two_independent_shares():
    shown, cases = two_groups((0.6, 0.2), n=2_000)
    found = fairness.exposure({"music": shown}, cases)[0]
    error = np.sqrt(0.6 * 0.4 / 2_000 + 0.2 * 0.8 / 2_000)
    assert found.gap.low == pytest.approx(0.4 - 1.96 * error, abs=1e-3)
    assert found.gap.high == pytest.approx(0.4 + 1.96 * error, abs=1e-3)


def test_many_questions_widen_the_bounds():
    shown, cases = two_groups((0.6, 0.2), n=500)
    alone = fairness.exposure({"music": shown}, cases)[0]
    among = fairness.exposure({f"c{i}": shown for i in range(20)}, cases)[0]
    assert among.gap.mean == alone.gap.mean
    assert among.gap.low < alone.gap.low


def test_equal_opportunity_is_the_share_found_among_what_was_chosen():
    found, cases = two_groups((0.25, 0.05))
    disparity = fairness.opportunity(found, cases, FEW)
    assert disparity.gap.mean == pytest.approx(0.2)
    assert disparity.measure == "opportunity"


def test_calibration_looks_at_each_group_alone():
    label, cases = two_groups((0.3, 0.3), n=1_000)
    probability = np.where(cases.group_N == "male", 0.35, 0.28)
    disparity = fairness.calibration("click", label, probability, cases)
    assert {rate.group: round(rate.rate, 6) for rate in disparity.rates} == {"female": -0.02, "male": 0.05}
    assert disparity.gap.mean == pytest.approx(0.05)
    assert disparity.gap.low == pytest.approx(0.05 - 2.24 * np.sqrt(0.21 / 1_000), abs=1e-3)  # Bonferroni over two groups


def test_small_groups_are_named_and_not_judged():
    shown, cases = two_groups((0.4, 0.3))
    group = cases.group_N.copy()
    group[:5] = "other"
    found = fairness.exposure({"music": shown}, Cases("gender", group, cases.viewer_N), FEW)[0]
    assert found.too_small == ("other",)
    assert {rate.group for rate in found.rates} == {"female", "male"}
    one_viewer = Cases("gender", cases.group_N, np.zeros(len(group), dtype=np.int64))
    assert not fairness.exposure({"music": shown}, one_viewer, FEW)[0].measurable


def test_nobody_is_no_disparity():
    empty = Cases("gender", np.array([], dtype=str), np.array([], dtype=np.int64))
    assert not fairness.opportunity(np.array([]), empty).measurable
    assert not fairness.calibration("click", np.array([]), np.array([]), empty).measurable


def test_a_viewer_s_cases_are_not_independent():
    random = rng.stream(0, "fairness")
    group = np.repeat(["a", "b"], 1_000)
    often = np.repeat(random.random(200) < 0.5, 10)  # ten equal cases per viewer
    ten_each = fairness.opportunity(often, Cases("x", group, np.repeat(np.arange(200), 10)))
    as_if_alone = fairness.opportunity(often, Cases("x", group, np.arange(2_000)))
    assert ten_each.gap.mean == as_if_alone.gap.mean
    assert ten_each.gap.high - ten_each.gap.mean > 2.5 * (as_if_alone.gap.high - as_if_alone.gap.mean)
