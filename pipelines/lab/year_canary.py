"""The canary of the simulated year: one share of the viewers for some days, then one look, then everybody or nobody.

Served, logged and counted as in production (`experiments.canary`, `experiments.evidence`), but judged once, at a planned time,
by an ordinary t interval: intervals that allow any number of looks say nothing before `experiments.sequential.BURN_IN` viewers,
and two days of this world have fewer.
"""

import polars as pl

from core.errors import BadInput
from experiments import evidence, guardrails
from experiments.canary import CanaryConfig
from experiments.config import ExperimentConfig
from experiments.effects import Sample
from experiments.guardrails import Safety


def harmed(events: pl.DataFrame, experiment: ExperimentConfig, config: CanaryConfig) -> list[str]:
    """Guardrails that got worse by more than their margin, surely; none where nobody was seen in one of the arms."""
    try:
        panel = evidence.panel(evidence.rows(events, experiment), experiment)
    except BadInput:
        return []
    found = []
    for metric in config.guardrails:
        control, candidate = (Sample.of(values) for values in panel.values(metric))
        interval = guardrails.contrast(metric, control, candidate).interval(1 - config.alpha)
        if guardrails.judge(interval) is Safety.HARMED:
            found.append(f"{metric.name} is {candidate.mean:.3g} against {control.mean:.3g}")
    return found
