"""Worked numbers for every metric; and why nothing here samples candidates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import metrics, rng


def hits(*rows: list[int]) -> np.ndarray:
    return np.asarray(rows, dtype=bool)


def at_rank(rank: int, width: int = 20) -> np.ndarray:
    return (np.arange(1, width + 1) == rank)[None, :]


def test_ndcg_uses_log2_of_rank_plus_one() -> None:
    assert metrics.dcg([1, 0, 1], 3)[0] == pytest.approx(1.5)
    assert metrics.ndcg(hits([1, 0, 1]), [2], 3)[0] == pytest.approx(0.9197207891481876)


def test_graded_dcg() -> None:
    gains = np.array([3, 2, 3, 0, 1, 2])
    ideal = np.sort(gains)[::-1]
    assert metrics.dcg(gains, 6)[0] == pytest.approx(6.861126688593502)
    assert metrics.dcg(ideal, 6)[0] == pytest.approx(7.1409951840957)
    exponential = metrics.dcg(2.0**gains - 1, 6) / metrics.dcg(2.0**ideal - 1, 6)
    assert exponential[0] == pytest.approx(0.9488107485678985)


def test_ndcg_and_ap_at_ranks_two_and_three() -> None:
    found = hits([0, 1, 1])
    assert metrics.ndcg(found, [3], 3)[0] == pytest.approx(0.5307212739772434)
    assert metrics.average_precision(found, [3])[0] == pytest.approx(0.3888888888888889)
    assert metrics.average_precision(found, [5])[0] == pytest.approx(0.23333333333333334)


def test_hit_rate_and_recall_count_only_the_first_k() -> None:
    found = hits([0, 1, 0, 1], [0, 0, 0, 1])
    assert metrics.hit_rate(found, 2).tolist() == [1.0, 0.0]
    assert metrics.recall(found, [4, 1], 4).tolist() == [0.5, 1.0]


def test_probabilities() -> None:
    p = [0.1] * 5 + [0.8] * 5
    y = [0, 0, 0, 0, 1, 1, 1, 1, 0, 1]
    assert metrics.auc(y, p) == pytest.approx(0.8)
    assert metrics.ece(y, p, bins=2) == pytest.approx(0.05)
    assert metrics.log_loss(y, p) == pytest.approx(0.522603927331629)
    assert metrics.brier(y, p) == pytest.approx(0.165)


def test_auc_counts_ties_half_and_needs_both_classes() -> None:
    assert metrics.auc([0, 1], [0.5, 0.5]) == 0.5
    assert np.isnan(metrics.auc([1, 1], [0.1, 0.2]))


def test_gini() -> None:
    assert metrics.gini([0, 0, 0, 4]) == pytest.approx(0.75)
    assert metrics.gini([1, 2, 3, 4]) == pytest.approx(0.25)
    assert metrics.gini([0, 0]) == 0.0


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 30))
def test_ranking_metrics_stay_in_range_and_a_perfect_list_scores_one(row: list[bool], k: int) -> None:
    found, relevant = hits(row), max(1, sum(row))
    for value in (metrics.ndcg(found, [relevant], k)[0], metrics.recall(found, [relevant], k)[0]):
        assert 0.0 <= value <= 1.0 + 1e-12
    perfect = np.sort(found, axis=1)[:, ::-1]
    if sum(row):
        assert metrics.ndcg(perfect, [relevant], k)[0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("rank", "hr", "sampled_hr", "ndcg", "sampled_ndcg"),
    [
        (2, 1, 1.0, 0.63093, 0.99636),
        (11, 0, 1.0, 0.0, 0.96459),
        (101, 0, 0.99999993, 0.0, 0.72699),
        (501, 0, 0.97347, 0.0, 0.37451),
        (1001, 0, 0.46434, 0.0, 0.14626),
    ],
)
def test_sampling_99_negatives_would_flatter_bad_ranks(
    rank: int, hr: int, sampled_hr: float, ndcg: float, sampled_ndcg: float
) -> None:
    assert metrics.hit_rate(at_rank(rank), 10)[0] == hr
    assert metrics.ndcg(at_rank(rank), [1], 10)[0] == pytest.approx(ndcg, abs=5e-6)
    assert metrics.sampled_hit_rate([rank], 10_000, 99, 10)[0] == pytest.approx(sampled_hr, abs=5e-6)
    assert metrics.sampled_ndcg([rank], 10_000, 99, 10)[0] == pytest.approx(sampled_ndcg, abs=5e-6)


def test_expected_sampled_metrics_are_the_mean_of_sampling() -> None:
    """Draw the negatives and look."""
    rank, num, negatives = 60, 500, 20
    drawn = rng.stream(0, "negatives").integers(1, num, size=(40_000, negatives))  # the others, numbered by rank
    sampled = 1 + (drawn < rank).sum(axis=1)
    assert metrics.sampled_hit_rate([rank], num, negatives, 3)[0] == pytest.approx((sampled <= 3).mean(), abs=0.01)
    gain = np.where(sampled <= 3, 1 / np.log2(sampled + 1), 0.0)
    assert metrics.sampled_ndcg([rank], num, negatives, 3)[0] == pytest.approx(gain.mean(), abs=0.01)


def test_sampling_leaves_no_doubt_about_the_best_and_the_worst_rank() -> None:
    assert metrics.sampled_hit_rate([1, 100], [100, 100], 99, 10).tolist() == [1.0, 0.0]


def test_sampling_would_reverse_the_order_of_models() -> None:
    ranks = {"a": [100] * 5, "b": [40, 40, 8437, 9266, 4482], "c": [212, 2, 743, 5342, 1548]}
    true = {m: np.mean([metrics.ndcg(at_rank(r), [1], 10)[0] for r in rows]) for m, rows in ranks.items()}
    sampled = {m: metrics.sampled_ndcg(rows, 10_000, 99, 10).mean() for m, rows in ranks.items()}
    assert [round(true[m], 4) for m in "abc"] == [0.0, 0.0, 0.1262]
    assert [round(sampled[m], 4) for m in "abc"] == pytest.approx([0.7290, 0.3494, 0.3681], abs=2e-4)
