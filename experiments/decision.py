"""What to do, and why, in one sentence.

Order matters: a result that cannot be trusted is not read; harm is acted on before benefit; before the planned end only
always-valid intervals count, at the planned end the fixed-horizon ones do. Knows nothing of how the numbers came about.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from experiments.guardrails import Safety

MOST_MIXED = 0.01
"""Share of viewers seen in two arms above which assignment is broken."""


class Choice(StrEnum):
    """What to do."""

    SHIP = "ship"
    DO_NOT_SHIP = "do not ship"
    KEEP_RUNNING = "keep running"
    INVALID = "invalid"


@dataclass(frozen=True)
class Verdict:
    """A choice with its reason."""

    choice: Choice
    reason: str


@dataclass(frozen=True)
class Facts:
    """What a decision about one arm rests on."""

    srm_p: float
    srm: bool
    mixed_share: float
    missing_weekdays: tuple[str, ...]
    days: int
    planned_days: int
    primary: str
    """Name of the primary metric."""
    p: float
    """Of its difference: adjusted for the number of arms, always valid before the planned end."""
    alpha: float
    improvement: float
    """Signed so that above zero is better."""
    shown: str
    """The difference with its interval, for people."""
    guardrails: Sequence[tuple[str, Safety]]

    @property
    def finished(self) -> bool:
        """Whether the planned end was reached."""
        return self.days >= self.planned_days


def decide(facts: Facts) -> Verdict:
    """The verdict on one arm."""
    if facts.srm:
        return Verdict(
            Choice.INVALID, f"viewers per arm do not match the designed shares (p = {facts.srm_p:.2g}): find the cause first"
        )
    if facts.mixed_share > MOST_MIXED:
        return Verdict(
            Choice.INVALID, f"{facts.mixed_share:.1%} of viewers were seen in more than one arm: assignment is broken"
        )
    harmed = [name for name, safety in facts.guardrails if safety is Safety.HARMED]
    if harmed:
        return Verdict(Choice.DO_NOT_SHIP, f"it makes {_and(harmed)} worse by more than the margin")
    if facts.missing_weekdays:
        return Verdict(Choice.KEEP_RUNNING, f"no data yet for {_and(facts.missing_weekdays)}, and effects differ by weekday")
    return _on_benefit(facts)


def _on_benefit(facts: Facts) -> Verdict:
    effect = f"{facts.primary} {facts.shown}"
    so_far = "" if facts.finished else f" after {facts.days} of {facts.planned_days} days"
    if facts.p >= facts.alpha:
        if facts.finished:
            return Verdict(Choice.DO_NOT_SHIP, f"no difference was shown at the planned end: {effect}")
        return Verdict(Choice.KEEP_RUNNING, f"no difference is certain yet{so_far}: {effect}")
    if facts.improvement < 0:
        return Verdict(Choice.DO_NOT_SHIP, f"it is worse{so_far}: {effect}")
    unclear = [name for name, safety in facts.guardrails if safety is Safety.UNCLEAR]
    unmeasured = [name for name, safety in facts.guardrails if safety is Safety.UNMEASURED]
    if not unclear and not unmeasured:
        return Verdict(Choice.SHIP, f"it is better{so_far} and no guardrail suffers: {effect}")
    doubts = [f"{_and(unclear)} may be worse than the margin allows"] if unclear else []
    doubts += [f"of {_and(unmeasured)} nothing was measured"] if unmeasured else []
    doubt = f"{effect}, but {' and '.join(doubts)}"
    if facts.finished:
        return Verdict(
            Choice.DO_NOT_SHIP, f"it is better, but not shown to be harmless: {doubt}; run longer with more viewers to know"
        )
    return Verdict(Choice.KEEP_RUNNING, f"it is better{so_far}: {doubt}")


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
