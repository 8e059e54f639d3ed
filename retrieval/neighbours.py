"""Baselines in which videos speak for each other: decayed Markov chains, EASE and item-based neighbours. Torch-free.

Each learns one matrix S of what a video in the history says about a candidate; all are scored by `VideoToVideo`. A recent
history may count more (`decay`): on logs with an order that matters more than which of the three it is.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import lapack

from core.ragged import Ragged
from data.interactions import Interactions
from retrieval.baselines import LAST_RESORT, Floats, Sparse, faded, shares, sparse, watched

_BLOCK = 1 << 24
"""Entries of a block of co-watch counts, were it dense: bounds memory."""


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
        weighted = faded(histories, self.decay, len(self.popularity))[:, self.rows]
        found: Any = weighted @ self.matrix
        scores = np.outer(weighted @ self.backoff + LAST_RESORT, self.popularity).astype(np.float32)
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
            popularity=shares(interactions.counts()),
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
        mine = watched(interactions)[:, rows].astype(np.float64)
        gram = (mine.T @ mine).toarray(order="F")  # column-major, so that LAPACK works in place
        gram[np.diag_indices(len(rows))] += self.l2
        return VideoToVideo(
            matrix=_ease_weights(gram),
            backoff=np.zeros(len(rows), dtype=np.float32),
            rows=rows,
            popularity=shares(counts),
            decay=self.decay,
        )


@dataclass(frozen=True)
class ItemKnn:
    """Item-based neighbours (Deshpande & Karypis, TOIS 2004): S[i, j] = C[i, j] / (√(C[i, i] · C[j, j]) + shrinkage).

    C[i, j] counts viewers who watched both; S keeps the `neighbours` largest of each row, none on the diagonal. The shrinkage
    takes weight from pairs that few viewers vouch for.
    """

    name: ClassVar[str] = "item_knn"
    neighbours: int = 200
    shrinkage: float = 10.0
    decay: float = 0.8

    def fit(self, interactions: Interactions) -> VideoToVideo:
        """See Baseline."""
        num_videos = interactions.num_videos
        return VideoToVideo(
            matrix=_nearest(watched(interactions), self.neighbours, self.shrinkage),
            backoff=np.zeros(num_videos, dtype=np.float32),
            rows=np.arange(num_videos, dtype=np.int32),
            popularity=shares(interactions.counts()),
            decay=self.decay,
        )


def transitions(interactions: Interactions, window: int, gap_decay: float) -> Sparse:
    """[V, V] decayed counts of "j came after i, at most `window` steps later, for the same viewer"; repeats of i left out."""
    rows, viewers, num = interactions.video_rows, interactions.viewer_rows, interactions.num_videos
    total = sparse([], [], [], (num, num))
    for gap in range(1, min(window, len(rows) - 1) + 1):
        same = (viewers[:-gap] == viewers[gap:]) & (rows[:-gap] != rows[gap:])
        before, after = rows[:-gap][same], rows[gap:][same]
        total = total + sparse(np.full(len(before), gap_decay ** (gap - 1)), before, after, (num, num))
    return total


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


def _nearest(viewers_NV: Sparse, neighbours: int, shrinkage: float) -> Sparse:
    """[V, V] shrunk cosines of the columns, the largest of each row; of equal ones the first column."""
    norms = np.sqrt(viewers_NV.sum(axis=0)).astype(np.float32)
    num, transposed, blocks = len(norms), viewers_NV.T.tocsr(), []
    step = max(1, _BLOCK // max(1, num))
    for begin in range(0, num, step):
        both = (transposed[begin : begin + step] @ viewers_NV).sorted_indices().tocoo()
        apart = both.row + begin != both.col
        rows, columns = both.row[apart], both.col[apart]
        values = both.data[apart] / (norms[rows + begin] * norms[columns] + shrinkage)
        order = np.argsort(rows + (1.0 - values.astype(np.float64)) / 2, kind="stable")  # by row, then falling; all are ≤ 1
        counts = np.bincount(rows, minlength=both.shape[0])
        rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        best = order[rank < neighbours]
        blocks.append(sparse(values[best], rows[best], columns[best], both.shape))
    return sp.vstack(blocks, format="csr") if blocks else sparse([], [], [], (0, 0))
