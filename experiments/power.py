"""How many viewers, and for how long, before an experiment is started.

    n = (z_{1−α/2} + z_{1−β})² · (v₁ + v₂ · w) / δ²        in the control arm; v: variances, δ: smallest effect that matters,
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
    """What an experiment on a rate costs."""

    baseline: float
    """Rate of the control."""
    target: float
    """Rate of the treatment that must not be missed."""
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
) -> Plan:
    """Plan an experiment on a rate.

    Args:
        baseline: rate of the control, 0 to 1.
        lift: smallest difference that matters: absolute, or as a share of the baseline with `relative`.
        per_day: observations (e.g. impressions) that arrive per day in the experiment.
        relative: how to read `lift`.
        alpha: accepted chance of a false positive, two-sided.
        power: wanted chance to see a difference of `lift`.
        share: share of the observations in the treatment arm.
        per_viewer: observations per viewer.
        correlation: between observations of one viewer, 0 to 1.

    Raises:
        BadInput: a value that makes no sense.
    """
    target = baseline * (1 + lift) if relative else baseline + lift
    if not (0 < baseline < 1 and 0 < target < 1) or lift == 0:
        raise BadInput(f"baseline {baseline} and target {target:g} must differ and lie between 0 and 1")
    if per_day <= 0 or not 0 < share < 1 or per_viewer < 1:
        raise BadInput("per-day must be above 0, share between 0 and 1, and per-viewer at least 1")
    effect = design_effect(per_viewer, correlation)
    odds = (1 - share) / share
    control = _ceil(effect * _for_rates(baseline, target, alpha, power, odds))
    treatment = _ceil(effect * _for_rates(baseline, target, alpha, power, odds) / odds)
    days = (control + treatment) / per_day
    weeks = max(1, _ceil(days / DAYS_PER_WEEK))
    seen = math.sqrt((control + treatment) / (weeks * DAYS_PER_WEEK * per_day)) * abs(target - baseline)
    return Plan(baseline, target, control, treatment, effect, per_day, days, weeks, seen)


def rates(baseline: float, target: float, alpha: float = 0.05, power: float = 0.8, *, pooled: bool = False) -> int:
    """Observations per arm to tell two rates apart; `pooled` takes the null hypothesis's variance for the α part."""
    if not pooled:
        return _ceil(_for_rates(baseline, target, alpha, power, 1.0))
    middle = (baseline + target) / 2
    null, alternative = 2 * middle * (1 - middle), baseline * (1 - baseline) + target * (1 - target)
    z_alpha, z_power = stats.norm.ppf(1 - alpha / 2), stats.norm.ppf(power)
    return _ceil((z_alpha * math.sqrt(null) + z_power * math.sqrt(alternative)) ** 2 / (target - baseline) ** 2)


def means(deviation: float, difference: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Observations per arm to see `difference` of a mean whose observations have standard deviation `deviation`."""
    return _ceil(_z(alpha, power) * 2 * deviation**2 / difference**2)


def design_effect(per_viewer: float, correlation: float) -> float:
    """By how much correlated observations of one viewer raise the number needed."""
    if not 0 <= correlation <= 1:
        raise BadInput(f"the correlation within viewers must lie between 0 and 1, got {correlation}")
    return 1 + (per_viewer - 1) * correlation


def _for_rates(baseline: float, target: float, alpha: float, power: float, odds: float) -> float:
    variances = baseline * (1 - baseline) + odds * target * (1 - target)
    return _z(alpha, power) * variances / (target - baseline) ** 2


def _z(alpha: float, power: float) -> float:
    return float((stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)) ** 2)


def _ceil(value: float) -> int:
    return math.ceil(value - 1e-9)
