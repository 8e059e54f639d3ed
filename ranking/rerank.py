"""The final order of one page: utility traded against sameness, one channel's share, and age.

Maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998), greedy: the next video is

    argmax (1 − d)·u − d·max over chosen videos of cos(video, chosen)

with u the utility plus freshness·2^(−age / half-life), standardised over the pool so that d means the same whatever the
utility's scale. Only the best `pool` candidates take part; what the page still lacks follows in order of utility. A channel
that has reached its cap is passed over; where only such videos are left the cap yields, since a short page is worse.
Deterministic: ties go to the candidate that came first. Knows nothing of heads or models.
"""

import numpy as np
from numpy.typing import NDArray

from ranking.config import RerankConfig

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


def rerank(
    utility_K: Floats,
    video_VD: Floats,
    rows_K: NDArray[np.int32],
    channel_K: NDArray[np.int32],
    age_days_K: Floats,
    config: RerankConfig,
    k: int,
) -> Indices:
    """Indices of min(k, K) candidates in display order.

    Args:
        utility_K: higher is better; a value that is not finite ranks last.
        video_VD: unit vectors of the catalogue; D may be 0 (then nothing is similar).
        rows_K: the candidates' rows in it.
        channel_K: codes; 0 is unknown and never capped.
        age_days_K: since upload; negative or not finite means unknown and earns no bonus.
    """
    k = max(min(k, len(utility_K)), 0)
    utility = _finite(np.asarray(utility_K, dtype=np.float64)) + _bonus(age_days_K, config)
    order = np.argsort(-utility, kind="stable")
    pool = order[: max(config.pool, k)]
    chosen = pool[_greedy(utility[pool], video_VD[rows_K[pool]], channel_K[pool], config, k)]
    return _fill(chosen, order, channel_K, config.channel_cap, k)


def _finite(utility: NDArray[np.float64]) -> NDArray[np.float64]:
    good = np.isfinite(utility)
    return utility if good.all() else np.where(good, utility, (utility[good].min() if good.any() else 0.0) - 1.0)


def _bonus(age_days_K: Floats, config: RerankConfig) -> NDArray[np.float64] | float:
    if not config.freshness:
        return 0.0
    age = np.asarray(age_days_K, dtype=np.float64)
    known = np.isfinite(age) & (age >= 0)
    return np.where(known, config.freshness * np.exp2(-np.where(known, age, 0.0) / config.freshness_half_life_days), 0.0)


def _greedy(
    utility: NDArray[np.float64], vectors: Floats, channel: NDArray[np.int32], config: RerankConfig, k: int
) -> list[int]:
    """Positions in the pool, best first; fewer than k when the cap leaves nothing."""
    spread = utility.std() if len(utility) else 0.0
    gain = (1 - config.diversity) * (utility - utility.max(initial=-np.inf)) / (spread or 1.0)
    likeness = config.diversity * (vectors @ vectors.T) if config.diversity else np.zeros((len(gain), 1))
    marginal, nearest = gain, np.full(len(gain), -np.inf)
    counts: dict[int, int] = {}
    chosen: list[int] = []
    while len(chosen) < k:
        pick = int(marginal.argmax())
        if gain[pick] == -np.inf:
            break  # what is left may not be chosen
        chosen.append(pick)
        gain[pick] = -np.inf
        code = int(channel[pick])
        counts[code] = counts.get(code, 0) + 1
        if code > 0 and counts[code] == config.channel_cap:
            gain[channel == code] = -np.inf
        np.maximum(nearest, likeness[pick], out=nearest)
        marginal = gain - nearest
    return chosen


def _fill(chosen: Indices, order: Indices, channel_K: NDArray[np.int32], cap: int, k: int) -> Indices:
    """Complete a page that the pool could not: first within the cap, then past it, by utility."""
    if len(chosen) == k:
        return chosen
    rest = order[~np.isin(order, chosen)]
    counts = np.bincount(channel_K[chosen], minlength=int(channel_K.max(initial=0)) + 1)
    within = np.empty(0, dtype=np.int64)
    if cap:
        codes = channel_K[rest]
        allowed = (codes <= 0) | (counts[codes] + _earlier(codes) < cap)
        within, rest = rest[allowed], rest[~allowed]
    return np.concatenate([chosen, within, rest])[:k]


def _earlier(codes: NDArray[np.int32]) -> Indices:
    """How often each entry's code occurs before it."""
    order = np.argsort(codes, kind="stable")
    ranked = codes[order]
    starts = np.searchsorted(ranked, ranked)
    earlier = np.empty(len(codes), dtype=np.int64)
    earlier[order] = np.arange(len(codes)) - starts
    return earlier
