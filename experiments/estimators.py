"""What another policy would have earned, from a log of this one: off-policy estimators over plain arrays.

For N logged rows with reward r, behaviour propensity π_b, target propensity π_e and weight w = π_e / π_b of the logged action;
q̂ is a reward model's prediction for the logged action and v̂ = Σ_a π_e(a) q̂(a) its expectation under the target:

    IPS        mean(w r)                                     Horvitz & Thompson 1952
    SNIPS      Σ w r / Σ w                                   Swaminathan & Joachims, NeurIPS 2015
    clipped    mean(min(w, τ) r)                             Ionides 2008
    DM         mean(v̂)
    DR         mean(v̂ + w (r − q̂))                           Dudík, Langford & Li, ICML 2011
    SNDR       mean(v̂) + Σ w (r − q̂) / Σ w
    Switch-DR  mean(v̂ + w [w ≤ τ] (r − q̂))                   Wang, Agarwal & Dudík, ICML 2017

and for N slates of K slots, value summed over slots:

    SIPS       mean_n Σ_k (Π_j w_nj) r_nk                    no assumption, enormous weights
    IIPS       mean_n Σ_k w_nk r_nk                          reward of a slot depends on that slot alone (Li et al., KDD 2018)
    RIPS       mean_n Σ_k (Π_{j≤k} w_nj) r_nk                … and on the slots above it (McInerney et al., KDD 2020)

All assume that propensities are exact and that whatever the target may show, the behaviour policy could show too. The
estimators know nothing of whether that holds: see `experiments.diagnostics`. Every one has the form of `Terms`, so that one
bootstrap serves all. Shape legend: N rows or slates, K slots.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Terms:
    """An estimator as mean(direct) + Σ_k mean(residual_k) / mean(norm_k); not self-normalised means norm 1."""

    direct_N: Floats
    residual_NK: Floats
    norm_NK: Floats

    @property
    def value(self) -> float:
        """The estimate; nan when every weight is zero."""
        return float(combined(self.direct_N.mean(), self.residual_NK.mean(axis=0), self.norm_NK.mean(axis=0)))


class Rows(NamedTuple):
    """N logged rows as the estimators see them."""

    reward_N: Floats
    weight_N: Floats
    predicted_N: Floats
    """q̂ of the logged action."""
    expected_N: Floats
    """v̂, the model's value of the target policy in that row."""


def combined(direct: ArrayLike, residual: Floats, norm: Floats) -> Floats:
    """mean(direct) + Σ residual / norm over the last axis; nan where a norm is zero."""
    ratio = np.divide(residual, norm, out=np.full(np.shape(residual), np.nan), where=norm > 0)
    return np.asarray(direct + ratio.sum(axis=-1), dtype=np.float64)


def ips(reward_N: ArrayLike, weight_N: ArrayLike) -> Terms:
    """Unbiased; its variance grows with the square of the weights."""
    return _corrected(0.0, _floats(weight_N) * _floats(reward_N))


def snips(reward_N: ArrayLike, weight_N: ArrayLike) -> Terms:
    """Consistent, biased by O(1/N), stays inside the range of the rewards."""
    return _corrected(0.0, _floats(weight_N) * _floats(reward_N), _floats(weight_N))


def clipped(reward_N: ArrayLike, weight_N: ArrayLike, tau: float) -> Terms:
    """Weights above τ count as τ: less variance, biased downwards for rewards ≥ 0."""
    return ips(reward_N, np.minimum(_floats(weight_N), tau))


def dm(expected_N: ArrayLike) -> Terms:
    """The direct method: as good as the reward model, and no better."""
    return _corrected(expected_N, np.zeros(len(_floats(expected_N))))


def dr(rows: Rows) -> Terms:
    """Doubly robust: unbiased when the propensities or the model are right; the better the model, the less variance."""
    return _corrected(rows.expected_N, rows.weight_N * (rows.reward_N - rows.predicted_N))


def sndr(rows: Rows) -> Terms:
    """Doubly robust with self-normalised weights."""
    return _corrected(rows.expected_N, rows.weight_N * (rows.reward_N - rows.predicted_N), rows.weight_N)


def switch_dr(rows: Rows, tau: float) -> Terms:
    """Doubly robust where the weight is at most τ, the model alone elsewhere."""
    kept = np.where(rows.weight_N <= tau, rows.weight_N, 0.0)
    return _corrected(rows.expected_N, kept * (rows.reward_N - rows.predicted_N))


def tau_of(num_rows: int) -> float:
    """√N, the truncation at which bias and variance vanish together (Ionides 2008)."""
    return float(np.sqrt(num_rows))


def every(rows: Rows) -> dict[str, Terms]:
    """All single-action estimators by name, with τ = √N for the two that need one."""
    tau = tau_of(len(rows.reward_N))
    return {
        "ips": ips(rows.reward_N, rows.weight_N),
        "snips": snips(rows.reward_N, rows.weight_N),
        "clipped": clipped(rows.reward_N, rows.weight_N, tau),
        "dm": dm(rows.expected_N),
        "dr": dr(rows),
        "sndr": sndr(rows),
        "switch_dr": switch_dr(rows, tau),
    }


def sips(reward_NK: ArrayLike, weight_NK: ArrayLike, *, normalised: bool = False) -> Terms:
    """Slate IPS. `weight_NK`: ratio of the probabilities of slot k's video given the slots before."""
    weight = _floats(weight_NK)
    return _slots(reward_NK, np.broadcast_to(weight.prod(axis=1, keepdims=True), weight.shape), normalised)


def iips(reward_NK: ArrayLike, weight_NK: ArrayLike, *, normalised: bool = False) -> Terms:
    """Independent IPS. `weight_NK`: ratio of the *marginal* probabilities of that video in slot k, not the conditional ones."""
    return _slots(reward_NK, _floats(weight_NK), normalised)


def rips(reward_NK: ArrayLike, weight_NK: ArrayLike, *, normalised: bool = False) -> Terms:
    """Reward-interaction IPS. `weight_NK` as in `sips`; slot k carries the product up to k."""
    return _slots(reward_NK, _floats(weight_NK).cumprod(axis=1), normalised)


def _slots(reward_NK: ArrayLike, weight_NK: Floats, normalised: bool) -> Terms:
    residual = weight_NK * _floats(reward_NK)
    return _corrected(0.0, residual, weight_NK if normalised else 1.0)


def _corrected(direct_N: ArrayLike, residual: Floats, norm: ArrayLike = 1.0) -> Terms:
    residual_NK = residual.reshape(len(residual), -1)
    norm_NK = np.broadcast_to(_floats(norm).reshape(-1, 1) if np.ndim(norm) == 1 else _floats(norm), residual_NK.shape)
    return Terms(np.broadcast_to(_floats(direct_N), len(residual_NK)), residual_NK, norm_NK)


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)
