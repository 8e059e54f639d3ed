"""Is this window like the reference? Every signal in every segment against windows of earlier days, and feature histograms.

Signals. Each reference day gives one number (`signals.Windows.ratio`, on logarithms where changes are ratios), so what
makes days differ – viewers who cluster, weekends, slow trends – is in the reference and not called drift:

    expected = least squares on (1, day, weekend share of the window),   t = (now − expected) / √(v · (1 + leverage))

v shrinks the cell's own day-to-day variance halfway to what its signal's cells have on average relative to their hourly
scatter (moderated t, Smyth 2004), and never falls below the variance of a count. p values are adjusted by Benjamini and
Hochberg (1995) in two families, everyone and the segments, so that many segments do not hide what all viewers do. An alarm
also needs a change worth one (`Signal.least`).

Features. PSI over quantile bins of the reference. Over its size 1/n + 1/m it is χ²_{B−1} for independent rows. The reference
days, each against the others, give its real mean a and variance; today's is taken for a · F(ν, ν · days) · (1/n + 1/m) with
ν = 2a² / variance, at most B − 1 (after Rao & Scott 1981, second order): days that move as one have few degrees of freedom and
long tails, and the mean of fourteen of them is uncertain itself. With χ²_ν / ν in place of F, one quiet comparison in 5,000 had
p < 10⁻⁶. Whether values are there at all, and not far out of the range of other days, is a comparison of its own
(`validity_drift`): nulls or another unit in a few rows hardly move a histogram.

Assumes that days resemble each other after trend and weekends: the first holiday of a kind is news, and is meant to be.
Knows nothing of causes.

Shape legend: W windows (the last is now), R reference windows, G segments, S signals.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from core import two_sample
from core.inference import benjamini_hochberg
from monitoring import signals as sg
from monitoring.signals import SIGNALS, Tallies, Windows

Floats = NDArray[np.float64]
DAY_H = 24
_MONDAY_H = 4 * DAY_H
"""1970-01-05 was a Monday."""
_COUNTS = frozenset({sg.VOLUME, sg.MISSING, sg.RANGE, sg.OUTCOME, sg.CALIBRATION, sg.POLICY})
"""Roles whose top counts events."""
_FEWEST_COUNTED = 20.0
_FEWEST_PAGES = 60.0
"""Pages come in sessions, which makes small counts of them far from normal even on logarithms."""
_FEWEST_ROWS = 10.0
_SMALLEST_SD = 1e-2
VALIDITY = "validity of "
"""How the name of a `validity_drift` begins."""
_CERTAIN = 1e9
"""Degrees of freedom of a mean that is known: that of independent rows."""
_RELATIVE = np.array([signal.relative for signal in SIGNALS])
_COUNTED = np.array([signal.role in _COUNTS for signal in SIGNALS])
_VOLUME = np.array([signal.role == sg.VOLUME for signal in SIGNALS])
_LEAST = np.array([signal.least for signal in SIGNALS])


@dataclass(frozen=True)
class Finding:
    """One signal in one segment that is not what it was."""

    signal: str
    role: str
    feature: str
    segment: str
    value: float
    expected: float
    effect: float
    """A share of the expected value for relative signals, a difference otherwise."""
    p: float
    q: float
    """p after correction for everything that was tested at the same time."""


@dataclass(frozen=True)
class Comparison:
    """All cells of one window. Arrays are [G, S], nan where a cell has too few rows."""

    tallies: Tallies
    end_hour: int
    value_GS: Floats
    expected_GS: Floats
    effect_GS: Floats
    p_GS: Floats
    q_GS: Floats

    @property
    def num_tested(self) -> int:
        """Cells that had enough rows."""
        return int(np.isfinite(self.p_GS).sum())

    def expected(self, segment: str, signal: str) -> float:
        """What the cell should be, in units of the signal."""
        return float(self.expected_GS[self.tallies.segments.index(segment), sg.place(signal)])

    def findings(self, level: float) -> list[Finding]:
        """Cells with q ≤ `level` and a change worth an alarm, the surest first."""
        hit = (np.nan_to_num(self.q_GS, nan=1.0) <= level) & (np.abs(np.nan_to_num(self.effect_GS)) >= _LEAST)
        return [self.finding(g, s) for g, s in sorted(np.argwhere(hit).tolist(), key=lambda at: float(self.p_GS[at[0], at[1]]))]

    def finding(self, segment: int, signal: int) -> Finding:
        """One cell, whether it is remarkable or not."""
        spec, at = SIGNALS[signal], (segment, signal)
        numbers = (float(part[at]) for part in (self.value_GS, self.expected_GS, self.effect_GS, self.p_GS, self.q_GS))
        return Finding(spec.name, spec.role, spec.feature, self.tallies.segments[segment], *numbers)


def reference_ends(end_hour: int, days: int, gap_days: int = 1) -> list[int]:
    """Ends of earlier windows at the same clock hour, oldest first.

    The `gap_days` days before now are left out, so that a change of yesterday is not taken for normal today.
    """
    return [end_hour - DAY_H * (gap_days + day) for day in range(days, 0, -1)]


def compare(tallies: Tallies, end_hour: int, reference: Sequence[int], hours: int = DAY_H) -> Comparison:
    """The `hours` before `end_hour` against the windows that end at `reference` (hours since 1970), at least seven of them."""
    windows = tallies.windows([*reference, end_hour], hours)
    design_WP = _design([*reference, end_hour], hours)
    y_WGS, enough_GS = _values(windows, tallies.tested_GS)
    fitted = _fit(design_WP, y_WGS)
    variance_GS, degrees = _moderated(windows, fitted, enough_GS)
    change = y_WGS[-1] - fitted.expected_GS
    t = change / np.sqrt(variance_GS * (1 + fitted.leverage))
    p = np.where(enough_GS, 2 * stats.t.sf(np.abs(t), degrees), np.nan)
    q = np.full_like(p, np.nan)
    everyone = (np.arange(len(p)) == 0)[:, None]
    for family in (enough_GS & everyone, enough_GS & ~everyone):
        q[family] = benjamini_hochberg(p[family])
    return Comparison(
        tallies=tallies,
        end_hour=end_hour,
        value_GS=windows.ratio()[-1],
        expected_GS=np.where(_RELATIVE, np.exp(np.where(_RELATIVE, fitted.expected_GS, 0.0)), fitted.expected_GS),
        effect_GS=np.where(_RELATIVE, np.expm1(np.where(_RELATIVE, change, 0.0)), change),
        p_GS=p,
        q_GS=q,
    )


@dataclass(frozen=True)
class _Fit:
    expected_GS: Floats
    spread_GS: Floats
    """Day-to-day variance around the fit."""
    leverage: float
    degrees: int


def _design(ends: Sequence[int], hours: int) -> Floats:
    """[W, P] constant, day, and the weekend share of each window where it varies enough to be learned."""
    end = np.asarray(ends, dtype=np.float64)
    each = (end[:, None] - 1 - np.arange(hours)) - _MONDAY_H
    weekend = ((each // DAY_H) % 7 >= 5).mean(axis=1)
    columns = [np.ones(len(end)), (end - end[0]) / DAY_H / len(end)]
    return np.stack([*columns, weekend] if np.sum(weekend[:-1] > 0.5) >= 2 else columns, axis=1)


def _values(windows: Windows, tested_GS: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """What is compared [W, G, S], and which cells have enough rows in every window [G, S]."""
    ratio = windows.ratio()
    mean_top, least_bottom = windows.top[:-1].mean(axis=0), windows.bottom.min(axis=0)
    rows = np.where(_VOLUME, np.inf, least_bottom) >= _FEWEST_ROWS
    counted = ~(_RELATIVE & _COUNTED) | (mean_top >= np.where(_VOLUME, _FEWEST_PAGES, _FEWEST_COUNTED))
    enough = tested_GS & rows & counted & (~_RELATIVE | (windows.top[:-1] > 0).all(axis=0))
    logs = np.log(np.maximum(np.nan_to_num(ratio), 0.5 / np.maximum(windows.bottom, 1.0)))
    return np.where(_RELATIVE, logs, np.nan_to_num(ratio)), enough


def _fit(design_WP: Floats, y_WGS: Floats) -> _Fit:
    before, now = design_WP[:-1], design_WP[-1]
    y = y_WGS[:-1].reshape(len(before), -1)
    inverse = np.linalg.inv(before.T @ before)
    coefficients = inverse @ before.T @ y
    degrees = len(before) - design_WP.shape[1]
    spread = ((y - before @ coefficients) ** 2).sum(axis=0) / degrees
    shape = y_WGS.shape[1:]
    return _Fit((now @ coefficients).reshape(shape), spread.reshape(shape), float(now @ inverse @ now), degrees)


def _moderated(windows: Windows, fitted: _Fit, enough_GS: NDArray[np.bool_]) -> tuple[Floats, int]:
    """Variance of the present value of each cell, and the degrees of freedom of a t with it."""
    bottom, size = windows.bottom[:-1], np.maximum(windows.bottom[:-1].mean(axis=0), 1e-9)
    level = np.where(_RELATIVE, np.exp(np.where(_RELATIVE, fitted.expected_GS, 0.0)), 1.0)
    hourly = windows.scatter()[:-1].sum(axis=0) / np.maximum(bottom.sum(axis=0), 1e-9) / size / level**2
    expected_count = np.maximum(windows.top[:-1].mean(axis=0), 1.0)
    counting = np.where(_RELATIVE, 1 / expected_count, expected_count / size**2)
    floor = np.where(_COUNTED, counting, _SMALLEST_SD**2)
    prior = np.maximum(np.where(_VOLUME, counting, hourly), floor)
    ratio = np.where(enough_GS, fitted.spread_GS / prior, np.nan)
    excess = np.array([max(1.0, float(np.median(r[np.isfinite(r)]))) if np.isfinite(r).any() else 1.0 for r in ratio.T])
    shrunk = np.maximum((fitted.spread_GS + excess * prior) / 2, floor)
    fewer_rows = np.maximum(size / np.maximum(windows.bottom[-1], 1e-9), 1.0)
    return shrunk * np.where(_VOLUME, 1.0, fewer_rows), 2 * fitted.degrees


@dataclass(frozen=True)
class FeatureDrift:
    """One feature in one segment: the reference days' rows against today's."""

    feature: str
    segment: str
    psi: float
    limit: float
    """PSI that days like those of the reference pass with probability `1 − level`."""
    ks: float
    """D, or total variation Σ|a − e| / 2 for categories."""
    js: float
    """Jensen–Shannon divergence of the two histograms in bits, 0 alike to 1 nothing in common; 0 without values of one."""
    missing: float
    """Share of today's rows without a value."""
    missing_before: float
    outside: float
    """Share of today's values outside the reference's range."""
    design_effect: float
    """How many times noisier the reference days are than independent rows."""
    p: float
    labels: tuple[str, ...]
    expected: tuple[float, ...]
    """Share of the reference in each bin."""
    actual: tuple[float, ...]
    rows: int


def numeric_drift(
    feature: str, segment: str, reference: Sequence[ArrayLike], today: ArrayLike, level: float = 0.999, bins: int = 10
) -> FeatureDrift:
    """Numbers, one array per reference day; nan means missing."""
    days = [np.asarray(day, dtype=np.float64) for day in (*reference, today)]
    known = [day[np.isfinite(day)] for day in days]
    before, now = np.concatenate(known[:-1]), known[-1]
    edges = two_sample.quantile_edges(before, bins) if len(before) else np.zeros(0)
    counts = np.stack([two_sample.binned(day, edges) for day in known])
    outside = float(((now < before.min()) | (now > before.max())).mean()) if len(now) and len(before) else 0.0
    apart = two_sample.ks_distance(before, now) if len(now) and len(before) else float(len(now) != len(before))
    labels = [f"≤ {edge:.3g}" for edge in edges] + [f"> {edges[-1]:.3g}" if len(edges) else "all"]
    sizes, missing = [len(day) for day in days], [len(d) - len(k) for d, k in zip(days, known, strict=True)]
    return _drift(feature, segment, counts, labels, (apart, outside), (sizes, missing), level)


def validity_drift(
    feature: str, segment: str, reference: Sequence[ArrayLike], today: ArrayLike, level: float = 0.999
) -> FeatureDrift | None:
    """Shares of numbers that are given, impossible, and missing (nan).

    Impossible: further from the range of the other reference days than that is wide. Counters grow past it by the day, another
    unit goes far beyond it. None where all are given on all days, or none on any.
    """
    days = [np.asarray(day, dtype=np.float64) for day in (*reference, today)]
    known = [day[np.isfinite(day)] for day in days]
    ends = np.array([(day.min(initial=np.inf), day.max(initial=-np.inf)) for day in known])
    outside = []
    for at, values in enumerate(known):
        others = np.delete(ends[:-1], at, axis=0) if at < len(reference) else ends[:-1]
        low, high = others[:, 0].min(), others[:, 1].max()
        outside.append(int(((values < 2 * low - high) | (values > 2 * high - low)).sum()))
    missing = [len(day) - len(values) for day, values in zip(days, known, strict=True)]
    given = [len(values) - out for values, out in zip(known, outside, strict=True)]
    counts = np.array([given, outside, missing]).T
    there = counts.sum(axis=0) > 0
    if there.sum() < 2:
        return None
    before, now = counts[:-1].sum(axis=0), counts[-1]
    apart = _variation(before, now)
    labels = [name for name, some in zip(("given", "impossible", "missing"), there, strict=True) if some]
    share = outside[-1] / max(len(known[-1]), 1)
    sizes = [len(day) for day in days]
    return _drift(f"{VALIDITY}{feature}", segment, counts[:, there], labels, (apart, share), (sizes, missing), level)


def category_drift(
    feature: str, segment: str, reference: Sequence[Sequence[str | None]], today: Sequence[str | None], level: float = 0.999
) -> FeatureDrift:
    """Values of a category, one sequence per reference day; None means missing. Values that the reference lacks are outside."""
    days = [*reference, today]
    names = sorted({value for day in days for value in day if value is not None})
    places = {name: at for at, name in enumerate(names)}
    counts = np.stack(
        [np.bincount([places[v] for v in day if v is not None], minlength=len(names)).astype(np.int64) for day in days]
    )
    before, now = counts[:-1].sum(axis=0), counts[-1]
    apart = _variation(before, now)
    outside = float(now[before == 0].sum() / max(now.sum(), 1))
    sizes, missing = [len(day) for day in days], [sum(v is None for v in day) for day in days]
    return _drift(feature, segment, counts, names, (apart, outside), (sizes, missing), level)


def _drift(
    feature: str,
    segment: str,
    counts_WB: NDArray[np.int64],
    labels: Sequence[str],
    distances: tuple[float, float],
    rows: tuple[Sequence[int], Sequence[int]],
    level: float,
) -> FeatureDrift:
    """rows: of each day, all of them and those without a value."""
    before, now = counts_WB[:-1].sum(axis=0), counts_WB[-1]
    size, (usual, degrees, below) = _size(before.sum(), now.sum()), _usual(counts_WB)
    value = two_sample.psi(before, now)
    sizes, missing = rows
    return FeatureDrift(
        feature=feature,
        segment=segment,
        psi=value,
        limit=usual * float(stats.f.ppf(level, degrees, below)) * size,
        ks=distances[0],
        js=two_sample.jensen_shannon(before, now) if before.any() and now.any() else 0.0,
        missing=missing[-1] / max(sizes[-1], 1),
        missing_before=sum(missing[:-1]) / max(sum(sizes[:-1]), 1),
        outside=distances[1],
        design_effect=usual / (_bins(counts_WB) - 1),
        p=float(stats.f.sf(value / size / usual, degrees, below)),
        labels=tuple(labels),
        expected=tuple((before / max(before.sum(), 1)).tolist()),
        actual=tuple((now / max(now.sum(), 1)).tolist()),
        rows=sizes[-1],
    )


def _usual(counts_WB: NDArray[np.int64]) -> tuple[float, float, float]:
    """Mean of PSI over its size between a reference day and the others, its degrees of freedom, and those of the mean."""
    days, most = counts_WB[:-1], float(_bins(counts_WB) - 1)
    total = days.sum(axis=0)
    known = days[(days.sum(axis=1) > 0) & ((total - days).sum(axis=1) > 0)]
    if len(known) < 2:
        return most, most, _CERTAIN
    rows = known.sum(axis=1)
    found = two_sample.psi_each(total - known, known) / (1 / (total.sum() - rows) + 1 / rows)
    mean, spread = max(float(np.mean(found)), most), max(float(np.var(found, ddof=1)), 1e-9)
    degrees = float(np.clip(2 * mean**2 / spread, 1.0, most))
    return mean, degrees, degrees * len(found)


def _bins(counts_WB: NDArray[np.int64]) -> int:
    """Bins with anything in them, at least two."""
    return max(int((counts_WB.sum(axis=0) > 0).sum()), 2)


def _size(n: float, m: float) -> float:
    return 1 / max(n, 1) + 1 / max(m, 1)


def _variation(before_B: NDArray[np.int64], now_B: NDArray[np.int64]) -> float:
    """Total variation distance of two counts over the same bins."""
    return float(np.abs(now_B / max(now_B.sum(), 1) - before_B / max(before_B.sum(), 1)).sum() / 2)
