import threading

import pytest

from core import columns as c
from core import events as ev
from core.errors import StoreUnavailable
from core.event_log import SqliteEventLog
from serving import fakes
from serving.consumer import Consumer, FileOffset, MemoryOffset


def clicks(*numbers):
    return ev.to_table([ev.Click(event_id=f"e{n}", event_at=n, received_at=n, viewer_id=1, video_id=n) for n in numbers])


class State:
    """Remembers what was applied; fails as often as told."""

    def __init__(self, failures=()):
        self.applied = []
        self.failures = list(failures)

    def apply(self, events):
        if self.failures:
            raise self.failures.pop(0)
        self.applied += events[c.EVENT_ID].to_pylist()


def test_replay_applies_everything_after_the_offset_in_log_order():
    log, state = fakes.MemoryLog(), State()
    log.append(clicks(1, 2, 3))
    _, after = log.read(limit=1)
    consumer = Consumer(log, state.apply, MemoryOffset(after))
    assert consumer.replay() == 2
    assert state.applied == ["e2", "e3"]
    assert consumer.replay() == 0


def test_an_event_is_in_the_state_when_waiting_ends(tmp_path):
    log, state = SqliteEventLog(tmp_path / "events.sqlite"), State()
    consumer = Consumer(log, state.apply, MemoryOffset(), poll_s=30.0)
    consumer.start()
    try:
        for n in range(1, 6):
            log.append(clicks(n))
            assert consumer.catch_up(5.0)
            assert state.applied[-1] == f"e{n}"
    finally:
        consumer.close()
    assert consumer.offset == 5


def test_others_append_too_and_polling_finds_it():
    log, state, found = fakes.MemoryLog(), State(), threading.Event()
    consumer = Consumer(log, lambda events: (state.apply(events), found.set()), MemoryOffset(), poll_s=0.01)  # type: ignore[arg-type,return-value]
    consumer.start()
    log.append(clicks(1))
    assert found.wait(5.0)
    consumer.close()


def test_an_outage_is_waited_for_and_nothing_is_lost_or_doubled():
    log, state = fakes.MemoryLog(), State([StoreUnavailable("gone")] * 20)
    consumer = Consumer(log, state.apply, MemoryOffset(), poll_s=0.001)
    consumer.start()
    log.append(clicks(1, 2))
    assert consumer.catch_up(10.0)
    consumer.close()
    assert state.applied == ["e1", "e2"]
    assert consumer.skipped == 0


def test_a_batch_that_always_fails_is_skipped_and_counted():
    log, state = fakes.MemoryLog(), State([ValueError("no")] * 3)
    consumer = Consumer(log, state.apply, MemoryOffset(), poll_s=0.001, attempts=3)
    consumer.start()
    log.append(clicks(1, 2))
    assert consumer.catch_up(10.0)
    log.append(clicks(3))
    assert consumer.catch_up(10.0)
    consumer.close()
    assert state.applied == ["e3"]
    assert consumer.skipped == 2


def test_a_log_that_is_down_ends_nothing():
    log, state = fakes.MemoryLog(), State()
    consumer = Consumer(log, state.apply, MemoryOffset(), poll_s=0.001)
    log.down = True
    consumer.start()
    assert not consumer.catch_up(0.02)
    log.down = False
    log.append(clicks(1))
    assert consumer.catch_up(5.0)
    consumer.close()
    assert state.applied == ["e1"]


def test_a_restart_goes_on_where_the_state_is(tmp_path):
    log, state = fakes.MemoryLog(), State()
    for batch in ((1, 2), (3,), (), (4, 5)):
        log.append(clicks(*batch))
        Consumer(log, state.apply, FileOffset(tmp_path / "offset")).replay()
    assert state.applied == ["e1", "e2", "e3", "e4", "e5"]


def test_a_newer_release_starts_after_an_older_offset_file(tmp_path):
    offset = FileOffset(tmp_path / "offset", start=3)
    assert offset.load() == 3
    offset.save(7)
    assert FileOffset(tmp_path / "offset", start=9).load() == 9
    assert FileOffset(tmp_path / "offset", start=5).load() == 7
    (tmp_path / "offset").write_text("torn")
    assert FileOffset(tmp_path / "offset", start=5).load() == 5


def test_replay_lets_an_outage_through():
    log = fakes.MemoryLog()
    log.append(clicks(1))
    with pytest.raises(StoreUnavailable):
        Consumer(log, State([StoreUnavailable("gone")]).apply, MemoryOffset()).replay()
