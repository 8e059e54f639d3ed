"""How many viewers, and for how long, before an experiment is started.

    n = (z_{1−α/2} + z_{1−β})² · (v₁ + v₂ · w) / δ²        in the control arm; δ: smallest effect that matters; v: variances,
                                                            p(1 − p) of a rate, the same in both arms of a mean;
                                                            w = control share / treatment share (1 when the arms are equal)
    design effect = 1 + (m − 1) · ρ                         m correlated impressions per viewer (Kish 1965)

A duration is rounded up to whole weeks, because effects differ by weekday. Assumes roughly normal means, which thousands of
viewers give. "0.1 % lift" may mean 10 % → 10.1 % or 10 % → 10.01 %, a factor of a hundred in n: say which.
"""

import math
from dataclasses import dataclass

from scipy import stats

from core.errors import BadInput

DAYS_PER_WEEK = 7


@dataclass(frozen=True)
class Plan:
    """What an experiment on a rate or a mean costs."""

    baseline: float
    """Rate or mean of the control."""
    target: float
    """That of the treatment which must not be missed."""
    control: int
    """Observations needed in the control arm, design effect included."""
    treatment: int
    """Observations needed in the treatment arm, design effect included."""
    design_effect: float
    per_day: float
    """Observations that arrive per day, both arms."""
    days: float
    """Until both arms have enough, were all days alike."""
    weeks: int
    """Whole weeks to run."""
    detectable: float
    """Absolute difference that those whole weeks can show."""
    viewers: int
    """In both arms: `planned_viewers` of the experiment's analysis."""

    @property
    def total(self) -> int:
        """Observations in both arms."""
        return self.control + self.treatment


def plan(
    baseline: float,
    lift: float,
    per_day: float,
    *,
    relative: bool = False,
    alpha: float = 0.05,
    power: float = 0.8,
    share: float = 0.5,
    per_viewer: float = 1.0,
    correlation: float = 0.0,
    deviation: float | None = None,
) -> Plan:
    """Plan an experiment on a rate, or on a mean.

    Args:
        baseline: rate of the control, 0 to 1; or its mean, e.g. seconds watched.
        lift: smallest difference that matters: absolute, or as a share of the baseline with `relative`.
        per_day: observations (e.g. impressions) that arrive per day in the experiment.
        relative: how to read `lift`.
        alpha: accepted chance of a false positive, two-sided.
        power: wanted chance to see a difference of `lift`.
        share: share of the observations in the treatment arm.
        per_viewer: observations per viewer.
        correlation: between observations of one viewer, 0 to 1.
        deviation: standard deviation of one observation, which makes the baseline a mean.

    Raises:
        BadInput: a value that makes no sense.
    """
    target = baseline * (1 + lift) if relative else baseline + lift
    if deviation is None and not (0 < baseline < 1 and 0 < target < 1):
        raise BadInput(f"rates lie between 0 and 1, got {baseline:g} and {target:g}; a mean needs --deviation")
    if not 0 < abs(target - baseline) < math.inf or not 0 < per_day < math.inf or not 0 < share < 1 or not per_viewer >= 1:
        raise BadInput("lift must not be 0, per-day must be above 0, share between 0 and 1, and per-viewer at least 1")
    if not (0 < alpha < 1 and 0 < power < 1) or (deviation is not None and not 0 < deviation < math.inf):
        raise BadInput("alpha and power must lie between 0 and 1, and a deviation must be above 0")
    effect, odds = design_effect(per_viewer, correlation), (1 - share) / share
    of_one = baseline * (1 - baseline) + odds * target * (1 - target) if deviation is None else deviation**2 * (1 + odds)
    needed = effect * _z(alpha, power) * of_one / (target - baseline) ** 2
    control, treatment = _ceil(needed), _ceil(needed / odds)
    days = (control + treatment) / per_day
    weeks = max(1, _ceil(days / DAYS_PER_WEEK))
    seen = math.sqrt((control + treatment) / (weeks * DAYS_PER_WEEK * per_day)) * abs(target - baseline)
    viewers = _ceil((control + treatment) / per_viewer)
    return Plan(baseline, target, control, treatment, effect, per_day, days, weeks, seen, viewers)


def design_effect(per_viewer: float, correlation: float) -> float:
    """By how much correlated observations of one viewer raise the number needed."""
    if not 0 <= correlation <= 1:
        raise BadInput(f"the correlation within viewers must lie between 0 and 1, got {correlation}")
    return 1 + (per_viewer - 1) * correlation


def _z(alpha: float, power: float) -> float:
    return float((stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)) ** 2)


def _ceil(value: float) -> int:
    return math.ceil(value - 1e-9)
