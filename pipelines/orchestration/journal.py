"""The diary of a pipeline run: one JSON line per thing that happened, appended by whichever process it happened in.

    began      an attempt: the first one, or a resume      pid
    started    a step                                      step
    advanced   it is `share` (0 to 1) done                 step, share, note
    waits      it failed for now and will be tried again   step, note
    finished   it ended well                               step, seconds, note, reused, result
    failed     it did not                                  step, error
    ended      the attempt                                 ok

Every line has `event` and `at` (ms). A line is one append, so writers need no lock; one that was torn by a kill is passed over.
Metaflow decides what a resume runs again; this file is what people ask for: progress, times, what was reused, what came out.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.clock import Clock, SystemClock
from core.process import is_running

FILE = "journal.jsonl"
_ADVANCE_S = 0.5
"""Progress is written at most this often."""


@dataclass
class Entry:
    """A step that is being worked on; the fields are written when it ends well."""

    journal: "Journal"
    name: str
    note: str = ""
    reused: bool = False
    result: Any = None
    _advanced_s: float = 0.0

    def advance(self, share: float, note: str = "") -> None:
        """Report progress."""
        now_s = time.monotonic()
        if now_s - self._advanced_s >= _ADVANCE_S:
            self._advanced_s = now_s
            self.journal.write("advanced", step=self.name, share=share, note=note)


class Journal:
    """The journal of the run in `folder`."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.path = folder / FILE
        self._clock = clock or SystemClock()

    def write(self, event: str, **facts: Any) -> None:
        """Append one line."""
        line = json.dumps({"event": event, "at": self._clock.now()} | facts, allow_nan=False)
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, f"\n{line}\n".encode())  # the first end of line closes one that a kill tore
        finally:
            os.close(handle)

    @contextmanager
    def step(self, name: str) -> Iterator[Entry]:
        """The body is the step `name`; writes how it began and how it ended."""
        self.write("started", step=name)
        began, entry = time.perf_counter(), Entry(self, name)
        try:
            yield entry
        except Exception as error:
            self.write("failed", step=name, error=f"{type(error).__name__}: {error}")
            raise
        facts = {"note": entry.note, "reused": entry.reused, "result": entry.result}
        self.write("finished", step=name, seconds=round(time.perf_counter() - began, 3), **facts)

    def read(self, after: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Every whole line that begins at byte `after` or later, oldest first, and where to go on reading."""
        if not self.path.is_file():
            return [], after
        with self.path.open("rb") as file:
            file.seek(after)
            whole, _, _ = file.read().rpartition(b"\n")
        return [found for line in whole.splitlines() if (found := _parsed(line)) is not None], after + len(whole)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


@dataclass
class StepStatus:
    """One step of a run, over all attempts."""

    name: str
    state: str
    """running, finished, failed or killed."""
    seconds: float | None = None
    note: str = ""
    reused: bool = False
    """Whether what it makes was there already."""
    result: Any = None
    """What it handed to the steps after it: ids and numbers."""


@dataclass
class RunStatus:
    """A pipeline run."""

    name: str
    began_at: int = 0
    """First attempt, ms."""
    attempts: int = 0
    state: str = "killed"
    """running, finished, failed or killed."""
    steps: dict[str, StepStatus] = field(default_factory=dict)
    """In the order in which they were first begun."""
    pid: int = 0
    """The process of the last attempt."""

    @property
    def release_id(self) -> str | None:
        """What it registered."""
        step = self.steps.get("register")
        return step.result if step is not None and step.state == "finished" else None


def status(folder: Path) -> RunStatus:
    """What the journal in `folder` amounts to."""
    found = RunStatus(folder.name)
    for event in Journal(folder).read()[0]:
        _apply(found, event)
    if found.state == "running" and not is_running(found.pid):
        found.state = "killed"
    if found.state != "running":
        for step in found.steps.values():
            step.state = "killed" if step.state == "running" else step.state
    return found


def _apply(run: RunStatus, event: dict[str, Any]) -> None:
    match event["event"]:
        case "began":
            run.began_at, run.pid = run.began_at or event["at"], event["pid"]
            run.attempts, run.state = run.attempts + 1, "running"
        case "started":
            run.steps.setdefault(event["step"], StepStatus(event["step"], "")).state = "running"
        case "advanced" | "waits":
            run.steps[event["step"]].note = event["note"]
        case "finished":
            facts = {name: event[name] for name in ("seconds", "note", "reused", "result")}
            run.steps[event["step"]] = StepStatus(event["step"], "finished", **facts)
        case "failed":
            run.steps[event["step"]] = StepStatus(event["step"], "failed", note=event["error"])
        case "ended":
            run.state = "finished" if event["ok"] else "failed"
