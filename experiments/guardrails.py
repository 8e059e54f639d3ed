"""Whether something that must not get worse got worse: non-inferiority with a margin m relative to the control.

    higher is better:  m_t − (1 − m)·m_c > 0          lower is better:  (1 + m)·m_c − m_t > 0

The contrast is linear, so it needs no division by the control's mean. Wholly above zero: safe. Wholly below: harmed. Otherwise
nobody knows yet, which is not the same as safe; nor is a ratio over nothing, such as retention before the log is long enough.
(Schuirmann 1987; a missing difference is no evidence of equality.)
"""

from dataclasses import replace
from enum import StrEnum

from core.inference import Interval
from experiments.config import MetricConfig
from experiments.effects import Estimate, Sample, difference


class Safety(StrEnum):
    """What an interval says about a guardrail."""

    SAFE = "safe"
    HARMED = "harmed"
    UNCLEAR = "unclear"
    UNMEASURED = "unmeasured"
    """An arm has no denominator at all."""


def contrast(metric: MetricConfig, control: Sample, treatment: Sample) -> Estimate:
    """Above zero exactly when the treatment stays within the margin."""
    if metric.better == "higher":
        return difference(control, treatment, 1 - metric.margin)
    worse = difference(control, treatment, 1 + metric.margin)
    return replace(worse, value=-worse.value)


def judge(interval: Interval) -> Safety:
    """From an interval of the contrast."""
    if interval.low >= 0:
        return Safety.SAFE
    return Safety.HARMED if interval.high < 0 else Safety.UNCLEAR
