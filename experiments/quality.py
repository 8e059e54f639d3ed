"""Whether a result can be trusted at all: sample ratio, weekday coverage, and effects that wear off.

- **Sample ratio mismatch**: χ² of viewers per arm against the *designed* shares. p < 0.001 blocks: something other than chance
  decided who was counted (Fabijan et al., KDD 2019).
- **Weekdays**: an effect may differ at weekends, so every weekday must have been seen.
- **Novelty**: the slope over days of the daily effect. Per viewer it is Σ_d w_d · L_vd with w_d the least-squares weights of
  the days and L_vd the viewer's part of the arm's ratio on day d, so that its error counts viewers, not rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from core.inference import Interval
from experiments.config import MetricConfig
from experiments.effects import Estimate, Floats, Sample, difference
from experiments.panel import Ints, Panel

SRM_P = 0.001
_FEWEST_DAYS = 4
_MONDAY = 3
"""1970-01-01 was a Thursday: (day + 3) % 7 is 0 on Mondays."""


@dataclass(frozen=True)
class SampleRatio:
    """Observed against designed."""

    counts: tuple[int, ...]
    shares: tuple[float, ...]
    chi2: float
    p: float

    @property
    def mismatch(self) -> bool:
        """Whether the result is blocked."""
        return self.p < SRM_P


@dataclass(frozen=True)
class Days:
    """What part of the calendar was seen, in every arm."""

    first: int
    """Day of the first exposure, days since 1970-01-01."""
    length: int
    """Days from the first to the last, both included."""
    missing_weekdays: tuple[str, ...]


@dataclass(frozen=True)
class Novelty:
    """How the effect moves over days."""

    slope: Interval
    """Change of the daily effect per day; nan with fewer than four days."""
    fading: bool
    """The slope is significant and points against the effect."""


def sample_ratio(counts: Sequence[int], shares: Sequence[float]) -> SampleRatio:
    """χ² goodness of fit of viewers per arm to the designed shares."""
    expected = np.asarray(shares, dtype=np.float64) / sum(shares) * sum(counts)
    found = scipy.stats.chisquare(counts, expected)
    return SampleRatio(tuple(int(n) for n in counts), tuple(shares), float(found.statistic), float(found.pvalue))


def days(panel: Panel) -> Days:
    """The calendar of the exposed rows."""
    day, arm = panel.day_N[panel.during_N], panel.arm_V[panel.viewer_N[panel.during_N]]
    seen = np.zeros((len(panel.arm_names), 7), dtype=bool)
    seen[arm, (day + _MONDAY) % 7] = True
    names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    missing = tuple(name for name, everywhere in zip(names, np.asarray(seen.all(axis=0)), strict=True) if not everywhere)
    return Days(int(day.min()), int(day.max() - day.min() + 1), missing)


def novelty(panel: Panel, metric: MetricConfig, arm: int, alpha: float = 0.05) -> Novelty:
    """Does the effect of `arm` on `metric` wear off? Each active viewer-day counts once where the metric has no denominator."""
    shared = _shared_days(panel, metric, arm)
    if len(shared) < _FEWEST_DAYS:
        return Novelty(Interval(np.nan, np.nan, np.nan), False)
    centred = shared - shared.mean()
    slope_weights, even_weights = centred / (centred @ centred), np.full(len(shared), 1 / len(shared))
    slope, level = (_contrast(panel, metric, arm, shared, w).interval(1 - alpha) for w in (slope_weights, even_weights))
    return Novelty(slope, bool(slope.p < alpha and slope.mean * level.mean < 0))


def _rows(panel: Panel, metric: MetricConfig, arm: int) -> tuple[Ints, Ints, Floats, Floats]:
    """(viewer, day, numerator, denominator) of the exposed rows of one arm."""
    here = panel.during_N & (panel.arm_V[panel.viewer_N] == arm)
    numerator = panel.column(metric.columns[0])[here]
    denominator = panel.column(metric.denominator)[here] if metric.denominator else np.ones(len(numerator))
    return panel.viewer_N[here], panel.day_N[here], numerator, denominator


def _shared_days(panel: Panel, metric: MetricConfig, arm: int) -> Floats:
    """Days on which control and `arm` both have a denominator."""
    control, treatment = (day[n > 0] for _, day, _, n in (_rows(panel, metric, code) for code in (0, arm)))
    return np.intersect1d(control, treatment).astype(np.float64)


def _contrast(panel: Panel, metric: MetricConfig, arm: int, shared: Floats, weights: Floats) -> Estimate:
    """Σ_d w_d · (effect on day d)."""
    control, treatment = (_weighted(panel, metric, code, shared, weights) for code in (0, arm))
    return difference(control, treatment)


def _weighted(panel: Panel, metric: MetricConfig, arm: int, shared: Floats, weights: Floats) -> Sample:
    """Σ_d w_d · R_d of one arm, with the variance of each viewer's part."""
    viewer, day, y, n = _rows(panel, metric, arm)
    kept = np.isin(day, shared)
    viewer, y, n, at = viewer[kept], y[kept], n[kept], np.searchsorted(shared, day[kept])
    num_viewers = int(panel.counts[arm])
    sums, sizes = np.bincount(at, y, len(shared)), np.bincount(at, n, len(shared))
    ratio = sums / sizes
    parts = weights[at] * (y - ratio[at] * n) / (sizes[at] / num_viewers)
    per_viewer = np.bincount(viewer, parts, len(panel.arm_V))[panel.arm_V == arm]
    return Sample(float(weights @ ratio), float(per_viewer.var(ddof=1)), num_viewers)
