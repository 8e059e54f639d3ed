"""From findings to a cause, a severity and an action. Rules, in order; the evidence decides, nothing else is known.

    evidence                                                             cause             step       severity
    a column arrives empty                                               missing values    ingest     moderate
    served features grow old                                             frozen features   features   moderate
    few viewers ask for very many pages; or far more clicks, unwatched   bot traffic       traffic    moderate
    a column is 60, 1,000 or 3,600 times what it was; clicks are not     unit change       upstream   moderate
    clicks fall against prediction*, since a release switched            bad release       release    severe
    clicks leave their prediction, no release switched then              concept drift     viewers    moderate
    clicks rise with a release; pages, lengths or policy shift           data drift        viewers    mild
    fewer than half of the usual pages                                   outage            ingest     moderate
    only the number of pages moved                                       season            viewers    mild

    mild → scheduled retraining     moderate → report     severe → roll back first, then report
    * against earlier days where the log has no predictions

A rollback undoes only what a release did: a fall that began with no release is reported, however deep, because the release
before learned from the same days. The earliest rules come first because their causes produce the later ones' evidence as
well.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np

from monitoring import signals as sg
from monitoring.concept_drift import Change, changed
from monitoring.data_drift import DAY_H, Comparison, Finding


class Severity(StrEnum):
    """How bad it is."""

    MILD = "mild"
    MODERATE = "moderate"
    SEVERE = "severe"


class Cause(StrEnum):
    """What the evidence looks like."""

    MISSING = "null_feature"
    UNIT = "unit_change"
    FROZEN = "frozen_features"
    BOTS = "bot_traffic"
    RELEASE = "bad_release"
    CONCEPT = "taste_flip"
    OUTAGE = "outage"
    SEASON = "seasonal_shift"
    SHIFT = "data_drift"


class Action(StrEnum):
    """What is done about it."""

    RETRAIN = "schedule_retrain"
    REPORT = "report"
    ROLLBACK = "rollback"


STEPS = {
    Cause.MISSING: "ingest", Cause.UNIT: "upstream", Cause.FROZEN: "features", Cause.BOTS: "traffic", Cause.RELEASE: "release",
    Cause.CONCEPT: "viewers", Cause.OUTAGE: "ingest", Cause.SEASON: "viewers", Cause.SHIFT: "viewers",
}  # fmt: skip
ACTIONS = {Severity.MILD: Action.RETRAIN, Severity.MODERATE: Action.REPORT, Severity.SEVERE: Action.ROLLBACK}
_UNITS = (60.0, 1_000.0, 3_600.0)
"""Minutes, milliseconds and hours for seconds."""
_SAME_UNIT = 0.25
"""Logarithm by which a measured factor may miss a known one, besides two standard errors."""
_SPREAD = 1.5
"""Standard deviation of the logarithm of a watch, about."""
_OTHER_CLICKS = 1.75
"""Clicks this many times more or fewer than usual: it is not only a column that changed."""
_OUTAGE = -0.5
_FEWEST = 5.0
"""Rows inside and outside of a segment without which it explains nothing."""
_OUTSIDE = 0.25
"""A segment explains a change when the change outside of it is at most this share of the one inside."""


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong, where, since when, and what follows."""

    cause: Cause
    step: str
    """Of the pipeline: ingest, upstream, features, traffic, release, viewers."""
    feature: str
    segment: str
    severity: Severity
    action: Action
    since_hour: int
    """Hours since 1970."""
    because: str
    """In words, with numbers."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class Responder(Protocol):
    """What a pipeline or a service lets a monitor do."""

    def rollback(self) -> str:
        """Serve the previous release again; returns its id. Raises ReleaseRefused when there is none."""
        ...

    def schedule_retrain(self, diagnosis: Diagnosis) -> None:
        """Take the change along in the next scheduled training run."""
        ...

    def report(self, diagnosis: Diagnosis) -> None:
        """Tell people."""
        ...


def respond(diagnosis: Diagnosis, responder: Responder) -> None:
    """Do what the severity asks for; a rollback comes before anything that could take time."""
    if diagnosis.action == Action.ROLLBACK:
        responder.rollback()
    if diagnosis.action == Action.RETRAIN:
        responder.schedule_retrain(diagnosis)
    else:
        responder.report(diagnosis)


@dataclass(frozen=True)
class Evidence:
    """Everything that one look at the log found."""

    now: Comparison
    reference: list[int]
    """Ends of the windows that it was compared with."""
    findings: Sequence[Finding]

    def of(self, *roles: str) -> list[Finding]:
        """Findings with one of these roles, the surest first."""
        return [finding for finding in self.findings if finding.role in roles]

    def change(self, finding: Finding) -> Change:
        """Since when."""
        return changed(self.now, self.reference, finding.segment, finding.signal)


def diagnose(evidence: Evidence) -> Diagnosis | None:
    """The first rule whose evidence is there; None when nothing is remarkable."""
    for rule in (_missing, _frozen, _bots, _unit, _clicks, _shift, _season):
        found = rule(evidence)
        if found is not None:
            return found
    return None


def shifted(feature: str, segment: str, since_hour: int, because: str) -> Diagnosis:
    """A distribution that moved, and nothing else."""
    return Diagnosis(
        Cause.SHIFT, STEPS[Cause.SHIFT], feature, segment, Severity.MILD, ACTIONS[Severity.MILD], since_hour, because
    )


def _missing(evidence: Evidence) -> Diagnosis | None:
    worst = [finding for finding in evidence.of(sg.MISSING) if finding.effect > 0]
    if not worst:
        return None
    segment, change = _narrowed(evidence, worst[0].signal)
    because = f"{change.value:.0%} of {worst[0].feature} arrive empty, usually {change.expected:.1%}"
    return _as(Cause.MISSING, Severity.MODERATE, worst[0].feature, segment, change, because)


def _unit(evidence: Evidence) -> Diagnosis | None:
    moved = evidence.of(sg.SCALE, sg.RANGE)
    if not moved:
        return None
    segment, change = _narrowed(evidence, "watch_impossible" if evidence.of(sg.RANGE) else "watch_log_s")
    top, bottom = evidence.now.tallies.cell(segment, "watch_log_s", change.hour, evidence.now.end_hour)
    rows = max(float(bottom.sum()), 1.0)
    power = float(top.sum()) / rows - evidence.now.expected(segment, "watch_log_s")
    near = min(_UNITS, key=lambda unit: abs(np.log(unit) - abs(power)))
    others = _clicks_since(evidence, change.hour)
    doubt = _SAME_UNIT + 2 * _SPREAD / np.sqrt(rows)
    if abs(np.log(near) - abs(power)) > doubt or not 1 / _OTHER_CLICKS <= others <= _OTHER_CLICKS:
        return None
    because = (
        f"{moved[0].feature} is about {np.exp(abs(power)):,.0f} times {'larger' if power > 0 else 'smaller'} than usual "
        f"in {rows:,.0f} rows, as if its unit had changed; nearest: {near:,.0f}"
    )
    return _as(Cause.UNIT, Severity.MODERATE, moved[0].feature, segment, change, because)


def _frozen(evidence: Evidence) -> Diagnosis | None:
    old = [finding for finding in evidence.of(sg.FRESHNESS) if finding.effect > 0]
    if not old:
        return None
    change = evidence.change(old[0])
    because = f"served features are {change.value:.1f} h old, usually {change.expected:.2f} h"
    return _as(Cause.FROZEN, Severity.MODERATE, old[0].feature, sg.EVERYONE, change, because)


def _bots(evidence: Evidence) -> Diagnosis | None:
    crowded = [finding for finding in evidence.of(sg.CROWDING) if finding.effect > 0]
    shorter = [finding for finding in evidence.of(sg.SCALE) if finding.effect < 0]
    if crowded:
        change = evidence.change(crowded[0])
        because = (
            f"the viewer of an impression has seen {change.value:.0f} within a day, usually {change.expected:.0f}: "
            "few viewers ask for very many pages"
        )
    elif shorter and (clicks := _clicks_since(evidence, evidence.change(shorter[0]).hour)) > _OTHER_CLICKS:
        change = changed(evidence.now, evidence.reference, sg.EVERYONE, "click_rate")
        because = f"{clicks:.1f} times the usual clicks, and they are hardly watched"
    else:
        return None
    return _as(Cause.BOTS, Severity.MODERATE, "traffic", sg.EVERYONE, change, because)


def _clicks_since(evidence: Evidence, since_hour: int) -> float:
    """Click rate of everyone since that hour, in units of the expected one."""
    top, bottom = evidence.now.tallies.cell(sg.EVERYONE, "click_rate", since_hour, evidence.now.end_hour)
    return float(top.sum() / max(float(bottom.sum()), 1.0)) / evidence.now.expected(sg.EVERYONE, "click_rate")


def _clicks(evidence: Evidence) -> Diagnosis | None:
    predicted = bool(np.isfinite(evidence.now.p_GS[0, sg.place("click_residual")]))
    signal = "click_residual" if predicted else "click_rate"
    left = [finding for finding in evidence.findings if finding.signal == signal]
    if not left:
        return None
    change = changed(evidence.now, evidence.reference, sg.EVERYONE, signal)
    effect = change.value / change.expected - 1
    fell = effect < 0
    switch = next((name for hour, name in reversed(evidence.now.tallies.release_hours) if change.may_begin_at(hour)), None)
    overall = any(finding.segment == sg.EVERYONE for finding in left)
    where = sg.EVERYONE if overall else left[0].segment
    because = f"clicks are {effect:+.0%} against {'prediction' if predicted else 'earlier days'}"
    if switch is not None and fell and overall:
        return _as(Cause.RELEASE, Severity.SEVERE, switch, where, change, f"{because} since {switch} began to serve")
    if switch is not None and overall:
        return shifted("clicks", where, change.hour, f"{because} since {switch} began to serve")
    return _as(Cause.CONCEPT, Severity.MODERATE, left[0].feature, where, change, f"{because}; no release began then")


def _shift(evidence: Evidence) -> Diagnosis | None:
    others = evidence.of(sg.SCALE, sg.RANGE, sg.OUTCOME, sg.ESTIMATE, sg.POLICY)
    if not others:
        return None
    first = others[0]
    because = f"{first.signal} is {first.value:.3g}, expected {first.expected:.3g}"
    return shifted(first.feature, first.segment, evidence.change(first).hour, because)


def _season(evidence: Evidence) -> Diagnosis | None:
    volume = evidence.of(sg.VOLUME)
    if not volume:
        return None
    whole = next((finding for finding in volume if finding.segment == sg.EVERYONE), volume[0])
    if whole.effect < _OUTAGE:
        because = f"{whole.effect:+.0%} pages against what such a day has; is everything up, and does the log arrive?"
        return _as(Cause.OUTAGE, Severity.MODERATE, whole.feature, whole.segment, evidence.change(whole), because)
    because = f"{whole.effect:+.0%} pages against what such a day has; rates are what they were"
    return _as(Cause.SEASON, Severity.MILD, whole.feature, whole.segment, evidence.change(whole), because)


def _as(cause: Cause, severity: Severity, feature: str, segment: str, change: Change, because: str) -> Diagnosis:
    return Diagnosis(cause, STEPS[cause], feature, segment, severity, ACTIONS[severity], change.hour, because)


def _narrowed(evidence: Evidence, signal: str) -> tuple[str, Change]:
    """The segment that explains a change: changed inside, as ever outside; everyone when there is none.

    Of several, the one that splits the rows since the change best: n_in n_out / (n_in + n_out) · (move_in − move_out)², the
    criterion of a regression tree.
    """
    tallies, whole = evidence.now.tallies, changed(evidence.now, evidence.reference, sg.EVERYONE, signal)
    explained = []
    for segment in np.array(tallies.segments)[tallies.tested_GS[:, sg.place(signal)]][1:].tolist():
        found = _moves(evidence, segment, signal, whole.hour)
        if found is not None and abs(found.outside) <= _OUTSIDE * abs(found.inside):
            explained.append((found.weight * (found.inside - found.outside) ** 2, segment))
    if not explained:
        return sg.EVERYONE, whole
    segment = max(explained)[1]
    return segment, changed(evidence.now, evidence.reference, segment, signal)


@dataclass(frozen=True)
class _Moves:
    """How far a signal moved in a segment and for everyone else, and n_in n_out / (n_in + n_out)."""

    inside: float
    outside: float
    weight: float


def _moves(evidence: Evidence, segment: str, signal: str, since_hour: int) -> _Moves | None:
    """Since that hour, against the days before; None where inside or outside has too few rows."""
    tallies = evidence.now.tallies
    start = max(since_hour - DAY_H * len(evidence.reference), tallies.first_hour)
    ratios, bottoms = [], np.zeros(2)
    for begin, end in ((start, since_hour), (since_hour, evidence.now.end_hour)):
        everyone, inside = (np.array(tallies.cell(name, signal, begin, end)).sum(axis=1) for name in (sg.EVERYONE, segment))
        tops, bottoms = np.array([inside, everyone - inside]).T
        if (bottoms < _FEWEST).any():
            return None
        ratios.append(tops / bottoms)
    inside_move, outside_move = (ratios[1] - ratios[0]).tolist()
    return _Moves(inside_move, outside_move, float(bottoms.prod() / bottoms.sum()))
