import json
import os
import subprocess
import sys

import pytest

from core.clock import ManualClock
from pipelines.orchestration.lease import HEARTBEAT_MS, TTL_MS, Lease, LeaseHeld, LeaseLost, read


@pytest.fixture
def clock():
    return ManualClock(1_000_000)


def test_one_owner_at_a_time(tmp_path, clock):
    with Lease(tmp_path / "lease", "the first", clock):
        with pytest.raises(LeaseHeld, match=rf"the first is at work here \(process {os.getpid()}"):
            Lease(tmp_path / "lease", "the second", clock).acquire()
        assert read(tmp_path / "lease").what == "the first"
    with Lease(tmp_path / "lease", "the second", clock):
        assert read(tmp_path / "lease").what == "the second"
    assert read(tmp_path / "lease") is None


def test_a_silent_owner_loses_its_place(tmp_path, clock):
    first = Lease(tmp_path / "lease", "the first", clock).acquire()
    clock.advance(TTL_MS)
    with pytest.raises(LeaseHeld):
        Lease(tmp_path / "lease", "the second", clock).acquire()
    clock.advance(1)
    second = Lease(tmp_path / "lease", "the second", clock).acquire()
    with pytest.raises(LeaseLost, match="lost its place to the second"):
        first.renew()
    first.release()
    second.renew()
    assert read(tmp_path / "lease").what == "the second"


def test_heartbeats_keep_the_place(tmp_path, clock):
    first = Lease(tmp_path / "lease", "the first", clock).acquire()
    for _ in range(30):
        clock.advance(HEARTBEAT_MS)
        first.renew()
    with pytest.raises(LeaseHeld):
        Lease(tmp_path / "lease", "the second", clock).acquire()


def test_a_dead_process_is_gone_at_once(tmp_path, clock):
    code = (
        "import os, sys; from pathlib import Path; from core.clock import ManualClock;"
        "from pipelines.orchestration.lease import Lease;"
        "Lease(Path(sys.argv[1]), 'the dead', ManualClock(1_000_000)).acquire(); os.kill(os.getpid(), 9)"
    )
    dead = subprocess.run([sys.executable, "-c", code, str(tmp_path / "lease")], check=False)
    assert dead.returncode == -9
    assert read(tmp_path / "lease").what == "the dead"
    Lease(tmp_path / "lease", "the living", clock).acquire()
    assert read(tmp_path / "lease").what == "the living"


def test_on_another_host_only_the_heartbeat_tells(tmp_path, clock):
    owner = {"token": "t", "pid": 2**22 + 1, "host": "elsewhere", "what": "the far one", "at": clock.now()}
    (tmp_path / "lease").write_text(json.dumps(owner))
    with pytest.raises(LeaseHeld, match="elsewhere"):
        Lease(tmp_path / "lease", "this one", clock).acquire()
    clock.advance(TTL_MS + 1)
    Lease(tmp_path / "lease", "this one", clock).acquire()


def test_many_at_once_and_one_wins(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from core.clock import ManualClock; from pipelines.orchestration.lease import Lease, LeaseHeld\n"
        "try:\n    Lease(Path(sys.argv[1]), 'racer', ManualClock(1)).acquire(); print('won', flush=True); sys.stdin.read()\n"
        "except LeaseHeld:\n    print('lost', flush=True)"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "lease")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    said = [racer.stdout.readline().strip() for racer in racers]
    for racer in racers:
        racer.communicate()
    assert sorted(said) == ["lost", "lost", "lost", "won"]
