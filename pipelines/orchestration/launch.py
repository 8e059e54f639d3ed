"""Pipeline runs seen from outside: begin one, work on it, go on after a failure or a kill, list them.

Metaflow runs as a child process (`flow`), keeps everything in `var/<space>/metaflow`, and never reaches for the network. One
run at a time per space: a lease says whose turn it is. Progress is read from the run's journal.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core import files, settings
from core.clock import SECOND_MS, Clock
from core.errors import BadInput, UpnextError
from core.process import start_child, stop_children
from pipelines.orchestration import job, journal
from pipelines.orchestration.job import Request
from pipelines.orchestration.journal import Journal, RunStatus
from pipelines.orchestration.lease import Lease
from pipelines.orchestration.products import CODE, Shelf
from pipelines.orchestration.steps import SEEDS
from pipelines.progress import Listener
from pipelines.spaces import Space

LOG = "log.txt"
"""What Metaflow and the libraries printed."""
_RUN_ID = "metaflow.txt"
"""Metaflow's name of the last attempt."""
_POLL_S = 0.2


def begin(space: Space, request: Request, clock: Clock) -> Path:
    """The folder of a new run; nothing has happened in it yet."""
    space.pipeline.mkdir(parents=True, exist_ok=True)
    began = datetime.fromtimestamp(clock.now() / SECOND_MS, UTC)
    for number in range(1, 1_000):
        folder = space.pipeline / (f"{began:%Y%m%d-%H%M%S}" + (f"-{number}" if number > 1 else ""))
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        request.write(folder)
        return folder
    raise BadInput(f"a thousand runs began in {space.pipeline} this second")


def work(folder: Path, listener: Listener, clock: Clock, sleep: Callable[[float], None] = time.sleep) -> RunStatus:
    """One attempt at the run: from the beginning, or from where the last one ended.

    Raises:
        LeaseHeld: another run is at work in this space.
        UpnextError: a step failed; says which, and how to go on.
    """
    folder = folder.resolve()  # the child works in another folder
    job.read(folder)
    space, diary = Space(folder.parents[1]), Journal(folder, clock)
    with Lease(space.pipeline / "lease", f"pipeline run {folder.name}", clock) as lease:
        files.sweep(space.products)
        _, offset = diary.read()
        diary.write("began", pid=os.getpid())
        code = None
        try:
            code = _watch(folder, listener, lease, diary, offset, sleep)
        finally:
            diary.write("ended", ok=code == 0)
    if code:
        raise UpnextError(_failure(folder, diary.read(offset)[0], code))
    return journal.status(folder)


def find(space: Space, name: str | None = None) -> Path:
    """The folder of a run; without a name, of the latest that has not finished.

    Raises:
        BadInput: there is no such run.
    """
    found = [run for run in runs(space) if (run.state != "finished" if name is None else run.name == name)]
    if not found:
        what = "no unfinished pipeline run" if name is None else f"no pipeline run '{name}'"
        raise BadInput(f"there is {what} in '{space.name}'; `upnext pipeline status` lists them")
    return space.pipeline / found[-1].name


def runs(space: Space) -> list[RunStatus]:
    """All runs of a space, oldest first."""
    return [journal.status(path.parent) for path in sorted(space.pipeline.glob(f"*/{job.REQUEST}"))]


def spread(space: Space, run: RunStatus) -> dict[str, Any]:
    """Every metric of every model of a finished run, over its seeds; see `pipeline_report.over_seeds`."""
    return json.loads((Shelf(space.products).find("seeds", run.steps["compare seeds"].result).files / SEEDS).read_text())


def _watch(folder: Path, listener: Listener, lease: Lease, diary: Journal, offset: int, sleep: Callable[[float], None]) -> int:
    """Run Metaflow to its end, telling the listener what the journal says meanwhile; its exit code."""
    kept = Space(folder.parents[1]).metaflow
    (kept / ".metaflow").mkdir(parents=True, exist_ok=True)  # cards go where this is found, from the working folder upwards
    with (folder / LOG).open("ab") as output:
        environment = settings.metaflow_environment(kept, CODE)
        child = start_child(_command(folder), environment=environment, folder=kept, output=output)
        try:
            while True:
                code = child.poll()
                events, offset = diary.read(offset)
                for event in events:
                    _tell(listener, event)
                if code is not None:
                    return code
                lease.renew()
                sleep(_POLL_S)
        finally:
            stop_children([child])


def _command(folder: Path) -> list[str]:
    flow = [sys.executable, str(CODE / "pipelines" / "flow.py"), "--no-pylint"]
    # One task at a time where nothing else was asked for: a training step uses every core, and its memory, by itself.
    options = ["--run-id-file", str(folder / _RUN_ID), "--max-workers", str(job.read(folder).workers)]
    try:
        before = str(int((folder / _RUN_ID).read_text()))
    except (OSError, ValueError):  # no attempt came as far as having a name
        return [*flow, "run", *options, "--folder", str(folder)]
    return [*flow, "resume", *options, "--origin-run-id", before]


def _tell(listener: Listener, event: dict[str, Any]) -> None:
    match event["event"]:
        case "started":
            listener.started(event["step"])
        case "advanced":
            listener.advanced(event["step"], event["share"], event["note"])
        case "waits":
            listener.advanced(event["step"], 0.0, event["note"])
        case "finished":
            note = "; ".join(filter(None, ["reused" if event["reused"] else "", event["note"]]))
            listener.finished(event["step"], event["seconds"], note)


def _failure(folder: Path, events: list[dict[str, Any]], code: int) -> str:
    failed = [event for event in events if event["event"] == "failed"]
    what = f"step '{failed[-1]['step']}' failed: {failed[-1]['error']}" if failed else f"Metaflow ended with code {code}"
    again = f"`upnext pipeline resume {folder.name} --space {folder.parents[1].name}`"
    return f"{what}; {again} goes on from there (everything that was printed: {folder / LOG})"
