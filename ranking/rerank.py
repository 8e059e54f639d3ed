"""The final order of a page: utility traded against sameness, one channel's share, and age.

Maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998), greedy: the next video is

    argmax (1 − d)·u − d·max over chosen videos of cos(video, chosen)

with u the utility plus freshness·2^(−age / half-life), standardised over the pool so that d means the same whatever the
utility's scale. Only the best `pool` candidates take part; what the page still lacks follows in order of utility. A channel
that has reached its cap is passed over; where only such videos are left the cap yields, since a short page is worse.
Deterministic: ties go to the candidate that came first; pages that are ordered together do not know of each other. Knows
nothing of heads or models.

Shape legend: B pages, K candidates, P of them in the pool, V videos, D vector size.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ranking.config import RerankConfig

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


def rerank(
    utility_BK: Floats,
    video_VD: Floats,
    rows_BK: NDArray[np.int32],
    channel_BK: NDArray[np.int32],
    age_days_BK: Floats,
    config: RerankConfig,
    k_B: Sequence[int],
) -> list[Indices]:
    """Of each page, the indices of min(k, its candidates) candidates in display order.

    Args:
        utility_BK: higher is better; a value that is not finite ranks last.
        video_VD: unit vectors of the catalogue; D may be 0 (then nothing is similar).
        rows_BK: the candidates' rows in it; −1 is no candidate.
        channel_BK: codes; 0 is unknown and never capped.
        age_days_BK: since upload; negative or not finite means unknown and earns no bonus.
        k_B: videos wanted on each page.
    """
    num_B = (rows_BK >= 0).sum(axis=1)
    utility = _finite(utility_BK.astype(np.float64), rows_BK) + _bonus(age_days_BK, config)
    order = np.argsort(-utility, axis=1, kind="stable")
    pool_B = np.minimum(np.maximum(config.pool, k_B), num_B)
    pool = order[:, : pool_B.max(initial=0)]
    flat = pool + np.arange(len(pool))[:, None] * order.shape[1]
    best, channel = utility.take(flat), channel_BK.take(flat)
    likeness = _likeness(video_VD, rows_BK.take(flat), config.diversity)
    pages = []
    for page, (num, size, wanted) in enumerate(zip(num_B.tolist(), pool_B.tolist(), k_B, strict=True)):
        k = max(min(wanted, num), 0)
        chosen = pool[page, _greedy(best[page, :size], likeness[page, :size, :size], channel[page, :size], config, k)]
        pages.append(_fill(chosen, order[page, :num], channel_BK[page], config.channel_cap, k))
    return pages


def _finite(utility_BK: NDArray[np.float64], rows_BK: NDArray[np.int32]) -> NDArray[np.float64]:
    """Values that are not finite are less than all others of the page, and padding is less than those."""
    good = np.isfinite(utility_BK)
    if good.all():
        return np.where(rows_BK >= 0, utility_BK, -np.inf)
    least = np.where(good, utility_BK, np.inf).min(axis=1, keepdims=True)
    least = np.where(np.isfinite(least), least, 0.0) - 1.0
    return np.where(rows_BK >= 0, np.where(good, utility_BK, least), -np.inf)


def _bonus(age_days_BK: Floats, config: RerankConfig) -> NDArray[np.float64] | float:
    if not config.freshness:
        return 0.0
    age = age_days_BK.astype(np.float64)
    known = np.isfinite(age) & (age >= 0)
    return np.where(known, config.freshness * np.exp2(-np.where(known, age, 0.0) / config.freshness_half_life_days), 0.0)


def _likeness(video_VD: Floats, rows_BP: NDArray[np.int32], diversity: float) -> Floats:
    """[B, P, P] what a candidate loses to one that was chosen; padding is never looked at."""
    if not diversity:
        return np.zeros((*rows_BP.shape, rows_BP.shape[1]), dtype=np.float32)
    vectors_BPD = video_VD.take(rows_BP, axis=0)
    return diversity * np.matmul(vectors_BPD, vectors_BPD.transpose(0, 2, 1))


def _greedy(
    utility_P: NDArray[np.float64], likeness_PP: Floats, channel_P: NDArray[np.int32], config: RerankConfig, k: int
) -> list[int]:
    """Positions in the pool, best first; fewer than k when the cap leaves nothing."""
    spread = utility_P.std() if len(utility_P) else 0.0
    gain = (1 - config.diversity) * (utility_P - utility_P.max(initial=-np.inf)) / (spread or 1.0)
    marginal, nearest = gain, np.full(len(gain), -np.inf)
    counts: dict[int, int] = {}
    chosen: list[int] = []
    while len(chosen) < k:
        pick = int(marginal.argmax())
        if gain[pick] == -np.inf:
            break  # what is left may not be chosen
        chosen.append(pick)
        gain[pick] = -np.inf
        code = int(channel_P[pick])
        counts[code] = counts.get(code, 0) + 1
        if code > 0 and counts[code] == config.channel_cap:
            gain[channel_P == code] = -np.inf
        np.maximum(nearest, likeness_PP[pick], out=nearest)
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
