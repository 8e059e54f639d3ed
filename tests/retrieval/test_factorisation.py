"""The library's solver against the normal equations, written out in numpy."""

import numpy as np
import pytest

from core import rng
from core.ragged import Ragged
from data.interactions import Interactions, group
from retrieval.baselines import top
from retrieval.factorisation import FoldIn, Ials


def log(*histories: list[int], num_videos: int) -> Interactions:
    viewer_ids = np.repeat(np.arange(len(histories), dtype=np.int64), [len(h) for h in histories])
    at = np.concatenate([np.arange(len(h), dtype=np.int64) for h in histories])
    return group(viewer_ids, np.concatenate(histories).astype(np.int32), at, num_videos)


def normal_equations(weights_V: np.ndarray, video_VD: np.ndarray, l2: float) -> np.ndarray:
    """The minimum of Σ_j c_j (p_j − x·y_j)² + λ|x|², with weights_V = c where watched and 0 elsewhere."""
    confidence = np.where(weights_V > 0, weights_V, 1.0)
    penalty = l2 * (len(weights_V) + weights_V.sum())
    left = video_VD.T @ (confidence[:, None] * video_VD) + penalty * np.eye(video_VD.shape[1])
    return np.linalg.solve(left, video_VD.T @ weights_V)


def test_a_history_is_folded_in_by_its_normal_equations() -> None:
    video_VD = rng.stream(0, "videos").normal(size=(7, 3)).astype(np.float32)
    model = FoldIn(video_VD, np.zeros(7, dtype=np.float32), alpha=4.0, l2=0.1, decay=0.5)
    found = model.scores(Ragged.of([[2, 5, 1], [6], []]))
    for row, weights in enumerate([{2: 1.0, 5: 2.0, 1: 4.0}, {6: 4.0}, {}]):
        weights_V = np.zeros(7)
        weights_V[list(weights)] = list(weights.values())
        assert found[row] == pytest.approx(video_VD @ normal_equations(weights_V, video_VD, 0.1), abs=1e-5)


def test_many_sweeps_end_where_neither_side_can_improve() -> None:
    """At the minimum each video solves its own normal equations given the viewers, and each viewer those given the videos."""
    watched = (rng.stream(1, "ials").random((30, 8)) < 0.4).astype(float)
    watched[:, 0] = 1
    histories = [np.flatnonzero(row).tolist() for row in watched]
    model = Ials(dim=3, alpha=3.0, l2=0.02, sweeps=300, decay=1.0).fit(log(*histories, num_videos=8))
    viewers = np.stack([normal_equations(3.0 * row, model.video_VD, 0.02) for row in watched])
    videos = np.stack([normal_equations(3.0 * column, viewers, 0.02) for column in watched.T])
    # λ is shared by rows within 10 % of each other, so the equations hold up to that.
    assert videos == pytest.approx(model.video_VD, abs=0.05)
    assert np.abs(videos).max() > 0.5


def test_two_communities_are_told_apart_and_the_cold_see_what_is_popular() -> None:
    random = rng.stream(2, "communities")
    histories = [(random.choice(10, 6, replace=False) + 10 * (v % 2)).tolist() for v in range(60)]
    histories[0] += [9] * 5
    interactions = log(*histories, num_videos=20)
    model = Ials(dim=2, sweeps=10).fit(interactions)
    found = top(model, Ragged.of([[0, 1], [12, 13]]), 8, Ragged.of([[0, 1], [12, 13]]))
    assert (found[0] < 10).all()
    assert (found[1] >= 10).all()
    assert top(model, Ragged.of([[]]), 1)[0, 0] == np.argmax(interactions.counts())


def test_the_same_seed_gives_the_same_vectors() -> None:
    interactions = log([0, 1, 2], [1, 2, 3], [0, 3], num_videos=4)
    first, again, other = (Ials(dim=2, sweeps=2, seed=seed).fit(interactions).video_VD for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
