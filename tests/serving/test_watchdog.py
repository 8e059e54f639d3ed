import threading

import pytest

from core.errors import Unavailable
from features.breaker import Breaker
from serving.watchdog import Watchdog


def test_what_the_part_returns_comes_back_from_one_thread_of_its_own():
    dog = Watchdog("ranker", 5.0)
    names = {dog.call(lambda: threading.current_thread().name) for _ in range(5)}
    assert names == {"ranker"}
    assert not dog.breaker.is_open


def test_a_failure_is_said_with_its_cause():
    with pytest.raises(Unavailable, match="the ranker failed: ZeroDivisionError"):
        Watchdog("ranker", 5.0).call(lambda: 1 / 0)


def test_a_part_that_hangs_is_given_up_on_and_not_asked_until_it_returns():
    now, go, asked = [0.0], threading.Event(), []
    dog = Watchdog("index", 0.02, Breaker(monotonic=lambda: now[0], name="index", error=Unavailable))
    with pytest.raises(Unavailable, match="longer than 20 ms"):
        dog.call(lambda: go.wait(10))
    for _ in range(2):
        with pytest.raises(Unavailable, match="earlier call"):
            dog.call(lambda: asked.append("while stuck"))
    assert dog.breaker.is_open
    now[0] = 1.5
    go.set()
    dog._stuck.result(10)
    dog.call(lambda: asked.append("after"))
    assert asked == ["after"]


def test_after_three_failures_the_part_is_left_alone_until_the_pause_is_over():
    now, asked = [0.0], []
    dog = Watchdog("ranker", 5.0, Breaker(pause_s=1.0, monotonic=lambda: now[0], name="ranker", error=Unavailable))
    for _ in range(5):
        with pytest.raises(Unavailable):
            dog.call(lambda: asked.append(1) or 1 / 0)
    assert len(asked) == 3
    assert dog.breaker.is_open
    now[0] = 1.5
    assert dog.call(lambda: 7) == 7
    assert not dog.breaker.is_open


def test_its_thread_ends_with_it():
    dog = Watchdog("short lived", 5.0)
    dog.call(lambda: None)
    thread = dog._thread
    del dog
    thread.join(5)
    assert not thread.is_alive()
