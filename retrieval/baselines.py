"""Simple models that every release must beat: popularity, recent popularity, decayed Markov chains and EASE. Torch-free.

A baseline is a frozen config whose `fit` turns interactions into a `Scorer`; a scorer turns histories into one score for every
video of the catalogue. Neither knows who asks, what the answer will be compared with, or which videos must be hidden. Tuned
simple models beat most published ones (Ferrari Dacrema et al., RecSys 2019), so `grids` gives each the same number of trials.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import lapack

from core.clock import DAY_MS
from core.ragged import Ragged
from data.interactions import Interactions

Floats = NDArray[np.float32]
Sparse = Any
"""A scipy.sparse.csr_array."""
_LAST_RESORT = 1e-9
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
        return Constant(_shares(interactions.counts()))


@dataclass(frozen=True)
class RecentPopularity:
    """Interactions weighted by 2^(−age / half-life), age counted from the last interaction of the log."""

    name: ClassVar[str] = "recent_popularity"
    half_life_ms: float = 7.0 * DAY_MS

    def fit(self, interactions: Interactions) -> Constant:
        """See Baseline."""
        age = interactions.at.max(initial=0) - interactions.at
        weights = np.exp2(-age / self.half_life_ms)
        return Constant(_shares(np.bincount(interactions.video_rows, weights, minlength=interactions.num_videos)))


@dataclass(frozen=True)
class VideoToVideo:
    """score(j) = Σ_h decay^age(h) · (S[h, j] + backoff[h] · popularity[j]) over the history, age 0 being the latest video.

    S covers the m videos in `rows`; a history video outside adds nothing, a candidate outside has S = 0.
    """

    matrix: Sparse | Floats
    """S [m, m]"""
    backoff: Floats
    """[m]"""
    rows: NDArray[np.int32]
    """[m] catalogue row of each covered video."""
    popularity: Floats
    """[V] sums to 1."""
    decay: float

    def scores(self, histories: Ragged) -> Floats:
        """See Scorer."""
        local = np.full(len(self.popularity), -1, dtype=np.int64)
        local[self.rows] = np.arange(len(self.rows))
        columns, weights = local[histories.values], self.decay ** histories.ages.astype(np.float32)
        known = (columns >= 0) & (weights > 1e-6)
        shape = (len(histories), len(self.rows))
        weighted = _sparse(weights[known], histories.owners[known], columns[known], shape)
        found: Any = weighted @ self.matrix
        scores = np.outer(weighted @ self.backoff + _LAST_RESORT, self.popularity).astype(np.float32)
        scores[:, self.rows] += found if isinstance(found, np.ndarray) else found.toarray()
        return scores


@dataclass(frozen=True)
class Markov:
    """Decayed first-order Markov chain: S[i, j] = C[i, j] / (C[i, ·] + smoothing).

    C counts that j followed i within `window` steps, a gap of g steps counting gap_decay^(g − 1). The rest of the mass,
    smoothing / (C[i, ·] + smoothing), goes to popularity.
    """

    name: ClassVar[str] = "markov"
    window: int = 8
    gap_decay: float = 0.8
    smoothing: float = 10.0
    decay: float = 0.7

    def fit(self, interactions: Interactions) -> VideoToVideo:
        """See Baseline."""
        counts = transitions(interactions, self.window, self.gap_decay)
        mass = counts.sum(axis=1) + self.smoothing
        return VideoToVideo(
            matrix=(sp.diags_array(1.0 / mass) @ counts).tocsr().astype(np.float32),
            backoff=(self.smoothing / mass).astype(np.float32),
            rows=np.arange(interactions.num_videos, dtype=np.int32),
            popularity=_shares(interactions.counts()),
            decay=self.decay,
        )


@dataclass(frozen=True)
class Ease:
    """EASE (Steck, WWW 2019): the linear model S with zero diagonal that best rebuilds the viewer × video matrix X.

    P = (XᵀX + l2 · I)⁻¹, S = −P / diag(P) by column, diagonal 0. Restricted to the `max_videos` most watched videos: time
    grows with their cube. `decay` < 1 weighs a recent history more when scoring.
    """

    name: ClassVar[str] = "ease"
    l2: float = 800.0
    max_videos: int = 8_000
    decay: float = 0.8

    def fit(self, interactions: Interactions) -> VideoToVideo:
        """See Baseline."""
        counts = interactions.counts()
        rows = np.sort(np.argsort(-counts, kind="stable")[: self.max_videos]).astype(np.int32)
        gram = _co_watched(interactions, rows)
        gram[np.diag_indices(len(rows))] += self.l2
        return VideoToVideo(
            matrix=_ease_weights(gram),
            backoff=np.zeros(len(rows), dtype=np.float32),
            rows=rows,
            popularity=_shares(counts),
            decay=self.decay,
        )


def grids(*, timed: bool = True, ordered: bool = True, max_ease_videos: int = 8_000) -> dict[str, tuple[Baseline, ...]]:
    """Twelve settings per model that has settings (EASE without order: three, as its decay means nothing).

    `timed`: instants are real times, comparable across viewers. `ordered`: a viewer's interactions have an order. A model
    that needs what the log lacks is absent.
    """
    found: dict[str, tuple[Baseline, ...]] = {Popularity.name: (Popularity(),)}
    if timed:
        days = (0.25, 0.5, 1, 2, 3.5, 7, 14, 30, 60, 120, 240, 480)
        found[RecentPopularity.name] = tuple(RecentPopularity(half_life_ms=d * DAY_MS) for d in days)
    if ordered:
        found[Markov.name] = tuple(Markov(window=w, decay=d) for w in (1, 3, 8) for d in (0.5, 0.7, 0.8, 0.9))
    decays = (1.0, 0.95, 0.9, 0.8) if ordered else (1.0,)
    penalties = (200.0, 800.0, 3200.0)
    found[Ease.name] = tuple(Ease(l2=l2, max_videos=max_ease_videos, decay=d) for l2 in penalties for d in decays)
    return found


def fit_next(model: Baseline, interactions: Interactions, before: tuple[Baseline, Scorer] | None) -> Scorer:
    """`model.fit`, sharing what the model fitted before it on the same interactions learned when only `decay` differs."""
    if before is not None and isinstance(model, Markov | Ease):
        earlier, scorer = before
        if (
            isinstance(earlier, type(model))
            and isinstance(scorer, VideoToVideo)
            and replace(earlier, decay=model.decay) == model
        ):
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


def transitions(interactions: Interactions, window: int, gap_decay: float) -> Sparse:
    """[V, V] decayed counts of "j came after i, at most `window` steps later, for the same viewer"; repeats of i left out."""
    rows, viewers, num = interactions.video_rows, interactions.viewer_rows, interactions.num_videos
    total = _sparse([], [], [], (num, num))
    for gap in range(1, min(window, len(rows) - 1) + 1):
        same = (viewers[:-gap] == viewers[gap:]) & (rows[:-gap] != rows[gap:])
        before, after = rows[:-gap][same], rows[gap:][same]
        total = total + _sparse(np.full(len(before), gap_decay ** (gap - 1)), before, after, (num, num))
    return total


def _sparse(values: ArrayLike, rows: ArrayLike, columns: ArrayLike, shape: tuple[int, int]) -> Sparse:
    """A matrix from its entries; repeated ones add up."""
    entries: Any = (np.asarray(values), (np.asarray(rows, dtype=np.int64), np.asarray(columns, dtype=np.int64)))
    return sp.coo_array(entries, shape=shape).tocsr()


def _co_watched(interactions: Interactions, rows: NDArray[np.int32]) -> NDArray[np.float64]:
    """[m, m] number of viewers who watched both; dense, column-major so that LAPACK works in place."""
    local = np.full(interactions.num_videos, -1, dtype=np.int64)
    local[rows] = np.arange(len(rows))
    columns = local[interactions.video_rows]
    known = columns >= 0
    shape = (len(interactions.viewer_ids), len(rows))
    watched = _sparse(np.ones(int(known.sum())), interactions.viewer_rows[known], columns[known], shape)
    watched.data[:] = 1.0
    return (watched.T @ watched).toarray(order="F")


def _ease_weights(gram: NDArray[np.float64]) -> Floats:
    """S from the regularised Gram matrix, which is destroyed."""
    factor, failed = lapack.dpotrf(gram, lower=1, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError("the Gram matrix is not positive definite; raise l2")
    inverse, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
    diagonal = np.diag(inverse).copy()
    weights = np.tril(inverse, -1).astype(np.float32)
    weights += weights.T
    weights /= -diagonal.astype(np.float32)
    return weights


def _shares(weights: NDArray[np.int64] | NDArray[np.float64]) -> Floats:
    return (weights / max(float(weights.sum()), np.finfo(float).tiny)).astype(np.float32)
