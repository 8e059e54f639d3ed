"""Simple models that every release must beat: their protocol, the two that give everyone the same page, and how all are used.

A baseline is a frozen config whose `fit` turns interactions into a `Scorer`; a scorer turns histories into one score for every
video of the catalogue. Neither knows who asks, what the answer will be compared with, or which videos must be hidden. Videos
that speak for each other are in `neighbours.py`, matrix factorisation in `factorisation.py`, what may be tuned in `tunable.py`.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from core.clock import DAY_MS
from core.ragged import Ragged
from data.interactions import Interactions

Floats = NDArray[np.float32]
Sparse = Any
"""A scipy.sparse.csr_array."""
LAST_RESORT = 1e-9
"""Weight of popularity where a model has nothing to say: orders ties, moves nothing else."""


class Scorer(Protocol):
    """A fitted model."""

    def scores(self, histories: Ragged) -> Floats:
        """[n, V] a fresh array; higher is better. Histories hold catalogue rows, oldest first."""
        ...


class Baseline(Protocol):
    """A model before fitting: its name and its settings."""

    name: ClassVar[str]

    def fit(self, interactions: Interactions) -> Scorer:
        """Learn from interactions; deterministic."""
        ...


@dataclass(frozen=True)
class Constant:
    """The same scores for everyone."""

    scores_V: Floats

    def scores(self, histories: Ragged) -> Floats:
        """See Scorer."""
        return np.tile(self.scores_V, (len(histories), 1))


@dataclass(frozen=True)
class Popularity:
    """Number of interactions."""

    name: ClassVar[str] = "popularity"

    def fit(self, interactions: Interactions) -> Constant:
        """See Baseline."""
        return Constant(shares(interactions.counts()))


@dataclass(frozen=True)
class RecentPopularity:
    """Interactions weighted by 2^(−age / half-life), age counted from the last interaction of the log."""

    name: ClassVar[str] = "recent_popularity"
    half_life_ms: float = 7.0 * DAY_MS

    def fit(self, interactions: Interactions) -> Constant:
        """See Baseline."""
        age = interactions.at.max(initial=0) - interactions.at
        weights = np.exp2(-age / self.half_life_ms)
        return Constant(shares(np.bincount(interactions.video_rows, weights, minlength=interactions.num_videos)))


def fit_next(model: Any, interactions: Interactions, before: tuple[Any, Any] | None) -> Scorer:
    """`model.fit`, sharing what the model fitted before it on the same interactions learned when only `decay` differs."""
    if before is not None and hasattr(model, "decay"):
        earlier, scorer = before
        if type(earlier) is type(model) and replace(earlier, decay=model.decay) == model:
            return replace(scorer, decay=model.decay)
    return model.fit(interactions)


def top_k(scores: Floats, k: int) -> NDArray[np.int32]:
    """[n, k] rows of the best scores, best first, equal ones by row; −1 where fewer than k videos score above −inf."""
    k_found = min(k, scores.shape[1])
    found = np.argpartition(scores, scores.shape[1] - k_found, axis=1)[:, scores.shape[1] - k_found :]
    found.sort(axis=1)
    values = np.take_along_axis(scores, found, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    rows = np.where(np.take_along_axis(values, order, axis=1) > -np.inf, np.take_along_axis(found, order, axis=1), -1)
    return np.pad(rows, ((0, 0), (0, k - k_found)), constant_values=-1).astype(np.int32)


def top(scorer: Scorer, histories: Ragged, k: int, exclude: Ragged | None = None, batch: int = 256) -> NDArray[np.int32]:
    """[n, k] best videos for each history, without those in `exclude`, −1 padding; `batch` bounds memory."""
    blocks = [np.zeros((0, k), dtype=np.int32)]
    for begin in range(0, len(histories), batch):
        rows = slice(begin, begin + batch)
        scores = scorer.scores(histories.take(rows))
        if exclude is not None:
            hidden = exclude.take(rows)
            scores[hidden.owners, hidden.values] = -np.inf
        blocks.append(top_k(scores, k))
    return np.concatenate(blocks)


def shares(weights: NDArray[np.int64] | NDArray[np.float64]) -> Floats:
    """The weights scaled to sum to 1."""
    return (weights / max(float(weights.sum()), np.finfo(float).tiny)).astype(np.float32)


def sparse(values: ArrayLike, rows: ArrayLike, columns: ArrayLike, shape: tuple[int, int]) -> Sparse:
    """A matrix from its entries; repeated ones add up."""
    entries: Any = (np.asarray(values), (np.asarray(rows, dtype=np.int64), np.asarray(columns, dtype=np.int64)))
    return sp.coo_array(entries, shape=shape).tocsr()


def watched(interactions: Interactions) -> Sparse:
    """[N, V] float32: 1 where the viewer watched the video, however often."""
    shape = (len(interactions.viewer_ids), interactions.num_videos)
    ones = np.ones(len(interactions), dtype=np.float32)
    found = sparse(ones, interactions.viewer_rows, interactions.video_rows, shape)
    found.data[:] = 1.0
    return found


def faded(histories: Ragged, decay: float, num_videos: int) -> Sparse:
    """[n, V] float32: decay^age of each video in each history, age 0 being the latest; a repeated video adds up."""
    weights = np.float32(decay) ** histories.ages.astype(np.float32)
    kept = weights > 1e-6
    return sparse(weights[kept], histories.owners[kept], histories.values[kept], (len(histories), num_videos))
