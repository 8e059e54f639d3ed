import queue
import threading

import pytest

from core.errors import Unavailable
from features.breaker import Breaker
from serving.watchdog import Watchdog, Worker


@pytest.fixture
def worker():
    worker = Worker()
    worker.start()
    yield worker
    worker.end()


def decide(worker, call):
    """What the call returned, or the text of what it raised, on the worker."""
    answers = queue.SimpleQueue()
    worker.put(call, lambda result, error: answers.put(result if error is None else str(error)))
    return answers


def waited(condition):
    for _ in range(1_000):
        if condition():
            return True
        threading.Event().wait(0.005)
    return False


def test_a_part_runs_on_the_worker_and_its_result_comes_back(worker):
    dog = Watchdog("ranker", 5.0)
    names = {decide(worker, lambda: dog.call(lambda: threading.current_thread().name)).get(timeout=5) for _ in range(3)}
    assert names == {"pages"}
    assert not dog.breaker.is_open


def test_a_failure_is_said_with_its_cause(worker):
    dog = Watchdog("ranker", 5.0)
    assert (
        decide(worker, lambda: dog.call(lambda: 1 / 0)).get(timeout=5)
        == "the ranker failed: ZeroDivisionError: division by zero"
    )
    with pytest.raises(Unavailable, match="the ranker failed: ZeroDivisionError"):
        dog.call(lambda: 1 / 0)


def test_a_part_that_hangs_is_given_up_on_and_not_asked_until_it_returns(worker):
    now, go, asked = [0.0], threading.Event(), []
    dog = Watchdog("index", 0.02, Breaker(monotonic=lambda: now[0], name="index", error=Unavailable))
    answers = decide(worker, lambda: dog.call(lambda: go.wait(10)))
    assert waited(lambda: worker.patience_s() == 0)
    worker.leave_behind()
    for _ in range(2):
        with pytest.raises(Unavailable, match="earlier call"):
            dog.call(lambda: asked.append("while stuck"))
    assert dog.breaker.is_open
    now[0] = 1.5
    go.set()
    worker.join(5)
    assert not worker.is_alive()
    assert answers.empty()  # nobody hears of a page that another worker decided
    dog.call(lambda: asked.append("after"))
    assert asked == ["after"]


def test_a_part_in_time_is_waited_for(worker):
    dog, go = Watchdog("index", 60.0), threading.Event()
    answers = decide(worker, lambda: dog.call(lambda: go.wait(10)))
    assert waited(lambda: worker.part is dog)
    assert 0 < worker.patience_s() <= 60
    go.set()
    assert answers.get(timeout=5) is True


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


def test_a_worker_left_behind_ends():
    worker = Worker()
    worker.start()
    worker.leave_behind()
    worker.join(5)
    assert not worker.is_alive()
