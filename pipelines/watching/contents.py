"""Are videos of the same kinds shown as on the days before? Content vectors of a day's impressions against the reference days'.

    MMD²       of random Fourier features, unbiased (`core.two_sample`)
    centroid   distance of the means, in units of the reference's spread
    p          of MMD² with the diagonal, |z̄_day − z̄_others|²: a weighted sum of χ²₁, whose mean a and variance v the reference
               days give, each against the others; it is taken for a / ν · χ²_ν with ν = 2a² / v (Satterthwaite 1946)
    p_days     (1 + reference days at least as far from the others) / (1 + days): the permutation test with days exchanged,
               exact, and with fourteen of them never below 1 / 15

Rows are not exchanged: those of one video are the same vector and those of one day chase the same uploads, so a permutation of
rows calls every day a drift. Knows nothing of causes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from core import columns as c
from core import rng, two_sample

LEVEL = 1e-3
LEAST_CENTROID = 0.1
"""Of the spread: a smaller move of the mean is not worth an alarm, however certain it is."""


@dataclass(frozen=True)
class Contents:
    """A day against the reference."""

    centroid: float
    mmd: float
    usual_mmd: float
    """Largest of the reference days, each against the others."""
    p: float
    p_days: float

    @property
    def moved(self) -> bool:
        """Whether that is worth an alarm."""
        return self.p <= LEVEL and self.centroid >= LEAST_CENTROID


def compare(videos: pl.DataFrame, days: Sequence[pl.DataFrame]) -> Contents | None:
    """The last of `days` (observations) against the others; None without vectors on every day."""
    known = videos.filter(pl.col(c.CONTENT).is_not_null()).select(c.VIDEO_ID, c.CONTENT)
    contents = [np.array(day.join(known, on=c.VIDEO_ID)[c.CONTENT].to_list(), dtype=np.float32) for day in days]
    if any(len(content) < 2 or not content.shape[-1] for content in contents):
        return None
    random, before = rng.stream(0, "monitored vectors"), np.concatenate(contents[:-1])
    mapped = two_sample.FourierMap.draw(before.shape[1], two_sample.median_scale(before, random), random)
    others = [np.concatenate([*contents[:at], *contents[at + 1 : -1]]) for at in range(len(contents) - 1)]
    usual = np.array([_apart(mapped, rest, content) for rest, content in zip(others, contents[:-1], strict=True)])
    now = _apart(mapped, before, contents[-1])
    return Contents(
        centroid=two_sample.centroid_distance(before, contents[-1]),
        mmd=mapped.mmd(before, contents[-1]),
        usual_mmd=max(mapped.mmd(rest, content) for rest, content in zip(others, contents[:-1], strict=True)),
        p=satterthwaite(usual, now),
        p_days=float((1 + (usual >= now).sum()) / (1 + len(usual))),
    )


def satterthwaite(usual: NDArray[np.float64], now: float) -> float:
    """P(a / ν · χ²_ν ≥ now), a and ν from the mean and variance of `usual`."""
    mean = float(usual.mean())
    degrees = 2 * mean**2 / max(float(usual.var(ddof=1)), 1e-12 * mean**2)
    return float(stats.chi2.sf(now * degrees / mean, degrees))


def _apart(mapped: two_sample.FourierMap, x_ND: NDArray[np.float32], y_MD: NDArray[np.float32]) -> float:
    (x, _), (y, _) = mapped.mean(x_ND), mapped.mean(y_MD)
    return float(((x - y) ** 2).sum())
