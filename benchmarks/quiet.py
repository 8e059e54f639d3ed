"""Seconds on the clock, from a machine that others use too: wait until they rest, and say how much they took all the same.

    timings = quiet.timed(work, tries=3, patience_s=300)
    best = quiet.quietest(timings)

A timing says beside its seconds how many cores were busy with something else meanwhile: all busy time of /proc/stat less that
of this process (so children of it count as others). With half a core of company it speaks of a smaller machine. Linux only.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_LOOK_S = 1.0
RESTING = 0.15
"""Cores busy with something else while the machine still counts as quiet."""


@dataclass(frozen=True)
class Timing:
    """One run of the work."""

    wall_s: float
    cpu_s: float
    """Of this process, all its threads together."""
    others_cores: float
    """Cores that were busy with something else, on average over the run."""

    def to_json(self) -> dict[str, float]:
        """Plain values, rounded."""
        return {name: round(value, 2) for name, value in asdict(self).items()}


def timed(work: Callable[[], Any], *, tries: int = 1, patience_s: float = 0.0) -> list[Timing]:
    """The work done `tries` times, each after waiting for a quiet moment; all waits together at most `patience_s`."""
    found, left_s = [], patience_s
    for _ in range(tries):
        left_s -= wait(left_s)
        began, began_cpu, began_busy = time.perf_counter(), time.process_time(), _busy_s()
        work()
        wall_s, cpu_s, busy_s = time.perf_counter() - began, time.process_time() - began_cpu, _busy_s() - began_busy
        found.append(Timing(wall_s, cpu_s, max(0.0, busy_s - cpu_s) / wall_s))
    return found


def quietest(timings: Sequence[Timing]) -> Timing:
    """The one with the least company."""
    return min(timings, key=lambda timing: timing.others_cores)


def wait(patience_s: float) -> float:
    """Sleep until others use less than `RESTING` cores for two looks in a row; seconds waited, about `patience_s` at most."""
    began, calm = time.monotonic(), 0
    while calm < 2 and time.monotonic() - began < patience_s:
        before_s, before = _busy_s(), time.monotonic()
        time.sleep(_LOOK_S)
        busy = (_busy_s() - before_s) / (time.monotonic() - before)
        calm = calm + 1 if busy < RESTING else 0
    return time.monotonic() - began


def _busy_s() -> float:
    """Seconds that all cores together have worked since the machine was started; waiting for a disk is no work."""
    return busy_ticks(Path("/proc/stat").read_text()) * _TICK_S


def busy_ticks(stat: str) -> int:
    """Of the first line of /proc/stat: user, nice, system, interrupts, and what a host took away; guests are within user."""
    user, nice, system, _idle, _waits, irq, soft_irq, steal, *_ = (int(part) for part in stat.split("\n", 1)[0].split()[1:])
    return user + nice + system + irq + soft_irq + steal
