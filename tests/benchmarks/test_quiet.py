import time

import pytest

from benchmarks import quiet
from benchmarks.quiet import Timing


def test_busy_time_is_all_but_idling_and_waiting():
    assert quiet.busy_ticks("cpu  100 20 30 9000 700 4 5 6 50 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n") == 165


def test_a_timing_tells_its_own_work_from_that_of_others(monkeypatch):
    clock, own, busy = iter([10.0, 14.0]), iter([1.0, 3.0]), iter([100.0, 106.0])
    monkeypatch.setattr(quiet.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(quiet.time, "process_time", lambda: next(own))
    monkeypatch.setattr(quiet, "_busy_s", lambda: next(busy))
    (found,) = quiet.timed(lambda: None)
    assert found == Timing(wall_s=4.0, cpu_s=2.0, others_cores=1.0)


def test_the_quietest_is_not_the_fastest():
    alone, beside = Timing(9.0, 8.0, 0.05), Timing(8.0, 8.0, 0.9)
    assert quiet.quietest([beside, alone]) is alone


@pytest.mark.parametrize(("busy_cores", "looks"), [([0.0, 0.0, 0.0], 2), ([0.0, 1.0, 0.0, 0.1], 4), ([2.0] * 9, 5)])
def test_waiting_ends_after_two_calm_looks_or_with_patience(monkeypatch, busy_cores, looks):
    now = [0.0]

    def busy_s() -> float:
        return sum(busy_cores[: int(now[0])])

    monkeypatch.setattr(quiet, "_busy_s", busy_s)
    monkeypatch.setattr(quiet.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(quiet.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    assert quiet.wait(5.0) == looks


def test_real_work_is_measured():
    (found,) = quiet.timed(lambda: time.sleep(0.01))
    assert found.wall_s >= 0.01
    assert found.others_cores >= 0.0
