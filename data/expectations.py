"""Does new data look like the data that was accepted? Volumes, distributions and empty fields, each with its limit.

*Volume.* Expected on a day = level · weekday factor. The factor is the median over weeks of count / mean of its seven days, the
level the median of count / factor over the last seven days. σ is 1.4826 · MAD of each day's logarithm against other weeks, at
least that of a Poisson count. A day is odd beyond 4σ and a fifth; it fails beyond 6σ and below 2/3 or above fourfold. With
less than three weeks of history the weekday is unknown, σ is at least .25, and only a collapse is seen.

*Distribution.* PSI of the new days against accepted days of the same weekdays. A shift must be surely there, and large: PSI
above the point that chance passes with probability α (χ²_{B−1} · (δ₁/n + δ₂/m); α is divided by the number of measures), and
above .1 to warn, .25 to fail. Textbook limits fire on noise in small samples, significance on trifles in large ones.
δ is the design effect of rows that share a viewer (`data.profile`). That the same viewers are in both samples makes the
difference smaller than the formula thinks, so it errs towards silence.

*Empty fields.* A difference in the share of empty values beyond z_α/2 · √(p̄(1 − p̄)(δ₁/n + δ₂/m)), and above .02 to warn, .1 to
fail.

"New" is what arrived after the last event the profile knows: snapshots grow, and old rows would drown the new ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from scipy import stats

from core import columns as c
from core import two_sample
from data import profile
from data.dataset import Dataset
from data.measures import MEASURES, Measure
from data.profile import Histogram, Profile
from data.severity import FAIL, OK, WARN

ALPHA = 0.01
"""Chance that quiet data passes the noise limit of any measure at all, if its rows were what the formula assumes."""
_WEEK, _ENOUGH_DAYS = 7, 21
_SIGMA_UNKNOWN = 0.25


@dataclass(frozen=True)
class Outcome:
    """One expectation and what came instead."""

    group: str
    """volume, shift, or empty."""
    what: str
    observed: float
    expected: float
    """The value without any change: the usual count, PSI 0, the usual share."""
    low: float
    high: float
    """Beyond these it is at least worth a warning."""
    severity: str
    """ok, warn, or fail."""
    num_rows: int

    def to_text(self) -> str:
        """Observed against expected, e.g. `500,000, usually 1,000,000`."""
        if self.group == "volume":
            return f"{self.observed:,.0f}, usually {self.expected:,.0f}"
        if self.group == "empty":
            return f"{self.observed:.1%} are empty, usually {self.expected:.1%}"
        return f"PSI {self.observed:.3f}, chance and size allow {self.high:.3f}"


def compare(accepted: Profile, dataset: Dataset, now: int | None = None) -> list[Outcome]:
    """Everything that arrived after the accepted profile ended, against it; nothing new gives no outcomes.

    Args:
        accepted: the profile.
        dataset: data that continues it, sorted by received_at.
        now: the present (ms): days that have passed count as complete even when nothing arrived on them.
    """
    fresh = replace(dataset, events=dataset.events.filter(pl.col(c.RECEIVED_AT) > accepted.last_at))
    days = profile.complete_days(accepted.last_at, now if now is not None else dataset.end_at)
    outcomes = volumes(accepted.volumes, profile.volumes(fresh.events, days), days)
    if len(fresh.events):
        outcomes += shifts(accepted.histograms, profile.histograms(fresh, accepted.histograms))
    return outcomes


def volumes(known: Mapping[str, Mapping[str, int]], found: Mapping[str, Mapping[str, int]], days: list[str]) -> list[Outcome]:
    """One outcome per kind and day."""
    outcomes = []
    for kind, history in known.items():
        if not any(history.values()):
            continue
        usual, sigma = _usual_days(history)
        for day in days:
            expected, count = usual[profile.weekday(day)], found.get(kind, {}).get(day, 0)
            outcomes.append(_volume(f"{kind} events on {day}", count, expected, sigma))
    return outcomes


def shifts(known: Mapping[str, Histogram], found: Mapping[str, Histogram]) -> list[Outcome]:
    """One outcome per measure that both have."""
    both = [measure for measure in MEASURES if measure.name in known and measure.name in found]
    alpha = ALPHA / max(len(both), 1)
    return [(_rate if m.rate else _shift)(m, known[m.name], found[m.name], alpha) for m in both]


def _usual_days(history: Mapping[str, int]) -> tuple[list[float], float]:
    """[7] expected counts from Monday, and the standard deviation of the logarithm of a day's count around them."""
    counts = np.array(list(history.values()), dtype=np.float64)
    weekdays = np.array([profile.weekday(day) for day in history])
    if len(counts) < _ENOUGH_DAYS:
        level = float(np.median(counts[-_WEEK:]))
        return [level] * _WEEK, max(_SIGMA_UNKNOWN, _poisson(level))
    starts = np.clip(np.arange(len(counts)) - _WEEK // 2, 0, len(counts) - _WEEK)
    ratio = counts / np.maximum(np.convolve(counts, np.ones(_WEEK) / _WEEK, "valid")[starts], 0.5)
    factor = np.array([np.median(ratio[weekdays == day]) for day in range(_WEEK)])
    factor = np.maximum(factor / max(factor.mean(), 1e-9), 1e-3)
    level = float(np.median((counts / factor[weekdays])[-_WEEK:]))
    # Each day against the other weeks: a day is close to a median that it is part of.
    others = [np.median(ratio[(weekdays == weekdays[at]) & (np.arange(len(ratio)) != at)]) for at in range(len(ratio))]
    residual = np.log(np.maximum(ratio, 1e-3) / np.maximum(others, 1e-3))
    sigma = 1.4826 * float(np.median(np.abs(residual - np.median(residual))))
    return (level * factor).tolist(), max(sigma, _poisson(level))


def _poisson(level: float) -> float:
    return 1 / float(np.sqrt(max(level, 0.5)))


def _volume(what: str, count: int, expected: float, sigma: float) -> Outcome:
    low, high = (expected * np.exp(sign * max(4 * sigma, np.log(1.2))) for sign in (-1, 1))
    fails = count < expected * min(np.exp(-6 * sigma), 2 / 3) or count > expected * max(np.exp(6 * sigma), 4)
    severity = FAIL if fails else OK if low <= count <= high else WARN
    return Outcome("volume", what, float(count), expected, float(low), float(high), severity, count)


def _shift(measure: Measure, known: Histogram, found: Histogram, alpha: float) -> Outcome:
    before, after = _alike_days(known, found)
    used = (before + after) > 0
    value, num_bins = two_sample.psi(before[used], after[used]), int(used.sum())
    n, m = (max(round(counts.sum() / of.design_effect), 1) for counts, of in ((before, known), (after, found)))
    chance = two_sample.psi_noise(num_bins, n, m, 1 - alpha)[1] if num_bins > 1 else 0.0
    return _judged(Outcome("shift", measure.name, value, 0.0, 0.0, chance, OK, int(after.sum())), measure, 0.1, 0.25)


def _rate(measure: Measure, known: Histogram, found: Histogram, alpha: float) -> Outcome:
    counts = _alike_days(known, found)  # of empty and of present values
    before, after = (float(of[0] / max(of.sum(), 1)) for of in counts)
    n, m = (max(of.sum() / histogram.design_effect, 1) for of, histogram in zip(counts, (known, found), strict=True))
    pooled = (before * n + after * m) / (n + m)
    chance = float(stats.norm.isf(alpha / 2) * np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m)))
    outcome = Outcome("empty", measure.name, after, before, 0.0, chance, OK, int(counts[1][0]))
    return _judged(outcome, measure, 0.02, 0.1)


def _judged(outcome: Outcome, measure: Measure, warn: float, fail: float) -> Outcome:
    """`outcome.high` comes as what chance allows and leaves as the limit, above `expected`, that must be passed to count."""
    moved = abs(outcome.observed - outcome.expected)
    severity = OK if moved <= max(outcome.high, warn) else WARN if moved <= max(outcome.high, fail) else measure.most
    low = outcome.expected - max(outcome.high, warn) if outcome.group == "empty" else 0.0
    return replace(outcome, low=low, high=outcome.expected + max(outcome.high, warn), severity=severity)


def _alike_days(known: Histogram, found: Histogram) -> tuple[np.ndarray, np.ndarray]:
    """[B] counts of accepted days with the weekdays of the new ones (all of them, when there are none), and of the new days."""
    weekdays = {profile.weekday(day) for day in found.days}
    alike = [day for day in known.days if profile.weekday(day) in weekdays]
    return known.total(alike or known.days), found.total(found.days)
