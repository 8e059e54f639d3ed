"""The last stage: ε-greedy slots, with the exact probability of every choice.

Slots are filled in display order. At an explored slot, given the slots before,

    P(v) = (1 − ε)·[v is the next of the ranked page not yet placed] + ε·[v ∈ pool, not yet placed] / |pool not yet placed|

and elsewhere, or when the pool is used up, the next of the ranked page comes with probability 1. The pool holds fresh uploads
first, then the best of the rest, so a drawn video can also be one that would have come anyway; the propensity adds both
ways. Draws derive from (seed, request id) alone: the same request replays exactly. A drawn video may exceed the re-ranker's
channel cap.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core import rng
from serving.config import ExplorationConfig

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Page:
    """One filled page of k slots."""

    chosen: Indices
    """[k] candidate indices in display order."""
    propensities: NDArray[np.float64]
    """[k] probability of that choice given the slots before."""
    exploration: NDArray[np.bool_]
    """[k] whether chance made the choice (it may still have been the next one in rank)."""


def pool(utility_K: NDArray[np.float32], fresh_K: NDArray[np.bool_], size: int) -> Indices:
    """Candidates that chance may pick: fresh ones first, then by utility, `size` at most."""
    return np.lexsort((-utility_K, ~fresh_K))[: max(size, 0)]


def distribution(next_ranked: int, left: Indices, epsilon: float) -> dict[int, float]:
    """Probability of every possible choice for an explored slot, by candidate.

    Args:
        next_ranked: best candidate of the ranked page not yet placed.
        left: pool members not yet placed.
        epsilon: probability of drawing from the pool.
    """
    if not len(left):
        return {next_ranked: 1.0}
    chances = {int(candidate): epsilon / len(left) for candidate in left}
    chances[next_ranked] = chances.get(next_ranked, 0.0) + 1.0 - epsilon
    return chances


def explore(ranked: Indices, pool_left: Indices, config: ExplorationConfig, request_id: str) -> Page:
    """Fill as many slots as `ranked` has.

    Args:
        ranked: candidates in the order of the re-ranker.
        pool_left: see `pool`.
        config: ε, explored slots, seed.
        request_id: names the draws.
    """
    num_slots = len(ranked)
    propensities, exploration = np.ones(num_slots), np.zeros(num_slots, dtype=bool)
    if config.epsilon <= 0 or not len(pool_left):
        return Page(ranked, propensities, exploration)
    draws = rng.stream(config.seed, "explore", request_id).random((num_slots, 2))
    queue, left, chosen = [int(i) for i in ranked], [int(i) for i in pool_left], []
    for slot in range(num_slots):
        pick = queue[0]
        if left and (not config.slots or slot in config.slots):
            greedy, chance = pick, bool(draws[slot, 0] < config.epsilon)
            pick = left[int(draws[slot, 1] * len(left))] if chance else greedy
            exploration[slot] = chance
            propensities[slot] = (1 - config.epsilon) * (pick == greedy) + config.epsilon * (pick in left) / len(left)
        chosen.append(pick)
        for waiting in (queue, left):
            if pick in waiting:
                waiting.remove(pick)
    return Page(np.asarray(chosen, dtype=np.int64), propensities, exploration)
