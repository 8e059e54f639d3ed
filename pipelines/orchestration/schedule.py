"""What runs by itself, and when: upnext commands at set times or after something happened, one after another.

    cron    "0 3 * * *"     five fields, UTC; every due time missed since the last run counts once
    files   "logs/*.csv"    a file with a new name matches
    day     <space>         the space's live event log has reached a later day (UTC), so the one before is complete
    alarm   <space>         the newest alarm in var/<space>/alerts.jsonl is another one
    retrain <space>         the same, of alarms that ask for training (`monitoring.severity`: mild ones): what is wrong with the
                            data, or with a release, is not cured by learning from it

`var/schedule/jobs.json` says what was asked for (`add`, `remove`), `state.json` what has been seen and done (the scheduler
alone writes it, replacing it whole). What a job waits for is noted before its command begins and kept only when
that has ended: after a crash the command runs again, which every upnext command bears. A command that fails is reported and
waits for the next occasion. Time is a Clock.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cronsim import CronSim, CronSimError

from core import config as configs
from core import files, settings
from core.clock import SECOND_MS, Clock
from core.errors import BadInput
from core.process import start_child, stop_children
from data.logs import existing_log
from monitoring.severity import Action
from pipelines.orchestration.lease import Lease

_POLL_S = 0.5
KINDS = ("cron", "files", "day", "alarm", "retrain")
Seen = Any
"""What a trigger has seen, as JSON: an instant, names, a day, or the digest of an alarm."""


@dataclass(frozen=True)
class Job:
    """A command and its occasion."""

    name: str
    kind: str
    """One of KINDS."""
    value: str
    """A cron expression, a pattern, or a space."""
    command: tuple[str, ...]
    """Of upnext, e.g. ("pipeline", "run")."""
    webhook: str | None = None
    """Told of failures."""

    def __post_init__(self) -> None:
        """Raises BadInput where it can never be due."""
        if self.kind not in KINDS:
            raise BadInput(f"a job waits for one of {', '.join(KINDS)}, not '{self.kind}'")
        if not self.command:
            raise BadInput(f"job '{self.name}' has no command; write it last, after `--`, e.g. `-- pipeline run`")
        if self.kind == "cron":
            next_due(self.value, 0)


@dataclass(frozen=True)
class State:
    """What became of a job."""

    seen: Seen = None
    began_at: int | None = None
    """Of the last run, ms."""
    ended_at: int | None = None
    """None while it runs, or when it was cut off."""
    ok: bool | None = None
    runs: int = 0


def next_due(expression: str, after: int) -> int:
    """First instant (ms) later than `after` that a cron expression names.

    Raises:
        BadInput: it is none, or it names no instant at all.
    """
    try:
        found = next(CronSim(expression, datetime.fromtimestamp(after / SECOND_MS, UTC)))
    except (CronSimError, StopIteration) as error:
        raise BadInput(f"'{expression}' is no cron expression of five fields, e.g. '0 3 * * *': {error}") from error
    return int(found.timestamp() * SECOND_MS)


def look(job: Job, var_dir: Path, now: int) -> Seen:
    """What there is to see for this job at present."""
    match job.kind:
        case "cron":
            return now
        case "files":
            pattern = Path(job.value)
            return sorted(str(path) for path in Path(pattern.anchor or ".").glob(str(pattern.relative_to(pattern.anchor))))
        case "day":
            return _last_day(var_dir / job.value / "events.db")
        case _:
            return _last_alarm(var_dir / job.value / "alerts.jsonl", for_training=job.kind == "retrain")


def is_due(job: Job, before: Seen, now: Seen) -> bool:
    """Whether what is seen now calls for a run, given what was seen before."""
    match job.kind:
        case "cron":
            return next_due(job.value, before) <= now
        case "files":
            return not set(now) <= set(before)
        case "day":
            return now is not None and (before is None or now > before)
        case _:
            return now is not None and now != before


def _last_day(log: Path) -> str | None:
    events = existing_log(log, settings.load().log_url)
    if events is None:
        return None
    newest_at = events.newest_at()
    events.close()
    return f"{datetime.fromtimestamp(newest_at / SECOND_MS, UTC):%Y-%m-%d}" if newest_at else None


def _last_alarm(alerts: Path, *, for_training: bool) -> str | None:
    """Digest of the last whole line, or of the last that asks for training; None without one. The file may begin anew."""
    lines = alerts.read_bytes().split(b"\n")[:-1] if alerts.is_file() else []
    found = next((line for line in reversed(lines) if line and (not for_training or _asks_for_training(line))), None)
    return None if found is None else hashlib.sha256(found).hexdigest()[:16]


def _asks_for_training(line: bytes) -> bool:
    try:
        return bool(json.loads(line)["action"] == Action.RETRAIN)
    except (ValueError, KeyError, TypeError):
        return False


@dataclass(frozen=True)
class Entry:
    """A job in the book."""

    job: Job
    added_at: int
    state: State

    @property
    def name(self) -> str:
        """Of the job."""
        return self.job.name

    @property
    def key(self) -> str:
        """Tells it from a job of the same name that was removed before."""
        return f"{self.job.name} {self.added_at}"


class Book:
    """The jobs of a `var/`, and what became of them."""

    def __init__(self, var_dir: Path) -> None:
        self.var_dir, self.folder = var_dir, var_dir / "schedule"
        self._jobs, self._state = self.folder / "jobs.json", self.folder / "state.json"

    def entries(self) -> list[Entry]:
        """In the order in which they were added. A job that has never run has seen what there was when it was added."""
        states = _read(self._state, {})
        found = [
            Entry(configs.from_dict(Job, line["job"]), line["added_at"], State(line["seen"])) for line in _read(self._jobs, [])
        ]
        return [replace(entry, state=State(**states[entry.key])) if entry.key in states else entry for entry in found]

    def add(self, job: Job, clock: Clock) -> None:
        """From now on. Raises BadInput when the name is taken."""
        lines, now = _read(self._jobs, []), clock.now()
        if any(line["job"]["name"] == job.name for line in lines):
            raise BadInput(f"there is a job '{job.name}' already; remove it first, or choose another name")
        line = {"job": configs.to_dict(job), "added_at": now, "seen": look(job, self.var_dir, now)}
        files.write_json(self._jobs, [*lines, line])

    def remove(self, name: str) -> None:
        """Forget a job. Raises BadInput when there is none of that name."""
        lines = _read(self._jobs, [])
        kept = [line for line in lines if line["job"]["name"] != name]
        if len(kept) == len(lines):
            known = ", ".join(line["job"]["name"] for line in lines) or "none"
            raise BadInput(f"there is no job '{name}'; known: {known}")
        files.write_json(self._jobs, kept)

    def keep(self, entry: Entry, state: State) -> None:
        """Note what became of a job; for the scheduler alone."""
        states = {known.key: asdict(known.state) for known in self.entries()}
        files.write_json(self._state, states | {entry.key: asdict(state)})


def _read(path: Path, otherwise: Any) -> Any:
    return json.loads(path.read_text()) if path.is_file() else otherwise


@dataclass(frozen=True)
class Scheduler:
    """Looks at every job, and runs what is due."""

    book: Book
    clock: Clock
    run: Callable[[Job], int]
    """Does a job's command, to its end; returns its exit code."""
    failed: Callable[[Job, str], None]
    """Tells somebody."""

    def tick(self) -> list[str]:
        """One look at every job; the names of those that ran."""
        ran = []
        for entry in self.book.entries():
            seen = look(entry.job, self.book.var_dir, self.clock.now())
            if is_due(entry.job, entry.state.seen, seen):
                self._do(entry, seen)
                ran.append(entry.name)
        return ran

    def _do(self, entry: Entry, seen: Seen) -> None:
        job, before = entry.job, entry.state
        begun = replace(before, began_at=self.clock.now(), ended_at=None, ok=None, runs=before.runs + 1)
        self.book.keep(entry, begun)
        code = self.run(job)
        self.book.keep(entry, replace(begun, seen=seen, ended_at=self.clock.now(), ok=code == 0))
        if code:
            self.failed(job, f"job '{job.name}' (upnext {' '.join(job.command)}) ended with code {code}")


def as_child(lease: Lease, sleep: Callable[[float], None] = time.sleep) -> Callable[[Job], int]:
    """A Scheduler's `run`: the command in a process of its own, the lease renewed meanwhile."""

    def run(job: Job) -> int:
        child = start_child([sys.executable, "-m", "cli.main", *job.command])
        try:
            while child.poll() is None:
                lease.renew()
                sleep(_POLL_S)
            return child.returncode
        finally:
            stop_children([child])

    return run


def outcome(state: State) -> str:
    """How the last run ended, in a word."""
    if state.ended_at is None:
        return "running or cut off"
    return "ok" if state.ok else "failed"
