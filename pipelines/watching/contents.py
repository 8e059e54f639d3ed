"""Are videos of the same kinds shown as on the days before? Content vectors of a day's impressions against the reference days'.

    MMD²       of random Fourier features, unbiased (`core.two_sample`)
    centroid   distance of the means, in units of the reference's spread
    p          of MMD² with the diagonal, |z̄_day − z̄_others|²: a weighted sum of χ²₁, whose mean a and variance v the reference
               days give, each against the others; it is taken for a / ν · χ²_ν with ν = 2a² / v (Satterthwaite 1946),
               and, a being itself a mean of n days, referred to a · F(ν, ν · n)
    p_days     (1 + reference days at least as far from the others) / (1 + days): the permutation test with days exchanged,
               exact, and with fourteen of them never below 1 / 15

Rows are not exchanged: those of one video are the same vector and those of one day chase the same uploads, so a permutation of
rows calls every day a drift. Knows nothing of causes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from core import columns as c
from core import rng, two_sample

LEVEL = 1e-3
LEAST_CENTROID = 0.1
"""Of the spread: a smaller move of the mean is not worth an alarm, however certain it is."""
_FEWEST_ROWS = 2
_SCALE_ROWS = 1_500
"""Of each day, that the kernel's width is the median distance of."""


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
    known = videos.filter(pl.col(c.CONTENT).list.len() > 0).select(c.VIDEO_ID, c.CONTENT)
    if not len(known):
        return None
    vectors = known[c.CONTENT].explode().to_numpy().astype(np.float32).reshape(len(known), -1)
    rows = known.select(c.VIDEO_ID).with_row_index()
    shown = [day.select(c.VIDEO_ID).join(rows, on=c.VIDEO_ID, maintain_order="left")["index"].to_numpy() for day in days]
    return (
        None if any(len(chosen) < _FEWEST_ROWS for chosen in shown) else compare_vectors([vectors[chosen] for chosen in shown])
    )


def compare_vectors(days: Sequence[NDArray[np.float32]]) -> Contents:
    """The last of `days`, [rows, D] of at least two rows each, against the others; every row is read once."""
    random = rng.stream(0, "monitored vectors")
    some = np.concatenate([day[:: max(len(day) // _SCALE_ROWS, 1)] for day in days[:-1]])
    mapped = two_sample.FourierMap.draw(some.shape[1], two_sample.median_scale(some, random), random)
    *reference, today = (mapped.sketch(day) for day in days)
    before = reduce(add, reference)
    others = [reduce(add, [*reference[:at], *reference[at + 1 :]]) for at in range(len(reference))]
    usual = np.array([rest.apart(day) for rest, day in zip(others, reference, strict=True)])
    now = before.apart(today)
    return Contents(
        centroid=today.centroid_distance(before),
        mmd=before.mmd(today),
        usual_mmd=max(rest.mmd(day) for rest, day in zip(others, reference, strict=True)),
        p=satterthwaite(usual, now),
        p_days=float((1 + (usual >= now).sum()) / (1 + len(usual))),
    )


def satterthwaite(usual: NDArray[np.float64], now: float) -> float:
    """P(a · F(ν, ν · n) ≥ now), a and ν from the mean and variance of the n numbers `usual`."""
    mean = float(usual.mean())
    degrees = 2 * mean**2 / max(float(usual.var(ddof=1)), 1e-12 * mean**2)
    return float(stats.f.sf(now / mean, degrees, degrees * len(usual)))
