"""Is the recommender narrowing what it shows? Symptoms of a feedback loop in the log, day by day.

    gini             of impressions over the videos that were shown that day; 0 is even
    top_share        share of impressions on the hundredth of those videos shown most
    alikeness        chance that two random impressions of *different* viewers show the same video, times the number of videos
                     shown: 1 when everyone is shown everything evenly, more as pages become alike
    variety          mean over viewers of distinct categories per ten impressions (Hurlbert's rarefaction, 1971)
    exploration      share of impressions that chance decided
    holdout_gap      click rate of learned slots minus that of slots decided by chance: what personalisation earns here;
                     a policy that learns only from itself loses it slowly and sees it nowhere else

Counts of one day only; a trend over days is `trend`. Knows no truth: the laboratory does (`upnext lab feedback-loop`).
"""

from dataclasses import asdict, dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import gammaln

from core import columns as c
from core.inference import Interval, slope_interval
from core.metrics import gini
from data.labels import definitions as labels

_SAMPLE = 10


@dataclass(frozen=True)
class Exposure:
    """One day of impressions."""

    gini: float
    top_share: float
    alikeness: float
    variety: float
    exploration: float
    holdout_gap: float
    """nan where one of the two kinds of slots is missing."""

    def to_json(self) -> dict[str, float | None]:
        """Plain values; null instead of nan."""
        return {name: None if np.isnan(value) else value for name, value in asdict(self).items()}


def exposure(rows: pl.DataFrame) -> Exposure:
    """Of the observations (`observations.observe`) of one day; nan throughout for a day without any."""
    if not len(rows):
        return Exposure(*(float("nan"),) * 6)
    counts = rows.group_by(c.VIDEO_ID).len()["len"].to_numpy().astype(np.float64)
    largest = np.sort(counts)[::-1][: max(round(len(counts) / 100), 1)]
    rates = [rows.filter(pl.col(c.EXPLORATION) == chance)[labels.CLICKED].mean() for chance in (False, True)]
    gap = float("nan") if None in rates else float(rates[0]) - float(rates[1])  # type: ignore[arg-type]
    return Exposure(
        gini=gini(counts),
        top_share=float(largest.sum() / counts.sum()),
        alikeness=_alikeness(rows, counts),
        variety=_variety(rows),
        exploration=float(rows[c.EXPLORATION].mean() or 0.0),  # type: ignore[arg-type]
        holdout_gap=gap,
    )


def trend(days: list[Exposure], measure: str) -> Interval:
    """Change per day of one measure, least squares over days that have it."""
    values = np.array([getattr(day, measure) for day in days], dtype=np.float64)
    known = np.isfinite(values)
    return slope_interval(np.flatnonzero(known), values[known])


def _alikeness(rows: pl.DataFrame, counts: NDArray[np.float64]) -> float:
    own = rows.group_by(c.VIEWER_ID, c.VIDEO_ID).len()["len"].to_numpy().astype(np.float64)
    viewers = rows.group_by(c.VIEWER_ID).len()["len"].to_numpy().astype(np.float64)
    pairs = counts.sum() ** 2 - (viewers**2).sum()
    return float(((counts**2).sum() - (own**2).sum()) / pairs * len(counts)) if pairs > 0 else float("nan")


def _variety(rows: pl.DataFrame) -> float:
    """Σ_categories 1 − C(n − n_c, 10) / C(n, 10), mean over viewers with at least ten impressions."""
    cells = rows.group_by(c.VIEWER_ID, c.CATEGORY).len().with_columns(pl.col("len").sum().over(c.VIEWER_ID).alias("n"))
    cells = cells.filter(pl.col("n") >= _SAMPLE)
    n, rest = cells["n"].to_numpy().astype(np.float64), (cells["n"] - cells["len"]).to_numpy().astype(np.float64)
    missed = np.where(rest >= _SAMPLE, np.exp(_log_choose(rest) - _log_choose(n)), 0.0)
    viewers = cells[c.VIEWER_ID].n_unique()
    return float((1 - missed).sum() / viewers) if viewers else float("nan")


def _log_choose(n: NDArray[np.float64]) -> NDArray[np.float64]:
    return gammaln(n + 1) - gammaln(np.maximum(n - _SAMPLE, 0) + 1)
