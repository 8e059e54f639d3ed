"""What a release must show before it serves: every bound in one place, and what a verdict is.

A gate has a value, a bound and one sentence. It passes, it fails, or it is not measurable with these data, and the sentence
then says why. What is not measurable blocks only where `GatesConfig.required` names it. How gates are judged: `judge`;
where their numbers come from: `measure`.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from core.errors import ConfigError


class Verdict(StrEnum):
    """What came out."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "not measurable"


@dataclass(frozen=True)
class GatesConfig:
    """Every bound."""

    live_margin: float = 0.05
    """nDCG@10 that may be lost against the live release, relative, at the lower end of the 95 % interval."""
    baseline_margin: float = 0.0
    """The same against each baseline."""
    choice_margin: float = 0.1
    """Satisfied seconds of the first choice on pages of chance that may certainly be lost, relative to the live release."""
    slice_margin: float = 0.1
    """nDCG@10 that a slice may certainly lose, relative to the live release there."""
    slice_q: float = 0.05
    """Expected share of false alarms among the slices called worse."""
    slice_cases: int = 100
    """Cases below which a slice says nothing."""
    prediction_margin: float = 0.02
    """Log loss of clicks that may certainly be gained on the live release's, relative."""
    max_ece: float = 0.03
    """Expected calibration error of a head that is a probability."""
    ece_margin: float = 0.01
    """How much larger it may be than the live release's."""
    watch_bias: float = 0.25
    """|predicted seconds / watched seconds − 1|."""
    min_rows: int = 500
    """Impressions below which a head's calibration says nothing."""
    exposure_gap: float = 0.4
    """Difference between groups in how often a page shows a category; wide, because tastes differ by group."""
    opportunity_gap: float = 0.1
    """Difference between groups in how often what the viewer chose was in the top 10."""
    group_bias: float = 0.03
    """|mean predicted − mean observed| of clicks within a group."""
    group_cases: int = 100
    """Cases below which a group is not judged …"""
    group_viewers: int = 30
    """… and viewers."""
    attributes: tuple[str, ...] = ("gender", "age band", "country")
    """What groups are of."""
    p50_ms: float = 25.0
    """Milliseconds of processor time per page, median."""
    p99_ms: float = 80.0
    slowdown: float = 1.3
    """Cost of a page over that with the live release, median."""
    max_mib: float = 1_024.0
    """Size of the release on disk."""
    max_memory_mib: float = 4_096.0
    """Resident memory of a process that has put it into service."""
    min_overlap: float = 0.1
    """Share of the first ten videos that candidate and live must have in common, mean over requests."""
    min_rbo: float = 0.1
    """The same by rank-biased overlap."""
    refresh_agreement: float = 0.3
    """Agreement of a refreshed release with the live one, 0 as chance has it and 1 the same (`pipelines.gates.refreshed`)."""
    recall_loss: float = 0.02
    """Recall of its index that a refresh may lose."""
    requests: int = 300
    """Logged viewers that are asked for; each page is timed."""
    max_impressions: int = 20_000
    """Logged impressions on which calibration is measured, drawn uniformly when there are more."""
    required: tuple[str, ...] = ("data", "quality")
    """Gates, or families of gates, for which not measurable counts as failed."""
    fresh_days: float = 7.0
    """Age up to which a result is used again."""
    max_waiver_days: int = 30
    """Longest time ahead that a waiver may expire."""
    seed: int = 1

    def __post_init__(self) -> None:
        """Raises ConfigError on values that cannot work."""
        if self.requests < 1 or self.max_impressions < 1:
            raise ConfigError("gates need at least one request and one impression")


@dataclass(frozen=True)
class Gate:
    """One point and its verdict."""

    name: str
    """`family` or `family:detail`; a waiver names it."""
    value: float | None
    bound: float | None
    verdict: Verdict
    sentence: str
    interval: tuple[float, float] | None = None

    @property
    def family(self) -> str:
        """What its name begins with."""
        return self.name.partition(":")[0]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def blocking(gates: Iterable[Gate], config: GatesConfig) -> list[Gate]:
    """Gates that stop a promotion: failed, or required and not measurable."""
    return [
        gate
        for gate in gates
        if gate.verdict is Verdict.FAIL or (gate.verdict is Verdict.UNKNOWN and {gate.name, gate.family} & set(config.required))
    ]
