"""The last stage: slots that chance fills, with the exact probability of every choice.

Slots are filled in display order. At an explored slot, given the slots before,

    P(v) = (1 − ε)·[v is the next of the ranked page not yet placed] + ε·weight(v) / Σ weight of the pool not yet placed

under Thompson sampling (`serving.thompson` makes the M samples)

    P(v) = (1 − ε)·#{m : v is best of those left in sample m} / M + ε·weight(v) / Σ weight of the pool not yet placed

and elsewhere, or when the pool is used up, the next of the ranked page comes with probability 1. The pool holds fresh uploads
first, then the best of the rest, so a drawn video can also be one that would have come anyway; the propensity adds both
ways. Weights are equal, or Plackett–Luce in utility, and larger for fresh uploads if so configured. Draws derive from (seed,
request id) alone: the same request replays exactly. A drawn video may exceed the re-ranker's channel cap.
"""

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from core import rng
from core.clock import DAY_MS
from experiments import policies
from serving.config import ExplorationConfig

Indices = NDArray[np.int64]
Weights = NDArray[np.float64]
_LEAST_WEIGHT = 0.01
"""Of the best one's, under Plackett–Luce: keeps propensities, and so later importance weights, bounded."""
_CAPPED_VIEWERS = 100_000


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


def weights(utility_P: NDArray[np.float32], fresh_P: NDArray[np.bool_], config: ExplorationConfig) -> Weights:
    """How likely chance picks each member of the pool, up to a common factor."""
    weight = np.ones(len(utility_P))
    best = utility_P.max(initial=-np.inf)
    if config.kind == "plackett_luce" and np.isfinite(best):
        weight = np.maximum(np.exp((utility_P - best).astype(np.float64) / config.temperature), _LEAST_WEIGHT)
    return np.where(fresh_P, config.fresh_boost * weight, weight)


def page_of(
    ranked: Indices, utility_K: NDArray[np.float32], fresh_K: NDArray[np.bool_], config: ExplorationConfig, request_id: str
) -> Page:
    """`explore` with the pool and the weights of the K candidates."""
    members = pool(utility_K, fresh_K, config.pool)
    return explore(ranked, members, weights(utility_K[members], fresh_K[members], config), config, request_id)


def explore(ranked: Indices, members: Indices, weight_P: Weights, config: ExplorationConfig, request_id: str) -> Page:
    """Fill as many slots as `ranked` has.

    Args:
        ranked: candidates in the order of the re-ranker.
        members: see `pool`.
        weight_P: see `weights`; aligned with `members`, above 0.
        config: ε, explored slots, seed.
        request_id: names the draws.
    """
    num_slots = len(ranked)
    propensities, exploration = np.ones(num_slots), np.zeros(num_slots, dtype=bool)
    if config.epsilon <= 0 or not len(members):
        return Page(ranked, propensities, exploration)
    draws = rng.uniforms(2 * num_slots, config.seed, "explore", request_id)
    queue, left, chosen = ranked.tolist(), dict(zip(members.tolist(), weight_P.tolist(), strict=True)), []
    for slot in range(num_slots):
        pick = queue[0]
        if left and (not config.slots or slot in config.slots):
            greedy, chance = pick, draws[2 * slot] < config.epsilon
            pick = _draw(left, draws[2 * slot + 1]) if chance else greedy
            exploration[slot] = chance
            share = left.get(pick, 0.0) / sum(left.values())
            propensities[slot] = (1 - config.epsilon) * (pick == greedy) + config.epsilon * share
        chosen.append(pick)
        left.pop(pick, None)
        if pick in queue:
            queue.remove(pick)
    return Page(np.asarray(chosen, dtype=np.int64), propensities, exploration)


def thompson(ranked: Sequence[int], score_MK: Weights, weight_K: Weights, config: ExplorationConfig, request_id: str) -> Page:
    """Fill as many slots as `ranked` has by Thompson sampling.

    Args:
        ranked: of the K candidates that may come, those of the page in the order of the re-ranker.
        score_MK: theirs in each posterior sample.
        weight_K: how likely ε picks each of them, up to a common factor; 0 outside the pool.
        config: ε, explored slots, seed; with ε = 0 the page is `ranked`.
        request_id: names the draws.
    """
    num_slots = len(ranked)
    chosen, propensities, exploration = np.array(ranked, dtype=np.int64), np.ones(num_slots), np.zeros(num_slots, dtype=bool)
    if config.epsilon <= 0:
        return Page(chosen, propensities, exploration)
    draws = rng.uniforms(num_slots, config.seed, "explore", request_id)
    chances = policies.thompson(score_MK[:, None], config.epsilon, weight_K[None])
    queue, left = list(ranked), np.ones((1, len(weight_K)), dtype=bool)
    for slot in range(num_slots):
        pick = queue[0]
        if not config.slots or slot in config.slots:
            chance_K = chances(left)[0]
            possible = np.flatnonzero(chance_K)
            cumulative = np.cumsum(chance_K[possible])
            drawn = int(np.searchsorted(cumulative, draws[slot] * cumulative[-1], side="right"))
            pick = int(possible[min(drawn, len(possible) - 1)])
            propensities[slot], exploration[slot] = chance_K[pick], pick != queue[0]
        chosen[slot], left[0, pick] = pick, False
        if pick in queue:
            queue.remove(pick)
    return Page(chosen, propensities, exploration)


def _draw(left: dict[int, float], uniform: float) -> int:
    """The candidate at which `uniform` of all weight lies."""
    cumulative = list(accumulate(left.values()))
    return list(left)[min(bisect_right(cumulative, uniform * cumulative[-1]), len(left) - 1)]


class DailyCap:
    """How many slots chance has filled per viewer today: in this process, since the release was loaded, for the latest viewers.

    A page that begins below the cap may pass it. What was spent is known before the page, so propensities stay exact.
    """

    def __init__(self, cap: int, num_viewers: int = _CAPPED_VIEWERS) -> None:
        self._cap, self._num_viewers = cap, num_viewers
        self._spent: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self._lock = threading.Lock()

    def reached(self, viewer_id: int, at: int) -> bool:
        """Whether the viewer's next page comes without chance."""
        day, spent = self._spent.get(viewer_id, (-1, 0))
        return day == at // DAY_MS and 0 < self._cap <= spent

    def spend(self, viewer_id: int, at: int, num_slots: int) -> None:
        """Count slots that chance filled."""
        if not self._cap or not num_slots:
            return
        with self._lock:
            day, spent = self._spent.pop(viewer_id, (-1, 0))
            self._spent[viewer_id] = (at // DAY_MS, num_slots + (spent if day == at // DAY_MS else 0))
            while len(self._spent) > self._num_viewers:
                self._spent.popitem(last=False)
