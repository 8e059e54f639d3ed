import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import rng
from core.errors import BadInput
from core.inference import t_interval
from experiments.effects import Estimate, Sample, cuped, cuped_theta, difference, lift
from experiments.ratio import linearised

A, B = Sample.of_sums(1396.87, 52377.9767, 3407), Sample.of_sums(2422.7, 134698.29, 3461)
Y, X = np.array([2.0, 4, 6, 8]), np.array([1.0, 2, 3, 5])


def proportion(successes, n):
    p = successes / n
    return Sample(p, p * (1 - p), n)


def test_welch():
    found = difference(A, B)
    interval = found.interval()
    assert (interval.mean, interval.low, interval.high) == pytest.approx((0.29, 0.04538, 0.53462), abs=1e-5)
    assert (interval.p, found.freedom) == pytest.approx((0.0201584, 5841.74), rel=1e-5)


def test_relative_lift():
    interval = lift(A, B).interval()
    assert (interval.mean, interval.low, interval.high) == pytest.approx((0.70732, -0.03526, 1.44989), abs=1e-5)
    assert interval.p == pytest.approx(0.06191, abs=1e-5)
    rates = lift(proportion(14, 28), proportion(16, 30)).interval()
    assert (rates.mean, rates.p) == pytest.approx((0.06667, 0.80707), abs=1e-5)


def test_a_lift_on_nothing_is_unknown():
    assert np.isnan(lift(Sample(0.0, 1.0, 10), Sample(1.0, 1.0, 10)).value)


def test_a_scaled_control_is_the_margin_of_a_guardrail():
    values = rng.stream(0, "scaled").normal(10, 1, (2, 500))
    control, treatment = Sample.of(values[0]), Sample.of(values[1])
    direct = difference(Sample.of(0.98 * values[0]), treatment)
    scaled = difference(control, treatment, 0.98)
    assert (scaled.value, scaled.error, scaled.freedom) == pytest.approx((direct.value, direct.error, direct.freedom))


def test_no_spread_is_certainty():
    same = difference(Sample(1.0, 0.0, 5), Sample(1.0, 0.0, 5)).interval()
    other = difference(Sample(1.0, 0.0, 5), Sample(2.0, 0.0, 5)).interval()
    assert (same.p, other.p, other.low) == (1.0, 0.0, 1.0)


def test_one_viewer_is_no_arm():
    with pytest.raises(BadInput, match="at least two viewers"):
        Sample.of([1.0])


def test_cuped_by_hand():
    assert cuped_theta([Y], [X]) == pytest.approx(1.4857142857)
    adjusted = cuped([Y], [X])[0]
    assert adjusted == pytest.approx([4.6, 5.1142857, 5.6285714, 4.6571429])
    assert (adjusted.mean(), adjusted.var(ddof=1), Y.var(ddof=1)) == pytest.approx((5, 0.2285714286, 6.6666666667))
    assert 1 - adjusted.var() / Y.var() == pytest.approx(0.9657142857)


@pytest.mark.parametrize(("correlation", "saved"), [(0.5, 0.25), (0.7, 0.49)])
def test_cuped_saves_the_squared_correlation(correlation, saved):
    x, noise = rng.stream(1, "cuped").standard_normal((2, 200_000))
    y = correlation * x + np.sqrt(1 - correlation**2) * noise
    assert 1 - cuped([y], [x])[0].var() / y.var() == pytest.approx(saved, abs=0.01)


@given(st.floats(-5, 5), st.integers(0, 10_000))
def test_cuped_never_moves_the_overall_mean(effect, seed):
    x = rng.stream(seed, "cuped mean").standard_normal((2, 30))
    arms = [x[0] + 1.0, 2 * x[1] + effect]
    assert np.concatenate(cuped(arms, list(x))).mean() == pytest.approx(np.concatenate(arms).mean(), abs=1e-9)


def test_cuped_never_biases_the_effect():
    """Over many experiments with a true effect of 0.3 the adjusted estimate has that mean, and far less spread."""
    random = rng.stream(2, "cuped bias")
    found = []
    for _ in range(1_000):
        x = random.gamma(1.0, 1.0, (2, 60))
        y = 2 * x + random.standard_normal((2, 60)) + np.array([[0.0], [0.3]])
        plain, adjusted = list(y), cuped(list(y), list(x))
        found.append([arms[1].mean() - arms[0].mean() for arms in (plain, adjusted)])
    plain, adjusted = np.array(found).T
    interval = t_interval(adjusted, 0.999)
    assert interval.low < 0.3 < interval.high
    assert adjusted.std() < 0.6 * plain.std()


def test_cuped_without_a_past_changes_nothing():
    assert cuped([Y, Y + 1], [np.zeros(4), np.zeros(4)])[1] == pytest.approx(Y + 1)


def test_a_ratio_as_one_number_per_viewer():
    found = Sample.of(linearised([1, 2, 0, 3], [10, 20, 5, 15]))
    assert found.mean == pytest.approx(0.12)
    assert np.sqrt(found.error2) == pytest.approx(0.0326599, abs=1e-7)


def test_repeating_impressions_adds_no_certainty():
    clicks, views = np.array([1.0, 2, 0, 3]), np.array([10.0, 20, 5, 15])
    once, often = Sample.of(linearised(clicks, views)), Sample.of(linearised(50 * clicks, 50 * views))
    assert (often.mean, often.variance) == pytest.approx((once.mean, once.variance))


def test_a_ratio_of_nothing_is_zero():
    assert linearised([0.0, 0.0], [0.0, 0.0]).tolist() == [0.0, 0.0]


def test_estimates_have_p_one_at_zero():
    assert Estimate(0.0, 1.0, 10.0).interval().p == 1.0
