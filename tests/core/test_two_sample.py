import numpy as np
import pytest
from scipy import stats

from core import rng
from core import two_sample as ts

E5 = [0.1, 0.2, 0.4, 0.2, 0.1]


@pytest.mark.parametrize(
    ("expected", "actual", "value"),
    [
        (E5, [0.2] * 5, 0.4 * np.log(2)),
        ([0.25] * 4, [0.3, 0.25, 0.25, 0.2], 0.0202732554),
        ([0.25] * 4, [0.35, 0.3, 0.2, 0.15], 0.1050030414),
        ([0.5, 0.5], [0.7, 0.3], 0.1694595721),
    ],
)
def test_psi_of_shares(expected, actual, value):
    assert ts.psi(expected, actual, smoothing=0) == pytest.approx(value, abs=1e-9)


def test_psi_of_an_empty_bin_depends_on_smoothing():
    assert ts.psi([50, 30, 20, 0], [40, 30, 20, 10]) == pytest.approx(0.3201, abs=5e-5)
    assert ts.psi([0.5, 0.3, 0.2, 1e-4], [0.4, 0.3, 0.2, 0.1], smoothing=0) == pytest.approx(0.7124, abs=1e-3)


@pytest.mark.parametrize(("mean", "value"), [(0.1, 0.0095873), (0.25, 0.0598156), (0.5, 0.2377492), (1.0, 0.9261424)])
def test_psi_of_a_shifted_normal_in_deciles(mean, value):
    edges = stats.norm.ppf(np.arange(1, 10) / 10)
    shares = np.diff(np.concatenate([[0], stats.norm.cdf(edges - mean), [1]]))
    assert ts.psi(np.full(10, 0.1), shares, smoothing=0) == pytest.approx(value, abs=5e-7)


def test_the_noise_floor_of_psi():
    mean, limit = ts.psi_noise(10, 1_000, 1_000)
    assert mean == pytest.approx(0.018)
    assert limit == pytest.approx(0.0338, abs=5e-5)
    assert ts.psi_noise(10, 100, 100)[1] == pytest.approx(0.338, abs=5e-4)
    random = rng.stream(1, "noise")
    edges = stats.norm.ppf(np.arange(1, 10) / 10)
    drawn = [ts.psi(*(ts.binned(random.standard_normal(1_000), edges) for _ in range(2))) for _ in range(1_000)]
    assert np.mean(drawn) == pytest.approx(mean, rel=0.05)
    assert 0.03 < np.mean(np.array(drawn) > limit) < 0.07


def test_edges_are_reference_quantiles_with_ties_merged():
    assert ts.quantile_edges(np.arange(1, 101), 4) == pytest.approx([25.75, 50.5, 75.25])
    tied = ts.quantile_edges([0] * 80 + [1, 2, 3, 4] * 5, 10)
    assert (np.diff(tied) > 0).all()
    assert ts.binned([0, 0.5, 9], [0.0, 5.0]).tolist() == [1, 1, 1]


def test_ks():
    found = ts.ks(range(1, 11), range(4, 14))
    assert (found.statistic, found.p) == pytest.approx((0.3, 0.7869297885))
    apart = ts.ks(range(1, 6), range(6, 11))
    assert (apart.statistic, apart.p) == pytest.approx((1.0, 2 / 252))
    assert ts.ks_critical(1_000, 1_000) == pytest.approx(0.060736, abs=1e-5)
    tied = ([1, 1, 2, 5, 5, 5], [1, 2, 2, 3])
    assert ts.ks_distance(*tied) == pytest.approx(ts.ks(*tied).statistic) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="an empty sample"):
        ts.ks_distance([], [1])


@pytest.mark.parametrize(("shift", "d"), [(0.1, 0.0398776), (0.25, 0.0994764), (0.5, 0.1974127)])
def test_ks_of_a_shifted_normal_is_an_effect_size(shift, d):
    grid = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    assert ts.ks(grid, grid + shift).effect == pytest.approx(d, abs=1e-4)


def test_categories():
    found = ts.chi_square([50, 50, 0], [70, 30, 0])
    assert found.statistic == pytest.approx(2 * 100 * 0.1**2 / 0.6 + 2 * 100 * 0.1**2 / 0.4)
    assert found.effect == pytest.approx(np.sqrt(found.statistic / 200))
    assert ts.chi_square([5, 0], [7, 0]).p == 1.0
    assert ts.jensen_shannon([1, 0], [0, 1]) == pytest.approx(1.0)
    assert ts.jensen_shannon([2, 2], [1, 1]) == pytest.approx(0.0)
    assert ts.jensen_shannon([1, 0], [1, 1]) == pytest.approx(0.5 * np.log2(4 / 3) + 0.5 * (0.5 * np.log2(2 / 3) + 0.5))


def test_mmd_by_hand():
    random = rng.stream(1, "mmd")
    assert ts.mmd([[0], [1]], [[2], [3]], 1.0, random).statistic == pytest.approx(0.7689062081)
    assert ts.mmd_biased([[0], [1]], [[2], [3]], 1.0) == pytest.approx(1.1623755484)
    x = np.array([[0, 0], [1, 0], [0, 1]])
    assert ts.mmd(x, x + 2, 1.0, random).statistic == pytest.approx(1.0016050212)


def test_mmd_of_normals_exact_and_by_fourier_features():
    random = rng.stream(2, "mmd")
    x, y = random.standard_normal((1_500, 1)), random.standard_normal((1_500, 1)) + 1
    assert ts.mmd(x, y, 1.0, random, permutations=1).statistic == pytest.approx(0.1772676, abs=0.04)
    x, y = random.standard_normal((10_000, 1)), random.standard_normal((10_000, 1)) + 1
    drawn = ts.FourierMap.draw(1, 1.0, random, 512)
    assert drawn.sketch(x).mmd(drawn.sketch(y)) == pytest.approx(0.1772676, abs=0.03)


def test_mmd_p_values_are_uniform_without_and_small_with_a_difference():
    random = rng.stream(3, "mmd")
    same = [ts.mmd(*random.standard_normal((2, 40, 3)), 1.7, random, 99).p for _ in range(60)]
    assert 0.35 < np.mean(same) < 0.65
    assert ts.mmd(random.standard_normal((60, 3)), random.standard_normal((60, 3)) + 1, 1.7, random, 99).p == 0.01


def test_fourier_mmd_is_unbiased_where_there_is_no_difference():
    random = rng.stream(4, "mmd")
    drawn = [ts.FourierMap.draw(4, 2.0, random) for _ in range(200)]
    found = [one.sketch(random.standard_normal((200, 4))).mmd(one.sketch(random.standard_normal((200, 4)))) for one in drawn]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(200)


def test_a_sketch_is_the_sum_of_its_parts_sketches_and_says_what_all_rows_say():
    random = rng.stream(6, "sketch")
    x, y = random.standard_normal((40_000, 3)) + 100, random.standard_normal((5_000, 3)) + 101
    drawn = ts.FourierMap.draw(3, 1.7, random)
    whole, parts, other = drawn.sketch(x), drawn.sketch(x[:7]) + drawn.sketch(x[7:]), drawn.sketch(y)
    assert parts.rows == whole.rows == 40_000
    assert parts.mmd(other) == pytest.approx(whole.mmd(other), rel=1e-6)
    assert parts.apart(other) == pytest.approx(whole.apart(other), rel=1e-6)
    spread = np.sqrt(x.var(axis=0).sum())
    assert other.centroid_distance(whole) == pytest.approx(np.linalg.norm(y.mean(axis=0) - x.mean(axis=0)) / spread, rel=1e-9)
    z = np.sqrt(2 / 128) * np.cos(y.astype(np.float32) @ drawn.weights_DF + drawn.phase_F)
    assert other.mmd(other) == pytest.approx(-2 * ((z**2).sum(axis=1).mean() - (z.mean(axis=0) ** 2).sum()) / 4_999, rel=1e-3)


def test_centroids_and_scale():
    x = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    drawn = ts.FourierMap.draw(2, 1.0, rng.stream(1, "map"))
    assert drawn.sketch(x + np.array([3, 4])).centroid_distance(drawn.sketch(x)) == pytest.approx(5.0)
    assert ts.median_scale(np.array([[0.0], [2.0]]), rng.stream(1, "scale")) == 2.0


def test_cusum_by_hand_and_its_run_length():
    assert ts.cusum([1, 1, 1, 1], k=0.5, h=1.5) == 2
    assert ts.cusum([1, -1, 1, -1], k=0.5, h=1.5) is None
    assert ts.cusum_run_length(0.5, 4) == pytest.approx(335.4, rel=0.01)  # exact tables, e.g. Montgomery
    assert ts.cusum_run_length(0.5, 5) == pytest.approx(930.9, rel=0.01)
    assert ts.cusum_run_length(0.5, 4, shift=0.5) == pytest.approx(5.166**2)
    assert ts.cusum_run_length(0.5, 5, shift=1.0) == pytest.approx(10.4, abs=0.1)
    assert ts.cusum_limit(ts.cusum_run_length(0.5, 4.7)) == pytest.approx(4.7)


def test_cusum_alarms_as_rarely_as_siegmund_says():
    random = rng.stream(5, "cusum")
    limit = ts.cusum_limit(100.0)
    lengths = [1 + (ts.cusum(random.standard_normal(800), 0.5, limit) or 0) for _ in range(400)]
    assert np.mean(lengths) == pytest.approx(100, rel=0.2)


def test_page_hinkley():
    flat = np.zeros(50)
    assert ts.page_hinkley(flat, 0.01, 1.0) is None
    step = np.concatenate([np.zeros(50), np.ones(50)])
    # After j ones the running mean is j / (50 + j): the sum passes 3 at the fourth.
    assert ts.page_hinkley(step, 0.0, 3.0) == 53
    assert ts.page_hinkley(step - 7, 0.0, 3.0) == 53
