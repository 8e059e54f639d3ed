"""Policies that leave something to chance, with the exact probability of every choice.

A policy is a function: given which of the K candidates of B requests are left, the probabilities of the next slot.

    ε-greedy        (1 − ε)·[v scores best of those left]                   + ε·u(v)
    Plackett–Luce   (1 − ε)·exp(score_v / T) / Σ_left exp(score / T)        + ε·u(v)      (Plackett 1975, Luce 1959)
    Thompson        (1 − ε)·#{m : v is best of those left in sample m} / M  + ε·u(v)      (Thompson 1933)

u is uniform over what is left, or proportional to given weights, e.g. more for new videos. Thompson sampling draws one of M
stored posterior samples per slot, so its probability is a count; `experiments.posteriors` makes the samples. A plain draw from
the posterior has no such closed form, and UCB, which always shows its first choice, has propensities of 0 and 1: neither leaves
a log that off-policy estimators can use.

`draw` fills slots from the top without replacement; its propensities are conditional on the slots before. Draws derive from
(seed, request id) alone, so a replay is exact whatever the batch. Shape legend: B requests, K candidates, S slots, M samples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core import rng
from core.errors import BadInput
from experiments.estimators import Floats

Left = NDArray[np.bool_]
Chances = Callable[[Left], Floats]
"""bool[B, K] candidates not yet shown → f64[B, K] probabilities of the next slot; rows sum to 1, to 0 where nothing is left."""

NUM_SAMPLES = 64


@dataclass(frozen=True)
class Drawn:
    """Slates of S slots."""

    chosen_BS: NDArray[np.int64]
    """Candidate indices in display order; −1 where none was left."""
    propensity_BS: Floats
    """Probability of that choice given the slots before; 1 at −1."""


def epsilon_greedy(score_BK: ArrayLike, epsilon: float, explore_BK: ArrayLike | None = None) -> Chances:
    """The best-scored one, but for a share ε of slots."""
    score = np.asarray(score_BK, dtype=np.float64)

    def greedy(left: Left) -> Floats:
        return np.asarray(np.arange(score.shape[1]) == np.where(left, score, -np.inf).argmax(axis=1)[:, None], dtype=np.float64)

    return _mixed(greedy, epsilon, explore_BK)


def plackett_luce(
    score_BK: ArrayLike, temperature: float = 1.0, epsilon: float = 0.0, explore_BK: ArrayLike | None = None
) -> Chances:
    """In proportion to exp(score / temperature). ε > 0 keeps propensities away from 0, and so weights bounded."""
    if not temperature > 0:
        raise BadInput(
            f"a temperature must be positive, got {temperature}; use ε-greedy with ε = 0 for a policy without chance"
        )
    score = np.asarray(score_BK, dtype=np.float64) / temperature

    def softmax(left: Left) -> Floats:
        logit = np.where(left, score, -np.inf)
        top = logit.max(axis=1, keepdims=True)
        return _shares(np.exp(logit - np.where(np.isfinite(top), top, 0.0)))

    return _mixed(softmax, epsilon, explore_BK)


def thompson(sample_MBK: ArrayLike, epsilon: float, explore_BK: ArrayLike | None = None) -> Chances:
    """Best under a stored posterior sample, each of the M equally likely. ε > 0 keeps what no sample likes in the log."""
    sample = np.asarray(sample_MBK, dtype=np.float64)
    num_samples, num_requests, num_candidates = sample.shape
    cells = np.arange(num_requests) * num_candidates

    def counted(left: Left) -> Floats:
        best_MB = np.where(left, sample, -np.inf).argmax(axis=2)
        counts = np.bincount((best_MB + cells).ravel(), minlength=left.size)
        return np.asarray(counts.reshape(left.shape) / num_samples, dtype=np.float64)

    return _mixed(counted, epsilon, explore_BK)


def draw(chances: Chances, left_BK: Left, num_slots: int, seed: int, request_ids: Sequence[str]) -> Drawn:
    """One slate per request.

    Args:
        chances: the policy.
        left_BK: candidates that exist; False at padding.
        num_slots: S; the tail is empty where candidates run out.
        seed: with the request id, names the draws.
        request_ids: [B]
    """
    uniform_BS = np.stack([rng.stream(seed, "explore", name).random(num_slots) for name in request_ids])
    left, here = left_BK.copy(), np.arange(len(left_BK))
    chosen = np.full(uniform_BS.shape, -1, dtype=np.int64)
    propensity = np.ones(uniform_BS.shape)
    for slot in range(num_slots):
        chance = chances(left)
        cumulative = np.cumsum(chance, axis=1)
        total = cumulative[:, -1]
        below = np.minimum(uniform_BS[:, slot] * total, np.nextafter(total, -1.0))
        pick, filled = (cumulative > below[:, None]).argmax(axis=1), left.any(axis=1)
        chosen[filled, slot] = pick[filled]
        propensity[filled, slot] = chance[here, pick][filled]
        left[here, pick] = False
    return Drawn(chosen, propensity)


def propensities(chances: Chances, left_BK: Left, chosen_BS: NDArray[np.int64]) -> Floats:
    """[B, S] what a policy would have given to slates that another one drew: the numerator of slate weights. 1 at −1."""
    left, here = left_BK.copy(), np.arange(len(left_BK))
    found = np.ones(chosen_BS.shape)
    for slot, pick in enumerate(chosen_BS.T):
        filled = pick >= 0
        found[filled, slot] = chances(left)[here, pick][filled]
        left[here[filled], pick[filled]] = False
    return found


def _mixed(base: Chances, epsilon: float, explore_BK: ArrayLike | None) -> Chances:
    """(1 − ε) of `base` and ε of exploration; all of `base` where no weight is left to explore."""
    if not 0 <= epsilon <= 1:
        raise BadInput(f"ε is a probability, got {epsilon}")
    weight = np.asarray(1.0 if explore_BK is None else explore_BK, dtype=np.float64)

    def chances(left: Left) -> Floats:
        explore = _shares(np.where(left, weight, 0.0))
        share = epsilon * explore.any(axis=1, keepdims=True)
        return np.where(left, (1.0 - share) * base(left) + share * explore, 0.0)

    return chances


def _shares(weight_BK: Floats) -> Floats:
    """Rows that sum to 1; rows of zeros stay."""
    total = weight_BK.sum(axis=1, keepdims=True)
    return np.divide(weight_BK, total, out=np.zeros_like(weight_BK), where=total > 0)
