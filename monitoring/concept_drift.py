"""Do viewers still react to the same pages as they did? From predictions before labels, from early outcomes, and from late
ones.

    without labels    expected rate = mean calibrated P(click) over what was shown: right as long as P(click | features)
                      is, so a fall says that pages got worse, and cannot say that viewers changed
                      (confidence-based estimation; Guillory et al. 2021)
    early outcomes    clicks against predictions, watch lengths, likes: hourly CUSUM, both ways
    late outcomes     `confirm`: regrets and satisfaction of clicks, once their day and a half has passed
    since when        `changed`: the hour that splits the stream best

The CUSUM's z is (top_h − r · bottom_h) / √(v · bottom_h) with r expected now and v the *daily* variance of the reference
per unit of bottom, so hours of a day that rise and fall together do not look like evidence; it is cut at ±2.5 (Lucas &
Crosier 1982), because a quiet hour of the night is far from normal, and looks back a day and a half, because r is only a
forecast.

Shape legend: N impressions, B bins, H hours.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from core import columns as c
from core import two_sample
from core.inference import Interval, cluster_interval
from data.labels import definitions as labels
from monitoring import observations as o
from monitoring import signals as sg
from monitoring.data_drift import DAY_H, Comparison
from monitoring.signals import Tallies

Floats = NDArray[np.float64]
CHARTED = ("click_residual", "watch_log_s")
"""Likes are too few an hour for a chart; their daily window is tested."""
_CHART_H = 36
_ALLOWANCE = 0.75
_LARGEST_Z = 2.5
_HOURS_BETWEEN_FALSE_ALARMS = 24 * 365 * 200
"""Nominal. At ten years, quiet worlds alarmed once in about 200 days: the expected ratio is a forecast."""
_SUPPORT = 2.0
"""Log likelihood by which an hour may trail the best one and still be a possible start (χ²₁ / 2 at 95 %)."""


@dataclass(frozen=True)
class Calibrator:
    """Predicted → observed rate, rising, by quantile bins of the reference."""

    edges: Floats
    """[B − 1]"""
    rates: Floats
    """[B]"""

    @staticmethod
    def fit(predicted: ArrayLike, clicked: ArrayLike, bins: int = 20) -> "Calibrator":
        """Isotonic regression of the bins' click rates (pool adjacent violators)."""
        p, y = np.asarray(predicted, dtype=np.float64), np.asarray(clicked, dtype=np.float64)
        edges = two_sample.quantile_edges(p, bins)
        rows = np.searchsorted(edges, p, side="left")
        weight = np.bincount(rows, minlength=len(edges) + 1).astype(np.float64)
        means = np.bincount(rows, y, len(edges) + 1) / np.maximum(weight, 1)
        return Calibrator(edges, np.asarray(isotonic_regression(means, weights=np.maximum(weight, 1e-9)).x, dtype=np.float64))

    def __call__(self, predicted: ArrayLike) -> Floats:
        """[N] P(click)."""
        return self.rates[np.searchsorted(self.edges, np.asarray(predicted, dtype=np.float64), side="left")]


def estimated_rate(calibrator: Calibrator, predicted: ArrayLike, viewers: ArrayLike) -> Interval:
    """Click rate that pages should reach, before any click is known; interval over viewers."""
    return cluster_interval(calibrator(predicted), viewers)


def charts(tallies: Tallies, now: Comparison, reference: list[int]) -> list[str]:
    """Signals whose CUSUM, up or down, passed its limit, and which have moved enough since; of everyone together."""
    limit = two_sample.cusum_limit(_HOURS_BETWEEN_FALSE_ALARMS, _ALLOWANCE)
    found = []
    for signal in CHARTED:
        z = _standardised(tallies, now, reference, signal)
        if z is None or all(two_sample.cusum(way * z, _ALLOWANCE, limit) is None for way in (1.0, -1.0)):
            continue
        spec, change = sg.SIGNALS[sg.place(signal)], changed(now, reference, sg.EVERYONE, signal)
        moved = abs(change.value - change.expected) / (change.expected if spec.relative else 1.0)
        if moved >= spec.least:
            found.append(signal)
    return found


def _standardised(tallies: Tallies, now: Comparison, reference: list[int], signal: str) -> Floats | None:
    """[H] z of the last hours; None where the signal has no reference."""
    expected = now.expected(sg.EVERYONE, signal)
    if not np.isfinite(now.p_GS[0, sg.place(signal)]):
        return None
    top, bottom = tallies.cell(sg.EVERYONE, signal, now.end_hour - _CHART_H, now.end_hour)
    z = (top - expected * bottom) / np.sqrt(np.maximum(_variance(tallies, reference, signal) * bottom, 1e-9))
    return np.clip(z, -_LARGEST_Z, _LARGEST_Z)


def _variance(tallies: Tallies, reference: list[int], signal: str, segment: str = sg.EVERYONE) -> float:
    """Daily variance of the reference per unit of bottom, and at least the hourly one."""
    windows, at = tallies.windows(reference, DAY_H), (slice(None), tallies.segments.index(segment), sg.place(signal))
    top, bottom = windows.top[at], windows.bottom[at]
    total = max(float(bottom.sum()), 1e-9)
    daily = float(((top - top.sum() / total * bottom) ** 2).sum()) / total * len(top) / (len(top) - 1)
    return max(daily, float(windows.scatter()[at].sum()) / total, 1e-9)


@dataclass(frozen=True)
class Change:
    """When a cell left its expected value, and how far it has been from it since."""

    hour: int
    """Most likely first hour, hours since 1970."""
    earliest: int
    latest: int
    """Hours in between fit almost as well."""
    value: float
    """Ratio since then."""
    expected: float

    def may_begin_at(self, hour: int) -> bool:
        """Whether the change can have begun with that hour, or the one after: an hour is only a part of it."""
        return self.earliest - 1 <= hour <= self.latest + 1


def changed(now: Comparison, reference: list[int], segment: str, signal: str, hours: int = 4 * DAY_H) -> Change:
    """The hour τ that maximises (Σ_{h ≥ τ} (top_h − r · bottom_h))² / (2 v Σ_{h ≥ τ} bottom_h), r the expected ratio."""
    tallies, expected = now.tallies, now.expected(segment, signal)
    begin = max(now.end_hour - hours, tallies.first_hour)
    top, bottom = tallies.cell(segment, signal, begin, now.end_hour)
    excess, size = (np.cumsum(part[::-1])[::-1] for part in (top - expected * bottom, bottom))
    variance = _variance(tallies, reference, signal, segment)
    likelihood = excess**2 / np.maximum(2 * variance * size, 1e-9)
    best = int(np.argmax(likelihood))
    possible = np.flatnonzero(likelihood >= likelihood[best] - _SUPPORT)
    value = float(top[best:].sum() / max(float(bottom[best:].sum()), 1e-9))
    return Change(begin + best, begin + int(possible[0]), begin + int(possible[-1]), value, expected)


@dataclass(frozen=True)
class Confirmation:
    """What late labels say about an alarm of early ones."""

    satisfied: Interval
    """Change of the share of impressions that satisfied: clicked, watched for long enough, not disliked, not regretted."""
    regretted: Interval
    """Change of the share of clicks that were regretted."""
    worse: bool
    """Whether satisfaction fell for certain."""
    rows: int


def confirm(rows: pl.DataFrame, since_hour: int, until_hour: int, before_hours: int = 14 * DAY_H) -> Confirmation | None:
    """Impressions in [since, until − 36 h) against those of the days before; None while no label of them is old enough.

    Args:
        rows: `observations.observe`.
        since_hour: when the change began, hours since 1970.
        until_hour: now; later rows are not looked at.
        before_hours: how far back to compare.
    """
    ripe = until_hour - o.REGRETS_SETTLED_H
    if ripe <= since_hour:
        return None
    graded = rows.filter(pl.col(o.HOUR).is_between(since_hour - before_hours, ripe, closed="left"))
    satisfied = pl.col(labels.CLICKED) & (pl.col(labels.WATCH_S) >= labels.DEFAULT.dwell_s) & ~_complained()
    graded = graded.with_columns(satisfied.fill_null(False).alias(labels.SATISFIED))
    before, after = (graded.filter((pl.col(o.HOUR) >= since_hour) == late) for late in (False, True))
    if not len(before) or not len(after):
        return None
    clicked = [part.filter(labels.CLICKED) for part in (before, after)]
    change = _difference(before, after, labels.SATISFIED)
    return Confirmation(change, _difference(clicked[0], clicked[1], labels.REGRETTED), change.high < 0, len(after))


def _complained() -> pl.Expr:
    return pl.col(labels.DISLIKED) | pl.col(labels.REGRETTED)


def _difference(before: pl.DataFrame, after: pl.DataFrame, column: str) -> Interval:
    """after − before with viewers as clusters, the two periods taken as independent."""
    old, new = (
        cluster_interval(part[column].cast(pl.Float64).to_numpy(), part[c.VIEWER_ID].to_numpy()) for part in (before, after)
    )
    mean, half = new.mean - old.mean, float(np.hypot(new.high - new.mean, old.high - old.mean))
    return Interval(mean, mean - half, mean + half)
