import numpy as np
import pytest

from core import inference, rng

P = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216]


def test_t_interval_over_seeds() -> None:
    found = inference.t_interval([0.100, 0.120, 0.110])
    assert found.mean == pytest.approx(0.110)
    assert found.high - found.mean == pytest.approx(0.024841, abs=1e-6)


def test_t_interval_needs_two_values() -> None:
    with pytest.raises(ValueError, match="two values"):
        inference.t_interval([0.1])


def test_clusters_of_one_are_independent_cases() -> None:
    values = rng.stream(0, "test").random(40)
    plain, clustered = inference.t_interval(values), inference.cluster_interval(values, np.arange(40))
    assert (clustered.mean, clustered.low, clustered.high) == pytest.approx((plain.mean, plain.low, plain.high))


def test_delta_method_standard_error() -> None:
    """Clicks [1, 2, 0, 3] of views [10, 20, 5, 15]: ratio .12, standard error .0326599 (z), here with a t quantile."""
    clicks, views = [1, 2, 0, 3], [10, 20, 5, 15]
    values = np.concatenate([[1.0] * k + [0.0] * (n - k) for k, n in zip(clicks, views, strict=True)])
    found = inference.cluster_interval(values, np.repeat(np.arange(4), views))
    assert found.mean == pytest.approx(0.12)
    assert (found.high - found.mean) / 3.182446305284263 == pytest.approx(0.0326599, abs=1e-7)


def test_repeating_every_case_of_a_viewer_adds_no_certainty() -> None:
    values = rng.stream(1, "test").random(30)
    once = inference.cluster_interval(values, np.arange(30))
    often = inference.cluster_interval(np.repeat(values, 50), np.repeat(np.arange(30), 50))
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


def test_one_viewer_gives_no_bounds() -> None:
    found = inference.cluster_interval([0.0, 1.0], [7, 7])
    assert found.mean == 0.5
    assert np.isnan(found.low)


def test_paired_bootstrap_agrees_with_the_t_interval() -> None:
    random = rng.stream(2, "test")
    second = random.random(2_000)
    first = second + random.normal(0.02, 0.1, 2_000)
    found = inference.paired_bootstrap(first, second, np.arange(2_000), rng.stream(0, "bootstrap"))
    expected = inference.t_interval(first - second)
    assert found.mean == pytest.approx(expected.mean)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=6e-4)
    assert found.p == pytest.approx(2 / 2_001)


def test_paired_bootstrap_of_a_model_with_itself() -> None:
    values = rng.stream(3, "test").random(50)
    found = inference.paired_bootstrap(values, values, np.arange(50), rng.stream(0, "bootstrap"), draws=100)
    assert (found.mean, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_bootstrap_interval_covers_its_level() -> None:
    covered = 0
    for i in range(200):
        data = rng.stream(i, "coverage").normal(0.0, 1.0, 60)
        found = inference.paired_bootstrap(data, np.zeros(60), np.arange(60), rng.stream(i, "draws"), draws=300)
        covered += found.low <= 0.0 <= found.high
    assert 0.88 <= covered / 200 <= 0.985


def test_wilson() -> None:
    found = inference.wilson(42, 10_000)
    assert (found.low, found.high) == pytest.approx((0.0031088770, 0.0056718958), abs=1e-9)
    assert inference.wilson(0, 10).low == pytest.approx(0.0)


def test_corrections_for_many_comparisons() -> None:
    assert (inference.benjamini_hochberg(P) <= 0.05).sum() == 2
    assert (inference.holm(P) <= 0.05).sum() == 1
    assert inference.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert inference.benjamini_hochberg([0.04, 0.01]) == pytest.approx([0.04, 0.02])
    assert inference.holm([0.9, 0.8]).max() == 1.0


def test_p_values_belong_to_their_intervals() -> None:
    """The 95 % interval ends at zero exactly where p is .05."""
    values = rng.stream(4, "test").normal(0.3, 1.0, 25)
    low = inference.t_interval(values).low
    assert inference.t_interval(values - low).p == pytest.approx(0.05)
    assert inference.cluster_interval(values - low, np.arange(25)).p == pytest.approx(0.05)
    assert inference.t_interval([0.0, 0.0]).p == 1.0
    assert inference.t_interval([0.2, 0.2]).p == 0.0


def test_two_ways_add_their_variances() -> None:
    seeds, cases = np.array([0.0, 0.3, -0.3]), rng.stream(5, "test").normal(1.0, 1.0, 200)
    both = inference.two_way_interval(seeds[:, None] + cases, np.arange(200))
    assert both.mean == pytest.approx(cases.mean())
    only_cases = inference.two_way_interval(np.tile(cases, (3, 1)), np.arange(200))
    alone = inference.cluster_interval(cases, np.arange(200))
    assert (only_cases.low, only_cases.high) == pytest.approx((alone.low, alone.high))
    only_seeds = inference.two_way_interval(np.tile(seeds[:, None], (1, 200)), np.arange(200))
    expected = inference.t_interval(seeds)
    assert (only_seeds.low, only_seeds.high) == pytest.approx((expected.low, expected.high))
    assert both.high - both.low > max(alone.high - alone.low, 0)
    with pytest.raises(ValueError, match="at least two"):
        inference.two_way_interval(cases[None], np.arange(200))


def test_two_way_intervals_cover_at_least_as_often_as_they_say() -> None:
    """Other seeds and other viewers: mean 0, 5 seeds (sd .1), 100 viewers (sd 1), residual (sd .5)."""
    random, covered = rng.stream(6, "test"), 0
    for _ in range(400):
        x = random.normal(0, 0.1, (5, 1)) + random.normal(0, 1.0, 100) + random.normal(0, 0.5, (5, 100))
        found = inference.two_way_interval(x, np.arange(100))
        covered += found.low <= 0 <= found.high
    assert 0.93 <= covered / 400 <= 0.995


def test_slope_of_a_line() -> None:
    assert inference.slope_interval([0, 1, 2, 3], [1, 3, 5, 7]).mean == pytest.approx(2.0)
    found = inference.slope_interval([1, 2, 3, 4, 5], [2, 1, 4, 3, 5])
    assert found.mean == pytest.approx(0.8)
    assert found.high - found.mean == pytest.approx(3.182446305284263 * np.sqrt(3.6 / 3 / 10))
    assert found.p == pytest.approx(0.104088, abs=1e-6)
    assert np.isnan(inference.slope_interval([0, 1], [1, 3]).low)
