"""Fault drills: a world lives quietly, something breaks, and the monitor must notice, say what it is, and do the right thing.

A drill is a world of 27 days. The monitor looks every hour at what the log knew two hours before. The fault begins on day
23 or 24: at a random hour, for a bad release with a switch of releases, for bots and seasons at midnight (the world plans
days). Other drills switch releases too, at random hours, so that a switch alone means nothing. An alarm that is only mild
is looked at again for half a day before it counts, because a season can wait and the first hour of something worse may look
mild. The truth is only used to score.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from core import rng
from core.clock import DAY_MS, HOUR_MS
from core.errors import BadInput
from core.inference import Interval
from data.world.config import Fault, FaultKind, WorldConfig
from data.world.simulate import generate
from data.world.topics import DEVICES
from monitoring import concept_drift, signals, watch
from monitoring import observations as o
from monitoring.severity import Action, Cause, Diagnosis, Severity, respond
from monitoring.signals import EVERYONE
from pipelines.watching import drill_log

FROZEN = str(Cause.FROZEN)
FAULTS = (*(str(kind) for kind in FaultKind), FROZEN)
_FIRST_DAY = drill_log.TRAIN_DAYS + watch.WARM_UP_DAYS
_DAYS = _FIRST_DAY + 5
_WATCHED_H = 60
_PATIENCE_H = 12
_RELEASE_EVERY_H = 72
_ON_A_DEVICE = (FaultKind.NULL_FEATURE, FaultKind.UNIT_CHANGE)
_AT_MIDNIGHT = (FaultKind.BOT_TRAFFIC, FaultKind.SEASONAL_SHIFT)
_SHARES = {FaultKind.BOT_TRAFFIC: 0.02}
_RIGHT_ACTIONS = {str(FaultKind.SEASONAL_SHIFT): Action.RETRAIN, str(FaultKind.BAD_RELEASE): Action.ROLLBACK}
"""Of the faults that are not for people to look into first."""
_LABELS_AFTER_H = 48
QUIET_SEED = 1_000
"""Quiet worlds have seeds after this one, so that none is also a drill's."""


@dataclass(frozen=True)
class DrillConfig:
    """Size of the worlds."""

    num_viewers: int = 1_500
    """Viewers."""
    num_videos: int = 2_000
    """Videos."""
    num_channels: int = 120
    """Channels."""
    impressions_per_day: int = 6_000
    """Expected."""

    def world(self, seed: int, days: int, faults: tuple[Fault, ...] = ()) -> WorldConfig:
        """A world of this size."""
        return WorldConfig(
            name="drill", seed=seed, num_viewers=self.num_viewers, num_videos=self.num_videos, num_channels=self.num_channels,
            impressions=self.impressions_per_day * days, days=days, faults=faults,
        )  # fmt: skip


@dataclass
class Recorder:
    """A Responder that only remembers."""

    done: list[str] = field(default_factory=list)

    def rollback(self) -> str:
        """Remembered."""
        self.done.append(str(Action.ROLLBACK))
        return "previous"

    def schedule_retrain(self, diagnosis: Diagnosis) -> None:
        """Remembered."""
        self.done.append(str(Action.RETRAIN))

    def report(self, diagnosis: Diagnosis) -> None:
        """Remembered."""
        self.done.append(str(Action.REPORT))


@dataclass(frozen=True)
class Drill:
    """How one went."""

    fault: str
    seed: int
    segment: str
    """Where the fault was."""
    detected_after_h: int | None
    """Hours from the fault to the first alarm, the two hours that outcomes need included; None if there was none in time."""
    decided_after_h: int | None
    """The same until the action."""
    diagnosis: Diagnosis | None
    diagnosis_right: bool
    """Cause, and with it the step, and the segment."""
    actions: tuple[str, ...]
    action_right: bool
    false_alarm: bool
    """Whether there was an alarm before the fault; nothing else counts as right then."""
    confirmed_worse: bool | None = None
    """Whether labels that came two days later agree that satisfaction fell; None where clicks were not the evidence."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class _Plan:
    fault: Fault | None
    segment: str
    at: int
    """Instant of the fault, milliseconds."""
    switches: list[int]


def run(fault: str, seed: int, config: DrillConfig | None = None) -> Drill:
    """One drill.

    Raises:
        BadInput: no such fault.
    """
    if fault not in FAULTS:
        raise BadInput(f"no such fault: '{fault}'; known: {', '.join(FAULTS)}")
    config = config or DrillConfig()
    plan = _plan(fault, config.world(seed, _DAYS))
    world = config.world(seed, _DAYS, (plan.fault,) if plan.fault else ())
    rows, tallies = _log(world, plan.switches, plan.at if fault == FROZEN else None)
    onset = plan.at // HOUR_MS
    first = world.start_at // HOUR_MS + 24 * _FIRST_DAY
    false_alarm = any(watch.look(tallies, hour).diagnosis for hour in range(first, onset))
    detected, decided, diagnosis = _decided(tallies, range(onset + 1, onset + _WATCHED_H))
    responder = Recorder()
    if decided is not None and diagnosis is not None:
        respond(diagnosis, responder)
    return _scored(fault, seed, plan, diagnosis, (detected, decided), responder.done, false_alarm, rows)


def _decided(tallies: signals.Tallies, hours: range) -> tuple[int | None, int | None, Diagnosis | None]:
    """Hour of the first alarm, hour of the decision, and what was decided: at once, or after patience with mild ones."""
    detected: int | None = None
    diagnosis: Diagnosis | None = None
    for hour in hours:
        diagnosis = watch.look(tallies, hour).diagnosis or diagnosis
        if diagnosis is None:
            continue
        detected = detected or hour
        if diagnosis.severity != Severity.MILD or hour >= detected + _PATIENCE_H:
            return detected, hour, diagnosis
    return detected, None, diagnosis


@dataclass(frozen=True)
class Quiet:
    """How often the monitor cried wolf over days on which nothing was done to the world."""

    days: int
    alarms: int
    """Alarms that began; one that stands, or comes back within a day, is one."""
    alarm_days: int
    """Days with an alarm at any hour."""
    per_100_days: Interval
    """Alarms; bounds by Poisson's law (Garwood 1936)."""
    what: tuple[str, ...]
    """What they said."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "per_100_days": self.per_100_days.to_json()}


def quiet(
    seeds: Sequence[int], days: int, config: DrillConfig | None = None, advance: Callable[[float], None] = lambda s: None
) -> Quiet:
    """Look at every hour of `days` quiet days in each of some worlds. Releases switch as in drills."""
    config = config or DrillConfig()
    alarms, alarm_days, what = 0, set(), []
    for number, seed in enumerate(seeds):
        world = config.world(seed, _FIRST_DAY + days)
        _, tallies = _log(world, _switches(world, None), None)
        first, last = world.start_at // HOUR_MS + 24 * _FIRST_DAY, None
        for hour in range(first, tallies.end_hour - o.SETTLED_H):
            found = watch.look(tallies, hour).diagnosis
            if found is None:
                continue
            alarm_days.add((seed, (hour - first) // 24))
            if last is None or hour - last > 24:
                alarms += 1
                what.append(f"world {seed}, day {(hour - first) // 24}: {found.cause}, {found.segment}: {found.because}")
            last = hour
        advance((number + 1) / len(seeds))
    total = days * len(seeds)
    return Quiet(total, alarms, len(alarm_days), poisson_rate(alarms, total / 100), tuple(what))


def poisson_rate(count: int, exposure: float, level: float = 0.95) -> Interval:
    """Events per unit of exposure with the exact interval of a Poisson count."""
    tail = (1 - level) / 2
    low = stats.chi2.ppf(tail, 2 * count) / 2 if count else 0.0
    return Interval(count / exposure, float(low) / exposure, float(stats.chi2.ppf(1 - tail, 2 * count + 2)) / 2 / exposure)


def summary(drills: Sequence[Drill]) -> list[dict[str, Any]]:
    """By fault: how many, how many detected, diagnosed and acted on rightly, and the median hours to each."""
    found = []
    for fault in dict.fromkeys(drill.fault for drill in drills):
        those = [drill for drill in drills if drill.fault == fault]
        hours = [drill.detected_after_h for drill in those if drill.detected_after_h is not None]
        found.append(
            {
                "fault": fault,
                "drills": len(those),
                "detected": len(hours),
                "diagnosis_right": sum(drill.diagnosis_right for drill in those),
                "action_right": sum(drill.action_right for drill in those),
                "median_detected_after_h": float(np.median(hours)) if hours else None,
                "most_detected_after_h": max(hours) if hours else None,
            }
        )
    return found


def _log(world: WorldConfig, switches: list[int], frozen_at: int | None) -> tuple[pl.DataFrame, signals.Tallies]:
    """What the monitor sees of a world: its observations and their tallies."""
    dataset = generate(world)
    served = drill_log.served(world, dataset, frozen_at)
    rows = o.observe(drill_log.released(dataset.events, switches), dataset.viewers, dataset.videos, served)
    first = world.start_at // HOUR_MS
    return rows, signals.tally(rows, first, first + 24 * world.days)


def _plan(fault: str, world: WorldConfig) -> _Plan:
    random = rng.stream(world.seed, "drill", fault)
    hour = 0 if fault in _AT_MIDNIGHT else int(random.integers(24))
    day = _FIRST_DAY + 1 + hour / 24
    device = str(random.choice(DEVICES)) if fault in _ON_A_DEVICE else None
    at = world.start_at + round(day * DAY_MS)
    switches = _switches(world, at if fault == FaultKind.BAD_RELEASE else None)
    segment = EVERYONE if device is None else f"device={device}"
    if fault == FROZEN:
        return _Plan(None, segment, at, switches)
    share = _SHARES.get(FaultKind(fault), 1.0)
    return _Plan(Fault(fault, day, world.days, share, device), segment, at, switches)


def _switches(world: WorldConfig, fixed: int | None) -> list[int]:
    """A new release every three days, at a random hour; one of them at `fixed`."""
    random = rng.stream(world.seed, "releases")
    every = _RELEASE_EVERY_H * HOUR_MS
    start = (
        world.start_at + int(random.integers(1, _RELEASE_EVERY_H)) * HOUR_MS
        if fixed is None
        else world.start_at + (fixed - world.start_at) % every
    )
    return list(range(start, world.end_at, every))


def _scored(
    fault: str,
    seed: int,
    plan: _Plan,
    diagnosis: Diagnosis | None,
    hours: tuple[int | None, int | None],
    actions: list[str],
    false_alarm: bool,
    rows: pl.DataFrame,
) -> Drill:
    onset = plan.at // HOUR_MS
    waited = [None if hour is None else hour + o.SETTLED_H - onset for hour in hours]
    wanted = _RIGHT_ACTIONS.get(fault, Action.REPORT)
    right = diagnosis is not None and (str(diagnosis.cause), diagnosis.segment) == (fault, plan.segment)
    worse = None
    if diagnosis is not None and diagnosis.cause in (Cause.CONCEPT, Cause.RELEASE):
        late = concept_drift.confirm(rows, diagnosis.since_hour, onset + _LABELS_AFTER_H)
        worse = None if late is None else late.worse
    return Drill(
        fault=fault,
        seed=seed,
        segment=plan.segment,
        detected_after_h=waited[0],
        decided_after_h=waited[1],
        diagnosis=diagnosis,
        diagnosis_right=right and not false_alarm,
        actions=tuple(actions),
        action_right=not false_alarm and actions == ([wanted, Action.REPORT] if wanted == Action.ROLLBACK else [wanted]),
        false_alarm=false_alarm,
        confirmed_worse=worse,
    )
