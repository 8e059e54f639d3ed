import os
import sys
from dataclasses import replace

import pytest

from core.clock import ManualClock, SystemClock
from core.errors import BadInput, UpnextError
from core.files import STAGED
from pipelines import presets
from pipelines.orchestration import launch
from pipelines.orchestration.job import Request
from pipelines.orchestration.journal import Journal
from pipelines.orchestration.lease import Lease, LeaseHeld, read
from pipelines.progress import Silent
from pipelines.spaces import Space

REQUEST = Request("world", presets.tiny(), (1,))
STEP = "import json, sys; open(sys.argv[1], 'a').write('\\n' + json.dumps({fact}) + '\\n'); sys.exit({code})"


@pytest.fixture
def space(tmp_path):
    return Space(tmp_path / "space")


def as_metaflow(monkeypatch, code, **fact):
    """A child that writes one line into the journal and ends."""
    text = STEP.format(fact=repr({"at": 0} | fact), code=code)
    monkeypatch.setattr(launch, "_command", lambda folder: [sys.executable, "-c", text, str(Journal(folder).path)])


def test_as_many_tasks_at_a_time_as_were_asked_for_also_when_it_goes_on(space):
    folder = launch.begin(space, replace(REQUEST, shards=4, workers=3), ManualClock(0))
    for attempt in ("run", "resume"):
        command = launch._command(folder)
        assert attempt in command
        assert command[command.index("--max-workers") + 1] == "3"
        (folder / launch._RUN_ID).write_text("17")


class Heard(Silent):
    def __init__(self):
        self.steps = []

    def finished(self, name, seconds, note):
        self.steps.append((name, seconds, note))


def test_an_attempt_is_heard_and_written_down(space, monkeypatch):
    folder = launch.begin(space, REQUEST, ManualClock(0))
    facts = {"step": "features", "seconds": 2.0, "note": "well", "reused": True, "result": None}
    as_metaflow(monkeypatch, 0, event="finished", **facts)
    (space.products / "towers" / f"{STAGED}x").mkdir(parents=True)
    listener = Heard()
    done = launch.work(folder, listener, SystemClock())
    assert (done.state, done.attempts, listener.steps) == ("finished", 1, [("features", 2.0, "reused; well")])
    assert list((space.products / "towers").iterdir()) == []
    assert read(space.pipeline / "lease") is None
    with pytest.raises(BadInput, match="no unfinished pipeline run"):
        launch.find(space)


def test_a_failed_step_is_named_with_the_way_on(space, monkeypatch):
    folder = launch.begin(space, REQUEST, ManualClock(0))
    as_metaflow(monkeypatch, 1, event="failed", step="validate", error="BadInput: no clicks")
    with pytest.raises(
        UpnextError, match=f"step 'validate' failed: BadInput: no clicks; `upnext pipeline resume {folder.name}"
    ):
        launch.work(folder, Silent(), SystemClock())
    assert launch.find(space) == folder
    assert launch.runs(space)[0].state == "failed"


def test_one_run_at_a_time(space, monkeypatch):
    folder = launch.begin(space, REQUEST, ManualClock(0))
    with Lease(space.pipeline / "lease", "another run", SystemClock()), pytest.raises(LeaseHeld, match="another run"):
        launch.work(folder, Silent(), SystemClock())
    assert launch.runs(space)[0].attempts == 0


def test_the_command_goes_on_where_metaflow_stopped(space):
    folder = launch.begin(space, REQUEST, ManualClock(0))
    assert "run" in launch._command(folder)
    (folder / "metaflow.txt").write_text("17")
    assert launch._command(folder)[-2:] == ["--origin-run-id", "17"]
    (folder / "metaflow.txt").write_text("")  # torn
    assert "run" in launch._command(folder)


def test_a_run_is_found_by_name_or_because_it_is_unfinished(space):
    first, second = (launch.begin(space, REQUEST, ManualClock(at)) for at in (0, 1_000))
    assert launch.find(space) == second
    assert launch.find(space, first.name) == first
    Journal(second).write("began", pid=os.getpid())
    Journal(second).write("ended", ok=True)
    assert launch.find(space) == first
    with pytest.raises(BadInput, match="no pipeline run 'nothing'"):
        launch.find(space, "nothing")
