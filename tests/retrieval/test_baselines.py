"""Closed forms on logs small enough to work out by hand, then planted structure."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import rng
from core.clock import DAY_MS
from core.ragged import Ragged
from data.interactions import Interactions, group
from retrieval import baselines
from retrieval.baselines import Popularity, RecentPopularity, fit_next, top, top_k
from retrieval.factorisation import Ials
from retrieval.neighbours import Ease, ItemKnn, Markov, transitions


def log(*histories: list[int], num_videos: int = 5, step_ms: int = 1) -> Interactions:
    viewer_ids = np.repeat(np.arange(len(histories), dtype=np.int64), [len(h) for h in histories])
    at = np.concatenate([np.arange(len(h), dtype=np.int64) * step_ms for h in histories])
    return group(viewer_ids, np.concatenate(histories).astype(np.int32), at, num_videos)


def test_popularity_is_the_share_of_interactions() -> None:
    scores = Popularity().fit(log([0, 1, 1], [1])).scores(Ragged.of([[0], []]))
    assert scores == pytest.approx(np.tile([0.25, 0.75, 0, 0, 0], (2, 1)))


def test_recent_popularity_halves_every_half_life() -> None:
    scores = RecentPopularity(half_life_ms=DAY_MS).fit(log([0, 1, 2], step_ms=DAY_MS)).scores(Ragged.of([[]]))[0]
    assert scores[:3] == pytest.approx(np.array([1, 2, 4]) / 7)


def test_transitions_decay_with_the_gap_and_never_cross_viewers() -> None:
    counts = transitions(log([0, 1, 2], [3, 3, 1]), window=2, gap_decay=0.5).toarray()
    expected = np.zeros((5, 5))
    expected[0, 1], expected[1, 2], expected[0, 2], expected[3, 1] = 1, 1, 0.5, 1 + 0.5
    assert counts == pytest.approx(expected)


def test_markov_is_the_decayed_sum_of_smoothed_transitions() -> None:
    model = Markov(window=1, smoothing=1.0, decay=0.5).fit(log([0, 1], [0, 1], [0, 2], [1, 3]))
    popularity = np.array([3, 3, 1, 1, 0]) / 8
    from_0 = (np.array([0, 2, 1, 0, 0]) + popularity) / 4
    from_1 = (np.array([0, 0, 0, 1, 0]) + popularity) / 2
    assert model.scores(Ragged.of([[0, 1]]))[0] == pytest.approx(from_1 + 0.5 * from_0, abs=1e-6)


def test_markov_without_history_orders_by_popularity() -> None:
    model = Markov().fit(log([0, 1], [2, 1], [2, 1]))
    assert top(model, Ragged.of([[]]), 3).tolist() == [[1, 2, 0]]


def ease_by_constraint(watched: np.ndarray, l2: float) -> np.ndarray:
    """Column j solves a ridge regression on all other videos: the definition, without the closed form."""
    weights = np.zeros((watched.shape[1],) * 2)
    for j in range(watched.shape[1]):
        others = np.arange(watched.shape[1]) != j
        gram = watched[:, others].T @ watched[:, others] + l2 * np.eye(others.sum())
        weights[others, j] = np.linalg.solve(gram, watched[:, others].T @ watched[:, j])
    return weights


def test_ease_solves_its_constrained_regression() -> None:
    watched = (rng.stream(0, "ease").random((30, 6)) < 0.4).astype(float)
    watched[:, 0] = 1
    model = Ease(l2=3.0, decay=1.0).fit(log(*[np.flatnonzero(row).tolist() for row in watched], num_videos=6))
    assert model.matrix == pytest.approx(ease_by_constraint(watched, 3.0), abs=1e-6)
    history = Ragged.of([np.flatnonzero(watched[3])])
    assert model.scores(history)[0] == pytest.approx(watched[3] @ ease_by_constraint(watched, 3.0), abs=1e-6)


def test_ease_counts_a_repeated_video_once() -> None:
    assert Ease(l2=1.0).fit(log([0, 1, 1], [2])).matrix == pytest.approx(Ease(l2=1.0).fit(log([0, 1], [2])).matrix)


def test_ease_restricted_to_the_most_watched_videos() -> None:
    interactions = log([0, 1, 4], [0, 4], [4, 0, 3])
    model = Ease(l2=1.0, max_videos=2, decay=1.0).fit(interactions)
    assert model.rows.tolist() == [0, 4]
    scores = model.scores(Ragged.of([[0], [3]]))
    assert scores.shape == (2, 5)
    assert scores[0, 4] == pytest.approx(3 / 4, abs=1e-6)
    assert np.abs(scores[1]).max() < 1e-6


@pytest.mark.parametrize("model", [Markov(decay=0.7), Ease(decay=1.0), ItemKnn(decay=1.0), Ials(dim=2)])
def test_changing_only_the_decay_equals_fitting_again(model: baselines.Baseline) -> None:
    interactions = log([0, 1, 2, 3], [1, 2, 4], [0, 3, 4])
    histories = Ragged.of([[0, 1], [2]])
    other = type(model)(decay=0.4)  # type: ignore[call-arg]
    shared = fit_next(other, interactions, (model, model.fit(interactions)))
    assert shared.scores(histories) == pytest.approx(other.fit(interactions).scores(histories))
    unrelated = fit_next(Markov(window=1), interactions, (model, model.fit(interactions)))
    assert unrelated.scores(histories) == pytest.approx(Markov(window=1).fit(interactions).scores(histories))


@settings(deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12), st.integers(1, 15))
def test_top_k_is_the_sorted_list(values: list[int], k: int) -> None:
    scores = np.array([values], dtype=np.float32)
    scores[scores == -3] = -np.inf
    rows = top_k(scores, k)[0]
    kept = rows[rows >= 0]
    expected = np.sort(scores[0][scores[0] > -np.inf])[::-1][:k]
    assert len(rows) == k
    assert len(set(kept.tolist())) == len(kept)
    assert scores[0][kept].tolist() == expected.tolist()
    assert (rows[len(kept) :] == -1).all()


def test_top_hides_what_is_excluded_in_any_batch_size() -> None:
    model = Popularity().fit(log([0, 0, 0, 1, 1, 2]))
    histories, seen = Ragged.of([[], [], []]), Ragged.of([[0], [], [0, 1, 2, 3]])
    for batch in (1, 2, 256):
        found = top(model, histories, 2, seen, batch=batch)
        assert found.tolist() == [[1, 2], [0, 1], [4, -1]]


def test_a_planted_chain_is_found_by_markov_only() -> None:
    """Everyone walks a ring of 40 videos from a random start: the next one is certain, popularity is flat."""
    starts = rng.stream(0, "ring").integers(0, 40, 200)
    interactions = log(*[[(int(s) + i) % 40 for i in range(12)] for s in starts], num_videos=40)
    histories = Ragged.of([[(i - 1) % 40, i] for i in range(40)])
    expected = (np.arange(40) + 1) % 40
    assert (top(Markov(window=1).fit(interactions), histories, 1, histories)[:, 0] == expected).all()
    assert (top(Popularity().fit(interactions), histories, 1, histories)[:, 0] == expected).mean() < 0.2
