"""A canary: a candidate release served to 1, 10, 50 and then 100 % of viewers, as long as nothing that matters gets worse.

Each step is an experiment of its own whose second arm serves the candidate. The salt stays, so whoever has met the candidate
keeps it while its share grows; the name changes, so that a step is judged by its own viewers and days alone: viewers who change
arms between steps would otherwise have been seen in two. Guardrails are judged by always-valid intervals (`sequential`), so one
may look as often as one likes:

    harmed (the interval lies wholly beyond the margin), or assignment broken   → halt: everyone gets the live release again
    days and viewers of the step reached, and no guardrail harmed               → next step; where the step wants proof, only
                                                                                  when every guardrail is shown to be safe
    still waiting after `max_days`                                              → halt: it could not be shown to be harmless

Pure: state in, state out. Knows nothing of logs, pointers or files.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from core.errors import ConfigError
from experiments import guardrails, quality
from experiments.config import ArmConfig, ExperimentConfig, MetricConfig
from experiments.decision import MOST_MIXED
from experiments.effects import Sample
from experiments.guardrails import Safety
from experiments.panel import Panel
from experiments.sequential import always_valid

CONTROL, CANARY, LAYER = "control", "canary", "canary"
_SRM_P = quality.SRM_P / 10
"""Sterner than for an experiment that is analysed once: shares are checked at every look."""


@dataclass(frozen=True)
class StepConfig:
    """One share of the viewers."""

    share: float
    """Of viewers who get the candidate, between 0 and 1."""
    days: int
    """Least days at this share."""
    viewers: int
    """Least viewers of the candidate before it is judged."""
    proof: bool = False
    """Whether going on needs every guardrail shown to be safe, not merely none shown to be harmed."""

    def __post_init__(self) -> None:
        if not 0 < self.share < 1 or self.days < 1 or self.viewers < 2:
            raise ConfigError("a step of a canary needs a share between 0 and 1, at least one day and two viewers")


@dataclass(frozen=True)
class CanaryConfig:
    """How the share grows and what may not get worse."""

    steps: tuple[StepConfig, ...] = (StepConfig(0.01, 1, 100), StepConfig(0.1, 2, 500), StepConfig(0.5, 7, 2_000, proof=True))
    """Before the last one, which is everybody."""
    guardrails: tuple[MetricConfig, ...] = (
        MetricConfig("watch_s", margin=0.1),
        MetricConfig("ctr", "clicks", "impressions", margin=0.1),
        MetricConfig("dislike_rate", "dislikes", "impressions", better="lower", margin=0.5),
    )
    """Metrics over viewers and days; see `pipelines.experiment` for the columns of a log."""
    alpha: float = 0.05
    """Chance, per guardrail and step, that its interval ever misses."""
    planned_viewers: int = 10_000
    """Viewers of both arms at which intervals are tightest."""
    max_days: int = 28
    """Longest stay at one share."""

    def __post_init__(self) -> None:
        shares = [step.share for step in self.steps]
        if not shares or shares != sorted(set(shares)):
            raise ConfigError(f"the steps of a canary must grow, got {shares}")
        if not self.guardrails or not all(0 < metric.margin < 1 for metric in self.guardrails):
            raise ConfigError("a canary needs guardrails, each with a margin between 0 and 1")
        if not 0 < self.alpha < 1 or self.planned_viewers < 1:
            raise ConfigError(f"alpha {self.alpha} must lie between 0 and 1, planned_viewers {self.planned_viewers} above 0")


class Phase(StrEnum):
    """Where a canary is."""

    RUNNING = "running"
    ARRIVED = "arrived"
    HALTED = "halted"
    STOPPED = "stopped"


class Decision(StrEnum):
    """What one look leads to."""

    HOLD = "hold"
    GO_ON = "go on"
    HALT = "halt"


@dataclass(frozen=True)
class Look:
    """What one look at the data led to."""

    at: int
    """Instant, ms."""
    step: int
    viewers: tuple[int, ...]
    """Seen in control and candidate so far; empty when nobody was."""
    decision: str
    """A Decision, or the Phase in which it was ended."""
    reason: str


@dataclass(frozen=True)
class CanaryState:
    """Everything about one canary; saved after every look."""

    release_id: str
    live_id: str
    """What the candidate is compared with."""
    config: CanaryConfig = field(default_factory=CanaryConfig)
    phase: str = Phase.RUNNING
    """A Phase."""
    step: int = 0
    looks: tuple[Look, ...] = ()

    @property
    def share(self) -> float:
        """Of viewers who get the candidate now."""
        if self.phase == Phase.RUNNING:
            return self.config.steps[self.step].share
        return 1.0 if self.phase == Phase.ARRIVED else 0.0

    @property
    def reason(self) -> str:
        """Of the last look."""
        return self.looks[-1].reason if self.looks else "nobody has looked yet"

    @property
    def experiment(self) -> ExperimentConfig | None:
        """What is served now; None once it has ended."""
        if self.phase != Phase.RUNNING:
            return None
        arms = (ArmConfig(CONTROL, 1 - self.share), ArmConfig(CANARY, self.share, release=self.release_id))
        name, salt = f"canary-{self.release_id[:8]}-{self.step + 1}", f"canary-{self.release_id}"
        return ExperimentConfig(name, arms, layer=LAYER, salt=salt)


def advance(state: CanaryState, panel: Panel | None, at: int) -> CanaryState:
    """The state after one look at `panel`, the rows of the present step; None when nobody was seen in both arms yet."""
    if state.phase != Phase.RUNNING:
        return state
    decision, reason = _decide(panel, state)
    viewers = tuple(panel.counts.tolist()) if panel else ()
    looked = replace(state, looks=(*state.looks, Look(at, state.step, viewers, decision, reason)))
    if decision == Decision.HALT:
        return replace(looked, phase=Phase.HALTED)
    if decision == Decision.GO_ON:
        last = state.step + 1 == len(state.config.steps)
        return replace(looked, phase=Phase.ARRIVED) if last else replace(looked, step=state.step + 1)
    return looked


def end(state: CanaryState, phase: Phase, at: int, reason: str) -> CanaryState:
    """The state after somebody, or something outside the data, ended it."""
    return replace(state, phase=phase, looks=(*state.looks, Look(at, state.step, (), phase.value, reason)))


def _decide(panel: Panel | None, state: CanaryState) -> tuple[Decision, str]:
    """What to do, and why."""
    if panel is None:
        return Decision.HOLD, "no viewer has been seen in both arms yet"
    broken = _broken(panel, state)
    if broken is not None:
        return Decision.HALT, broken
    step, seen, days = state.config.steps[state.step], int(panel.counts.min()), quality.days(panel).length
    judged = _judge(panel, state.config) if seen >= step.viewers else {}
    harmed, unclear = ([name for name, safety in judged.items() if safety is s] for s in (Safety.HARMED, Safety.UNCLEAR))
    where = f"after {days} day{'s' if days > 1 else ''} at {step.share:.0%}"
    if harmed:
        return Decision.HALT, f"{' and '.join(harmed)} got worse by more than the margin {where}"
    if not judged:
        waits = f"{seen:,} of the {step.viewers:,} viewers that a judgement needs, {where}"
    elif days < step.days:
        return Decision.HOLD, f"nothing is worse {where}; {step.days} are wanted"
    elif step.proof and unclear:
        waits = f"{' and '.join(unclear)} may be worse than the margin allows {where}"
    else:
        return Decision.GO_ON, f"nothing is worse {where}"
    return (Decision.HALT if days >= state.config.max_days else Decision.HOLD), waits


def _broken(panel: Panel, state: CanaryState) -> str | None:
    """Why nothing can be read from the panel, if so."""
    share = state.config.steps[state.step].share
    ratio = quality.sample_ratio(panel.counts.tolist(), (1 - share, share))
    if ratio.p < _SRM_P:
        return f"viewers per arm do not match the shares (p = {ratio.p:.2g}): one arm fails to answer, or assignment is broken"
    if panel.mixed > MOST_MIXED * (panel.mixed + len(panel.arm_V)):
        return f"{panel.mixed:,} viewers were seen in both arms: assignment is broken"
    return None


def _judge(panel: Panel, config: CanaryConfig) -> dict[str, Safety]:
    """What the always-valid interval of each guardrail says."""
    found = {}
    for metric in config.guardrails:
        control, candidate = (Sample.of(values) for values in panel.values(metric))
        if control.variance == candidate.variance == 0:  # nothing of the kind ever happened
            found[metric.name] = Safety.SAFE
            continue
        estimate, viewers = guardrails.contrast(metric, control, candidate), control.count + candidate.count
        found[metric.name] = guardrails.judge(always_valid(estimate, viewers, config.planned_viewers, config.alpha))
    return found
