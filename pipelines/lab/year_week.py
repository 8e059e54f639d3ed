"""One week of one arm of the simulated year: serve day by day, look, act, train, judge, keep.

Everything that goes from one week to the next is on the shelf: the log, the releases that may serve again, and `Standing`. So a
year that was killed continues with the week it was in, and gives what it would have given.
"""

import json
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import events as ev
from core import rng
from core.clock import DAY_MS
from core.policy import Policy
from data import dataset as datasets
from data.catalogue import lookup
from data.dataset import Dataset
from data.world import faults
from data.world.config import FaultKind
from data.world.world import World
from experiments.canary import CanaryState
from experiments.config import ExperimentsConfig
from monitoring.severity import Action
from pipelines.gates.gates import Gate, blocking
from pipelines.lab import loop as lab_loop
from pipelines.lab import training, year_canary, year_gates, year_service, year_training, year_watch
from pipelines.lab import week as lab_week
from pipelines.lab.config import WEEK_DAYS
from pipelines.lab.state import EVENTS, RECORD, Shelf, commit
from pipelines.lab.year_config import BAD_SERVING, BAD_TRAINING, BLIND, FROZEN, SYSTEM, YearConfig
from serving.live import LiveRelease

_KEPT = (ev.CLICK, ev.SUBSCRIBE)
"""Kinds of events that viewers and features remember for ever."""
_REFERENCE_WEEKS = 4
_LOGGED = ("click",)
"""The prediction that the monitor holds clicks against."""


@dataclass(frozen=True)
class Standing:
    """What one week leaves to the next. Releases are named by the week that trained them, 0 being the start."""

    live: int = 0
    previous: int | None = None
    """What a rollback serves."""
    candidate: int | None = None
    """Passed its gates and waits for its canary."""
    alarm: str | None = None
    """Cause of last midnight's alarm."""
    distrusted: tuple[int, ...] = ()
    """Weeks that nothing is learned from, now or later: they are no measure for those that follow."""
    waited: bool = False
    """Whether training let a week pass because of the data checks alone."""


def live_week(world: World, config: YearConfig, seed: int, arm: str, week: int, shelf: Shelf) -> None:
    """Live through one week and keep it."""
    began, worked = time.perf_counter(), time.process_time()
    at_work = _Week(world, config, seed, arm, week, shelf)
    for day in range(WEEK_DAYS):
        at_work.day(day)

    def write(folder: Path) -> None:
        at_work.train(folder)
        spent = {"whole": time.perf_counter() - began, "cpu": time.process_time() - worked}
        record = at_work.record() | {"seconds": {name: round(seconds, 2) for name, seconds in spent.items()}}
        at_work.events.write_parquet(folder / EVENTS)
        (folder / RECORD).write_text(json.dumps(record, indent=1))

    commit(shelf.week(seed, arm, week), write)
    needed = {at_work.standing.live, at_work.standing.previous, at_work.standing.candidate}
    for other in set(range(1, week + 1)) - needed:
        shelf.forget_release(seed, arm, other)


def name_of(number: int) -> str:
    """Of a release in the log."""
    return f"week-{number:02d}" if number else "start"


@dataclass
class _Week:
    """A week in progress."""

    world: World
    config: YearConfig
    seed: int
    arm: str
    week: int
    shelf: Shelf
    told: list[dict[str, Any]] = field(default_factory=list)
    """What people would hear of it, in order."""
    waits: bool = False
    """Whether training waits because a report about broken data came in."""
    canary: CanaryState | None = None
    gates: list[Gate] = field(default_factory=list)
    """What was asked of the week's candidate."""

    def __post_init__(self) -> None:
        self.lab = self.config.world
        self.run = self.lab.of_seed(self.seed)
        self.begin, self.end = self.lab.starts_at(self.week), self.lab.starts_at(self.week + 1)
        before = self.shelf.record(self.seed, self.arm, self.week - 1)["standing"] if self.week > 1 else {}
        self.standing = Standing(**before | {"distrusted": tuple(before.get("distrusted", ()))})
        self.viewers, self.videos = self.world.viewer_frame(), self.world.video_frame()
        self.log = self._past()
        self.world.remember(self.log)
        self.events, self.values = self.log[:0], list[NDArray[np.float64]]()
        self.services: dict[int, LiveRelease] = {}
        self._open()

    def day(self, day: int) -> None:
        """Serve from midnight to midnight, then look."""
        begin = self.begin + day * DAY_MS
        window = begin, begin + DAY_MS
        policy = self._policy(begin)
        served = lab_week.serve(self.world, policy, policy, window, self._observe, sample=0, label="year", logged=_LOGGED)
        self.values.append(served.value_P[self._people(window)])
        self.log, self.events = pl.concat([self.log, served.events]), pl.concat([self.events, served.events])
        if self.arm == SYSTEM:
            self._judge_canary(day)
            self._look(day, window[1])

    def train(self, folder: Path) -> None:
        """The next candidate, as far as this arm makes one and its gates let it pass."""
        if self.arm == FROZEN:
            return
        if self.arm == BLIND:
            self._fit(folder, self.end)
            self.standing = replace(self.standing, candidate=self.week)
            return
        dataset = lab_loop.dataset_of(self.world, self.log, self.lab, self.week + 1)
        report = year_gates.week_report(dataset, self.begin, self._accepted())
        if self.waits:
            self._tell(WEEK_DAYS - 1, "waits", "an alarm about the data is open")
            self.standing = replace(self.standing, distrusted=(*self.standing.distrusted, self.week))
            return
        if not report.ok and not self.standing.waited:
            self._tell(WEEK_DAYS - 1, "waits", report.findings[0].to_text() if report.findings else report.summary())
            self.standing = replace(self.standing, waited=True)
            return
        # What is still there a week later, with no cause found, is the world or our own pages, and not a fault.
        self.standing = replace(self.standing, waited=False)
        until = self.end - DAY_MS
        self._fit(folder, until)
        candidate = year_service.with_catalogue(folder / training.RELEASE, name_of(self.week), dataset.videos)
        live = self._service(self.standing.live, self.end).loaded
        self.gates = year_gates.verdicts(candidate, live, dataset, self.config.gates, until)
        failed = blocking(self.gates, self.config.gates)
        if failed:
            self._tell(WEEK_DAYS - 1, "refused", "; ".join(f"{gate.name}: {gate.sentence}" for gate in failed))
        else:
            self.standing = replace(self.standing, candidate=self.week)

    def record(self) -> dict[str, Any]:
        """What is kept for people, and for the next week."""
        values = np.concatenate(self.values)
        return {
            "week": self.week,
            "satisfied_s": float(values.mean()),
            "by_day_s": [float(day.mean()) if len(day) else None for day in self.values],
            "pages": len(values),
            "gates": {gate.name: [gate.verdict.value, gate.value] for gate in self.gates},
            "events": self.told,
            "standing": asdict(self.standing),
        }

    def _accepted(self) -> list[tuple[int, int]]:
        """Windows of the weeks that this one is held against; none before the fifth: the old policy wrote another log."""
        first = self.week - _REFERENCE_WEEKS
        weeks = [week for week in range(first, self.week) if week not in self.standing.distrusted] if first > 0 else []
        return [(self.lab.starts_at(week), self.lab.starts_at(week + 1)) for week in weeks]

    def _past(self) -> pl.DataFrame:
        """The log as it is kept: the last weeks whole, and what nobody forgets."""
        since = self.begin - self.config.log_days * DAY_MS
        needed = pl.col(c.KIND).is_in(_KEPT) | (pl.col(c.RECEIVED_AT) >= since)
        paths = [self.shelf.week(self.seed, self.arm, week) / EVENTS for week in range(self.week)]
        return pl.concat([pl.scan_parquet(path).filter(needed) for path in paths]).collect()

    def _open(self) -> None:
        """What becomes of the candidate of last week."""
        candidate = self.standing.candidate
        if candidate is None:
            return
        if self.arm == BLIND:
            self._promote(0, candidate)
        else:
            self.canary = CanaryState(name_of(candidate), name_of(self.standing.live), self.config.canary)

    def _policy(self, at: int) -> Policy:
        live = self._service(self.standing.live, at)
        running = self.canary.experiment if self.canary else None
        if running is None or self.canary is None or self.standing.candidate is None:
            self.services = {self.standing.live: live}
            return live.recommender
        challenger = self._service(self.standing.candidate, at)
        return live.among(ExperimentsConfig((running,)), {self.canary.release_id: challenger})

    def _service(self, number: int, at: int) -> LiveRelease:
        """In service since some midnight of this week, or from `at` on."""
        if number not in self.services:
            path, mistaken = self._path(number), self.config.broken(BAD_SERVING, number)
            dataset = self._dataset()
            self.services[number] = year_service.in_service(path, name_of(number), dataset, at, mistaken=mistaken)
        return self.services[number]

    def _path(self, number: int) -> Path:
        return self.shelf.week(self.seed, self.arm, number) / training.RELEASE

    def _dataset(self) -> Dataset:
        """The log, and every video that can be shown until the week ends."""
        videos = self.videos.filter(pl.col(c.UPLOADED_AT) < self.end)
        return datasets.make(self.world.config.name, self.log, self.viewers, videos)

    def _observe(self, events: pl.DataFrame) -> None:
        for live in self.services.values():
            live.apply(events.to_arrow())

    def _people(self, window: tuple[int, int]) -> NDArray[np.bool_]:
        """[P] whether each page of a day was asked for by a person, in the order in which pages are served."""
        asked = [r for batch in lab_week.rounds(list(self.world.sessions(*window, label="year"))) for r in batch]
        rows = lookup(self.world.viewer_ids, [request.viewer_id for request in asked])
        return ~faults.hits(self.world.config, FaultKind.BOT_TRAFFIC, rows, [request.at for request in asked])

    def _judge_canary(self, day: int) -> None:
        """Once its days are over, everybody gets the candidate, or nobody."""
        running = self.canary.experiment if self.canary else None
        if running is None or self.standing.candidate is None or day + 1 < self.config.canary.steps[0].days:
            return
        worse = year_canary.harmed(self.events, running, self.config.canary)
        if worse:
            self._halt(day, "; ".join(worse))
        else:
            self._promote(day, self.standing.candidate)

    def _promote(self, day: int, number: int) -> None:
        self._tell(day, "release", f"{name_of(number)} serves everybody")
        self.standing = replace(self.standing, live=number, previous=self.standing.live, candidate=None)
        self.canary = None

    def _halt(self, day: int, why: str) -> None:
        assert self.canary is not None
        self._tell(day, "halt", f"the canary of {self.canary.release_id} ended: {why}")
        self.standing, self.canary = replace(self.standing, candidate=None), None

    def _look(self, day: int, midnight: int) -> None:
        """The monitor, and what it does."""
        live, previous = self.standing.live, self.standing.previous
        diagnosis = year_watch.look(self._dataset(), midnight)
        if diagnosis is None:
            self.standing = replace(self.standing, alarm=None)
            return
        canary = [self.canary.release_id] if self.canary else []
        blamed = year_watch.release_of(diagnosis)
        action = year_watch.action(diagnosis, canary if previous is None else [name_of(live), *canary])
        if diagnosis.cause != self.standing.alarm:
            self._tell(day, "alarm", f"{diagnosis.cause}: {diagnosis.because} → {action}")
        self.standing = replace(self.standing, alarm=str(diagnosis.cause))
        self.waits |= diagnosis.step in year_watch.WAITS
        if action != Action.ROLLBACK:
            return
        if blamed in canary:
            self._halt(day, "the monitor blames it")
        elif previous is not None:
            self._tell(day, "rollback", f"{name_of(previous)} serves instead of {name_of(live)}")
            self.standing = replace(self.standing, live=previous, previous=None)

    def _tell(self, day: int, kind: str, text: str) -> None:
        self.told.append({"week": self.week, "day": day, "kind": kind, "text": text})

    def _fit(self, folder: Path, until: int) -> None:
        """A release from what was known at `until`: at the week's end, or a day before it."""
        lab = self.lab if until == self.end else self.config.a_day_earlier
        dataset = lab_loop.dataset_of(self.world, self.log, lab, self.week + 1)
        if self.config.broken(BAD_TRAINING, self.week):
            dataset = replace(dataset, events=_booked_to_others(dataset.events, self.seed, self.week))
        left_out = [(self.lab.starts_at(week), self.lab.starts_at(week + 1)) for week in self.standing.distrusted]
        year_training.train(dataset, until, self.config, self.run, folder, left_out)


def _booked_to_others(events: pl.DataFrame, seed: int, week: int) -> pl.DataFrame:
    """The log of a broken join: every click belongs to some viewer, to the wrong one."""
    clicked = (events[c.KIND] == ev.CLICK).to_numpy()
    viewers = events[c.VIEWER_ID].to_numpy().copy()
    viewers[clicked] = rng.stream(seed, "booked to others", week).permutation(viewers[clicked])
    return events.with_columns(pl.Series(c.VIEWER_ID, viewers))
