"""Whether groups of viewers are served alike, by three definitions that cannot all hold at once unless groups behave alike.

    exposure      demographic parity: P(a page's top 10 shows the category | group)
    opportunity   equal opportunity: P(in the top 10 | group, the viewer did choose it)            (Hardt et al., NeurIPS 2016)
    calibration   mean predicted − mean observed by group: a probability should mean the same for everyone

Rates by group are fairlearn's `MetricFrame`. A gap is the largest rate minus the smallest (for calibration the largest distance
from 0), and its bounds hold for all pairs of groups and all categories at once (Bonferroni), over viewers: with many small
groups some pair always looks unequal. Groups without enough cases and viewers are named, never judged. Says nothing of why
rates differ: groups may like different things, and parity of exposure then costs relevance.

Shape legend: N cases; a viewer may have several and belongs to one group.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.inference import Interval, cluster_interval

Floats = NDArray[np.float64]
Measure = Literal["exposure", "opportunity", "calibration"]


@dataclass(frozen=True)
class Support:
    """How much a group must have to be judged, and how sure a judgement is."""

    cases: int = 100
    viewers: int = 30
    alpha: float = 0.05
    """Chance that any bound misses its gap."""


@dataclass(frozen=True)
class Cases:
    """N cases with the group of each."""

    attribute: str
    """What the groups are of, e.g. gender."""
    group_N: NDArray[np.str_]
    viewer_N: NDArray[np.int64]


@dataclass(frozen=True)
class GroupRate:
    """One group."""

    group: str
    cases: int
    viewers: int
    rate: float


@dataclass(frozen=True)
class Disparity:
    """One measure over the groups of one attribute."""

    measure: Measure
    attribute: str
    about: str
    """The category, for exposure; the head, for calibration."""
    rates: tuple[GroupRate, ...]
    too_small: tuple[str, ...]
    gap: Interval
    """nan where fewer groups than the measure needs have support."""
    ratio: float
    """Smallest rate over largest, 1 is parity; nan for calibration."""

    @property
    def measurable(self) -> bool:
        """Whether enough groups had support."""
        return not np.isnan(self.gap.mean)

    def to_json(self) -> dict[str, Any]:
        """Plain values, null instead of nan."""
        plain = {**asdict(self), "gap": self.gap.to_json()}
        return plain | {"ratio": None if np.isnan(self.ratio) else self.ratio}


def exposure(shown: Mapping[str, ArrayLike], cases: Cases, support: Support | None = None) -> list[Disparity]:
    """Demographic parity. shown: category → [N] whether the page shows it."""
    return [
        _between(_Question("exposure", about, "selection_rate", len(shown)), np.ones(len(cases.group_N)), of, cases, support)
        for about, of in shown.items()
    ]


def opportunity(found: ArrayLike, cases: Cases, support: Support | None = None) -> Disparity:
    """Equal opportunity. found: [N] whether the video that the viewer chose was in the top 10."""
    question = _Question("opportunity", "", "true_positive_rate", 1)
    return _between(question, np.ones(len(cases.group_N)), found, cases, support)


def calibration(head: str, label: ArrayLike, probability: ArrayLike, cases: Cases, support: Support | None = None) -> Disparity:
    """Mean predicted − mean observed by group. label, probability: [N]"""
    support, error = support or Support(), np.asarray(probability, dtype=np.float64) - np.asarray(label, dtype=np.float64)
    known, too_small = _supported(cases, support)
    means = _by_group(lambda y, p: float(np.mean(p) - np.mean(y)), label, probability, cases.group_N)
    rates = tuple(_rate(group, means[group], cases) for group in known)
    level, gap = 1 - support.alpha / max(len(known), 1), Interval(np.nan, np.nan, np.nan)
    if known:
        worst = max(rates, key=lambda rate: abs(rate.rate))
        half = _half_width(error, worst.group, cases, level)
        gap = Interval(abs(worst.rate), max(abs(worst.rate) - half, 0.0), abs(worst.rate) + half)
    return Disparity("calibration", cases.attribute, head, rates, too_small, gap, np.nan)


@dataclass(frozen=True)
class _Question:
    measure: Measure
    about: str
    metric: str
    """Its name in fairlearn."""
    num_asked: int
    """How many such questions are asked at once."""


def _between(question: _Question, truth: ArrayLike, chosen: ArrayLike, cases: Cases, support: Support | None) -> Disparity:
    import fairlearn.metrics  # with pandas and scikit-learn, a second to import

    support, chosen = support or Support(), np.asarray(chosen, dtype=np.float64)
    known, too_small = _supported(cases, support)
    found = _by_group(getattr(fairlearn.metrics, question.metric), truth, chosen, cases.group_N)
    rates = tuple(_rate(group, found[group], cases) for group in known)
    gap, ratio = Interval(np.nan, np.nan, np.nan), np.nan
    if len(known) > 1:
        low, high = min(rates, key=lambda rate: rate.rate), max(rates, key=lambda rate: rate.rate)
        level = 1 - support.alpha / (len(list(combinations(known, 2))) * question.num_asked)
        half = math.hypot(*(_half_width(chosen, each.group, cases, level) for each in (low, high)))
        difference = high.rate - low.rate
        gap = Interval(difference, max(difference - half, 0.0), min(difference + half, 1.0))
        ratio = low.rate / high.rate if high.rate > 0 else 1.0
    return Disparity(question.measure, cases.attribute, question.about, rates, too_small, gap, ratio)


def _by_group(
    metric: Callable[..., float], truth: ArrayLike, chosen: ArrayLike, group_N: NDArray[np.str_]
) -> Mapping[str, float]:
    from fairlearn.metrics import MetricFrame

    if not len(group_N):
        return {}
    frame = MetricFrame(metrics=metric, y_true=truth, y_pred=chosen, sensitive_features=group_N)
    return {str(group): float(value) for group, value in frame.by_group.items()}


def _supported(cases: Cases, support: Support) -> tuple[Sequence[str], tuple[str, ...]]:
    """Groups with support, and the others."""
    groups = [str(group) for group in np.unique(cases.group_N)]
    counts = {group: _rate(group, 0.0, cases) for group in groups}
    enough = {g for g, found in counts.items() if found.cases >= support.cases and found.viewers >= support.viewers}
    return [g for g in groups if g in enough], tuple(g for g in groups if g not in enough)


def _rate(group: str, rate: float, cases: Cases) -> GroupRate:
    here = cases.group_N == group
    return GroupRate(group, int(here.sum()), len(np.unique(cases.viewer_N[here])), rate)


def _half_width(values: Floats, group: str, cases: Cases, level: float) -> float:
    here = cases.group_N == group
    interval = cluster_interval(values[here], cases.viewer_N[here], level)
    return interval.high - interval.mean
