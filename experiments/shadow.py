"""A challenger that saw the same requests without being shown: how different would its pages have been?

- overlap@k: share of the first k videos in common.
- rank-biased overlap (Webber, Moffat & Zobel, TOIS 2010), extrapolated from depth k:
  RBO = p^k · X_k/k + (1 − p)/p · Σ_{d=1…k} p^d · X_d/d,   X_d: videos in common among the first d. 1 identical, 0 disjoint.
- Kolmogorov–Smirnov distance of the two score distributions, with its p value.
- latency, failures, empty pages.

Says what changes, never what is better: nobody saw the challenger's pages. Pure functions of what was recorded; knows nothing
of how the challenger was run.

Shape legend: B requests, K slots; −1 is an empty slot.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

PERSISTENCE = 0.9
"""Of rank-biased overlap: 86 % of the weight is on the first ten places."""
ALL = "all"


@dataclass(frozen=True)
class Answers:
    """What one policy answered to B requests."""

    video_BK: Ids
    score_BK: Floats
    """nan on empty slots."""
    ms_B: Floats
    """Time to answer, milliseconds."""
    failed_B: NDArray[np.bool_]
    """No answer, or a degraded one."""


@dataclass(frozen=True)
class Comparison:
    """One slice of requests."""

    slice: str
    requests: int
    overlap: float
    """Mean overlap@k."""
    rbo: float
    """Mean rank-biased overlap."""
    same: float
    """Share of requests with the very same page."""
    score_ks: float
    """Largest distance between the two distributions of scores; nan without scores."""
    score_p: float
    live_ms_p50: float
    live_ms_p99: float
    shadow_ms_p50: float
    shadow_ms_p99: float
    live_failed: float
    shadow_failed: float

    def to_json(self) -> dict[str, Any]:
        """Plain values; nan becomes null."""
        return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in asdict(self).items()}


def compare(live: Answers, shadow: Answers, slices: NDArray[np.str_] | None = None) -> list[Comparison]:
    """All requests, then every slice by name. Pages are compared where both answered.

    Args:
        live: what viewers saw.
        shadow: what they would have seen.
        slices: [B] name of each request's slice, e.g. its surface.
    """
    everything = np.ones(len(live.ms_B), dtype=bool)
    chosen = {ALL: everything}
    if slices is not None:
        chosen |= {str(name): slices == name for name in np.unique(slices)}
    return [_compare(name, live, shadow, here) for name, here in chosen.items()]


def overlap(first_BK: Ids, second_BK: Ids) -> Floats:
    """[B] overlap@k over the longer of the two pages; 1 for two empty pages."""
    longest = _longest(first_BK, second_BK)
    return np.where(longest > 0, _common(first_BK, second_BK)[:, -1] / np.maximum(longest, 1), 1.0)


def rank_biased_overlap(first_BK: Ids, second_BK: Ids, persistence: float = PERSISTENCE) -> Floats:
    """[B] extrapolated RBO over the longer of the two pages, k slots; 1 for two empty pages."""
    k_B, depth = _longest(first_BK, second_BK), np.arange(1, first_BK.shape[1] + 1)
    agreement = np.where(depth <= k_B[:, None], _common(first_BK, second_BK) / depth, 0.0)
    last = agreement[np.arange(len(k_B)), np.maximum(k_B, 1) - 1] * persistence**k_B
    found = last + (1 - persistence) / persistence * (agreement @ persistence**depth)
    return np.where(k_B > 0, found, 1.0)


def _compare(name: str, live: Answers, shadow: Answers, here: NDArray[np.bool_]) -> Comparison:
    both = here & ~live.failed_B & ~shadow.failed_B
    pages = live.video_BK[both], shadow.video_BK[both]
    scores = [answers.score_BK[both] for answers in (live, shadow)]
    scores = [each[np.isfinite(each)] for each in scores]
    ks = scipy.stats.ks_2samp(*scores, method="asymp") if all(len(each) for each in scores) else None
    live_ms, shadow_ms = (np.percentile(answers.ms_B[here], [50, 99]) for answers in (live, shadow))
    return Comparison(
        slice=name,
        requests=int(here.sum()),
        overlap=_mean(overlap(*pages)),
        rbo=_mean(rank_biased_overlap(*pages)),
        same=_mean((pages[0] == pages[1]).all(axis=1)),
        score_ks=float(ks.statistic) if ks else np.nan,
        score_p=float(ks.pvalue) if ks else np.nan,
        live_ms_p50=float(live_ms[0]),
        live_ms_p99=float(live_ms[1]),
        shadow_ms_p50=float(shadow_ms[0]),
        shadow_ms_p99=float(shadow_ms[1]),
        live_failed=float(live.failed_B[here].mean()),
        shadow_failed=float(shadow.failed_B[here].mean()),
    )


def _mean(values: NDArray[np.generic]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _longest(first_BK: Ids, second_BK: Ids) -> NDArray[np.int64]:
    """[B] slots of the longer page; pages are filled from the top."""
    return np.asarray(np.maximum((first_BK >= 0).sum(axis=1), (second_BK >= 0).sum(axis=1)))


def _common(first_BK: Ids, second_BK: Ids) -> Floats:
    """[B, K] X_d: videos in common among the first d, for every d."""
    same = (first_BK[:, :, None] == second_BK[:, None, :]) & (first_BK >= 0)[:, :, None]
    deeper = np.maximum(*np.indices(same.shape[1:]))
    return np.stack([(same & (deeper < d)).sum(axis=(1, 2)) for d in range(1, same.shape[1] + 1)], axis=1).astype(np.float64)
