"""Crews in processes of their own, so that nothing is forked from the tests' process."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import os, signal, sys, time
from app.workers import Crew
from core.errors import ReleaseRefused, UpnextError
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
def work(number):
    os.write(1, f"{{number}} {{os.getpid()}}\\n".encode())  # one write, so that two workers' lines cannot mix
    {work}
try:
    Crew(work, 2).run()
except UpnextError as error:
    print("refused", error, flush=True)
"""
WAIT = "time.sleep(60)"

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers end with their parent on Linux only")


@contextmanager
def start(work):
    """A crew, which does not outlive a test that fails."""
    command = [sys.executable, "-c", PROGRAM.format(work=work)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as crew:
        try:
            yield crew
        finally:
            crew.kill()


def pids(crew, count=2):
    """By number of the worker."""
    lines = [crew.stdout.readline().split() for _ in range(count)]
    return {int(number): int(pid) for number, pid in lines}


def ended(pid, seconds=10.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_parent(number):
    with start(WAIT) as crew:
        found = pids(crew)
        assert sorted(found) == [0, 1]
        crew.send_signal(number)
        crew.wait(10)
        assert all(ended(pid) for pid in found.values())


def test_ctrl_c_ends_all():
    with start(WAIT) as crew:
        found = pids(crew)
        crew.send_signal(signal.SIGINT)
        crew.wait(10)
        assert all(ended(pid) for pid in found.values())


def test_a_worker_that_dies_is_replaced_under_its_number():
    with start(WAIT) as crew:
        found = pids(crew)
        os.kill(found[1], signal.SIGKILL)
        ((number, pid),) = pids(crew, 1).items()
        assert number == 1
        assert pid not in found.values()
        crew.terminate()
        crew.wait(10)
        assert ended(found[0])
        assert ended(pid)


def test_a_worker_that_cannot_begin_ends_all_with_its_reason():
    with start("raise ReleaseRefused('there is nothing to serve')") as crew:
        out, err = crew.communicate(timeout=20)
    assert "refused a worker could not begin" in out
    assert "upnext: there is nothing to serve" in err
