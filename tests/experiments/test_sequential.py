import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.effects import Estimate, Sample, lift
from experiments.sequential import always_valid, e_value, half_width, tuning


def proportion(successes, n):
    p = successes / n
    return Sample(p, p * (1 - p), n)


def test_asymptotic_confidence_sequence():
    assert tuning(0.05, 5_000) == pytest.approx(0.03984006677)
    found = always_valid(lift(proportion(1_396, 3_000), proportion(2_422, 3_461)), 6_461, 5_000)
    assert (found.mean, found.low, found.high) == pytest.approx((0.5038634, 0.4009785, 0.6067482), abs=1e-7)


def test_the_published_half_width():
    """√(s²·2(nρ²+1)·ln(√(nρ²+1)/α))/(nρ) with V = s²/n and τ² = ρ²s²."""
    s2, n, rho, alpha = 2.5, 700, 0.04, 0.05
    published = np.sqrt(s2 * 2 * (n * rho**2 + 1) * np.log(np.sqrt(n * rho**2 + 1) / alpha)) / (n * rho)
    assert half_width(s2 / n, rho**2 * s2, alpha) == pytest.approx(published)


def test_mixture_sequential_probability_ratio():
    assert e_value(0.1, 2 / 1_000, 0.01) == pytest.approx(3.27872, abs=1e-5)
    assert 1 / e_value(0.1, 2 / 1_000, 0.01) == pytest.approx(0.30500, abs=1e-5)
    assert e_value(0.0, 2 / 1_000, 0.01) == pytest.approx(0.408248, abs=1e-6)


@given(st.floats(0.01, 5), st.floats(1e-4, 1), st.floats(1e-4, 1), st.floats(0.001, 0.5))
def test_the_interval_is_where_the_evidence_is_below_one_over_alpha(scale, variance, mixture, alpha):
    half = half_width(variance, mixture, alpha)
    assert e_value(half, variance, mixture) == pytest.approx(1 / alpha)
    assert (e_value(scale * half, variance, mixture) > 1 / alpha) == (scale > 1) or scale == pytest.approx(1)


def test_it_is_wider_than_an_interval_that_is_looked_at_once():
    estimate = Estimate(0.0, 0.1, 1e6)
    once, always = estimate.interval(), always_valid(estimate, 10_000, 10_000)
    assert always.high / once.high == pytest.approx(1.55, abs=0.01)


def test_before_the_burn_in_nothing_is_said():
    found = always_valid(Estimate(1.0, 0.001, 100.0), 100, 10_000)
    assert (found.low, found.high, found.p) == (-np.inf, np.inf, 1.0)
