"""Implicit alternating least squares, a baseline: a vector for every viewer and video, products close to what was watched.

min Σ_vj c_vj (p_vj − x_v·y_j)² + Σ_v λ_v |x_v|² + Σ_j λ_j |y_j|², with p, c = 1, alpha where viewer v watched video j and 0, 1
elsewhere (Hu et al., ICDM 2008). A vector is regularised by what it must explain: λ_v = l2 · (V + Σ c of what v watched), and
λ_j alike (the "frequency scaling" without which the method is weaker: Rendle et al., RecSys 2022). Each sweep solves all
viewers, then all videos, by a few steps of conjugate gradients in the `implicit` library. Whoever asks later is a history: its
vector is solved for, exactly, from the videos' vectors.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from core import rng
from core.ragged import Ragged
from data.interactions import Interactions
from retrieval.baselines import LAST_RESORT, Floats, Sparse, faded, shares, watched

_SPREAD = 1.1
"""Rows whose λ differ by no more than this ratio share one: the library takes one λ per call."""
_Solver = Callable[..., None]


@dataclass(frozen=True)
class FoldIn:
    """score(j) = x·y_j, x the exact solution for a history whose video of age a (0 the latest) has c = alpha · decay^a."""

    video_VD: Floats
    popularity: Floats
    """[V] sums to 1."""
    alpha: float
    l2: float
    decay: float

    def scores(self, histories: Ragged) -> Floats:
        """See Scorer."""
        weights = self.alpha * faded(histories, self.decay, len(self.popularity))
        viewer_ND = np.zeros((len(histories), self.video_VD.shape[1]), dtype=np.float32)
        with _solver(self.video_VD.shape[1], exact=True) as solve:
            _update(solve, weights, viewer_ND, self.video_VD, self.l2)
        return viewer_ND @ self.video_VD.T + LAST_RESORT * self.popularity


@dataclass(frozen=True)
class Ials:
    """See the module."""

    name: ClassVar[str] = "ials"
    dim: int = 128
    alpha: float = 5.0
    """How much more a watched pair counts than another one."""
    l2: float = 0.01
    sweeps: int = 16
    decay: float = 0.8
    """Per step back in a history, when scoring; training weighs all alike."""
    seed: int = 1

    def fit(self, interactions: Interactions) -> FoldIn:
        """See Baseline."""
        weights = self.alpha * watched(interactions)
        transposed = weights.T.tocsr()
        viewer_ND, video_VD = (_start(self.seed, side, n, self.dim) for side, n in enumerate(weights.shape))
        with _solver(self.dim, exact=False) as solve:
            for _ in range(self.sweeps):
                _update(solve, weights, viewer_ND, video_VD, self.l2)
                _update(solve, transposed, video_VD, viewer_ND, self.l2)
        return FoldIn(video_VD, shares(interactions.counts()), self.alpha, self.l2, self.decay)


def _start(seed: int, side: int, num: int, dim: int) -> Floats:
    return rng.stream(seed, "ials", side).normal(scale=0.1 / np.sqrt(dim), size=(num, dim)).astype(np.float32)


@contextmanager
def _solver(dim: int, *, exact: bool) -> Iterator[_Solver]:
    """The library's solver; its threads work on rows, so BLAS below them must not start its own."""
    from implicit.cpu.als import AlternatingLeastSquares  # half a second to import, and the service never needs it
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        yield AlternatingLeastSquares(dim, use_cg=not exact).solver


def _update(solve: _Solver, weights_NM: Sparse, out_ND: Floats, given_MD: Floats, l2: float) -> None:
    """Solve for each row of `out_ND`, in place. weights_NM holds c of the watched pairs."""
    strength = weights_NM.sum(axis=1) + weights_NM.shape[1]
    for rows in _alike(strength):
        chosen, part = weights_NM[rows].astype(np.float32), out_ND[rows]
        solve(chosen, part, given_MD, float(l2 * strength[rows].mean()), num_threads=0)
        out_ND[rows] = part


def _alike(strength: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Rows in groups within which the strength differs by a ratio of at most `_SPREAD`."""
    band = np.floor(np.log(strength) / np.log(_SPREAD)).astype(np.int64)
    order = np.argsort(band, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(band[order])) + 1)
