"""The analysis of an A/B test, from rows per viewer and day to a decision. Read `analyse` from top to bottom.

    the planned days → sample ratio, calendar → effects of every arm on every metric → corrections for their number → a verdict

Each effect comes twice: at a fixed horizon (valid once, at the planned end) and always valid (whenever one looks). What comes
after the planned end is left out: looking once must give what looking later gives. Knows nothing of logs or files.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from core.inference import Interval, benjamini_hochberg
from experiments import guardrails, quality
from experiments.config import AnalysisConfig, ExperimentConfig, MetricConfig
from experiments.decision import Choice, Facts, Verdict, decide
from experiments.effects import Sample, cuped, difference, lift
from experiments.guardrails import Safety
from experiments.panel import Panel
from experiments.quality import Days, Novelty, SampleRatio
from experiments.sequential import always_valid

Role = Literal["primary", "secondary", "guardrail"]


@dataclass(frozen=True)
class Effect:
    """One arm against the control on one metric."""

    metric: str
    role: Role
    arm: str
    control: float
    treatment: float
    difference: Interval
    """Fixed horizon, p unadjusted."""
    always: Interval
    """The same, valid whenever one looks."""
    lift: Interval
    """Relative to the control, fixed horizon; nan where the control's mean is not above zero."""
    adjusted_p: float
    """p after Benjamini–Hochberg: over arms for the primary metric, over metrics and arms for secondary ones."""
    variance_saved: float
    """Share of variance that CUPED took away, 0 without."""
    safety: Safety | None = None
    """Of a guardrail."""


@dataclass(frozen=True)
class ArmReport:
    """Everything about one treatment arm."""

    arm: str
    verdict: Verdict
    effects: tuple[Effect, ...]
    """Primary first."""
    novelty: Novelty
    """Of the primary metric."""


@dataclass(frozen=True)
class Report:
    """The result of one experiment."""

    experiment: str
    finished: bool
    """Whether the planned end was reached: decides which of the two intervals counts."""
    sample_ratio: SampleRatio
    days: Days
    late: int
    """Days that the rows reach beyond the planned end; they are left out."""
    mixed: int
    """Viewers dropped because they were seen in two arms."""
    arms: tuple[ArmReport, ...]

    @property
    def headline(self) -> str:
        """The decision in a plain sentence per arm."""
        if self.arms[0].verdict.choice is Choice.INVALID:
            return f"Invalid: {self.arms[0].verdict.reason}."
        return " ".join(f"{r.verdict.choice.capitalize()} '{r.arm}': {r.verdict.reason}." for r in self.arms)

    def to_json(self) -> dict[str, Any]:
        """Plain values; nan and infinite become null."""
        return {"headline": self.headline, **plain(asdict(self))}


def analyse(panel: Panel, experiment: ExperimentConfig) -> Report:
    """Judge every arm against the first one.

    Raises:
        SchemaMismatch: the rows lack a metric's column.
        BadInput: an arm has fewer than two viewers.
    """
    config = experiment.analysis
    whole = quality.days(panel)
    panel = panel.until(whole.first + config.days)
    ratio = quality.sample_ratio(panel.counts.tolist(), experiment.shares)
    days = replace(quality.days(panel), length=min(whole.length, config.days))
    finished = days.length == config.days
    effects = _corrected(
        [_effect(panel, m, role, arm, config, finished) for m, role in _roles(config) for arm in _treatments(panel)]
    )
    arms = tuple(_arm_report(panel, arm, effects, ratio, days, config) for arm in _treatments(panel))
    return Report(experiment.name, finished, ratio, days, max(whole.length - config.days, 0), panel.mixed, arms)


def _roles(config: AnalysisConfig) -> list[tuple[MetricConfig, Role]]:
    return [
        (config.primary, "primary"),
        *((metric, "secondary") for metric in config.secondary),
        *((metric, "guardrail") for metric in config.guardrails),
    ]


def _treatments(panel: Panel) -> range:
    return range(1, len(panel.arm_names))


def _effect(panel: Panel, metric: MetricConfig, role: Role, arm: int, config: AnalysisConfig, finished: bool) -> Effect:
    control, treatment, saved = _samples(panel, metric, arm, config.cuped)
    viewers = control.count + treatment.count
    found, level = difference(control, treatment), 1 - config.alpha
    fixed, always = found.interval(level), always_valid(found, viewers, config.planned_viewers, config.alpha)
    safety = None
    if role == "guardrail":
        contrast = guardrails.contrast(metric, control, treatment)
        sequence = always_valid(contrast, viewers, config.planned_viewers, config.alpha)
        safety = guardrails.judge(contrast.interval(level) if finished else sequence)
        safety = safety if panel.measures(metric) else Safety.UNMEASURED
    return Effect(
        metric=metric.name,
        role=role,
        arm=panel.arm_names[arm],
        control=control.mean,
        treatment=treatment.mean,
        difference=fixed,
        always=always,
        lift=lift(control, treatment).interval(level),
        adjusted_p=fixed.p if finished else always.p,
        variance_saved=saved,
        safety=safety,
    )


def _samples(panel: Panel, metric: MetricConfig, arm: int, adjust: bool) -> tuple[Sample, Sample, float]:
    """Control, treatment, and the share of variance that the adjustment saved."""
    values, before = panel.values(metric), panel.before(metric) if adjust else None
    plain = [Sample.of(values[code]) for code in (0, arm)]
    if before is None:
        return plain[0], plain[1], 0.0
    adjusted = cuped(values, before)
    control, treatment = (Sample.of(adjusted[code]) for code in (0, arm))
    was = sum(sample.error2 for sample in plain)
    return control, treatment, 1 - (control.error2 + treatment.error2) / was if was > 0 else 0.0


def _corrected(effects: Sequence[Effect]) -> list[Effect]:
    """Adjust p within each role. Guardrails stay as they are: correcting them would hide harm."""
    corrected = list(effects)
    for role in ("primary", "secondary"):
        places = [i for i, effect in enumerate(effects) if effect.role == role]
        for i, p in zip(places, benjamini_hochberg([effects[i].adjusted_p for i in places]), strict=True):
            corrected[i] = replace(effects[i], adjusted_p=float(p))
    return corrected


def _arm_report(
    panel: Panel, arm: int, effects: Sequence[Effect], ratio: SampleRatio, days: Days, config: AnalysisConfig
) -> ArmReport:
    mine = tuple(effect for effect in effects if effect.arm == panel.arm_names[arm])
    primary, sign = mine[0], 1 if config.primary.better == "higher" else -1
    interval = primary.difference if days.length >= config.days else primary.always
    facts = Facts(
        srm_p=ratio.p,
        srm=ratio.mismatch,
        mixed_share=panel.mixed / (panel.mixed + len(panel.arm_V)),
        missing_weekdays=days.missing_weekdays,
        days=days.length,
        planned_days=config.days,
        primary=primary.metric,
        p=primary.adjusted_p,
        alpha=config.alpha,
        improvement=sign * interval.mean,
        shown=f"{interval.mean:+.4g} [{interval.low:+.4g}, {interval.high:+.4g}] on {primary.control:.4g}",
        guardrails=[(effect.metric, effect.safety) for effect in mine if effect.safety is not None],
    )
    novelty = quality.novelty(panel, config.primary, arm, config.alpha)
    return ArmReport(primary.arm, decide(facts), mine, novelty)


def plain(value: Any) -> Any:
    """Nested values as JSON has them: lists for tuples, null for nan and infinite."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
