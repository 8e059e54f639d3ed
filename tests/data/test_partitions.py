import os
from functools import reduce

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import columns as c
from core.clock import DAY_MS
from core.errors import SchemaMismatch
from core.event_log import SqliteEventLog
from data import partitions
from data.dataset import conform
from data.tombstones import Tombstones

START_AT = 1_700_000_000_000 // DAY_MS * DAY_MS


def events(*rows):
    """(id, day it happened, hours until received, viewer)"""
    named = [
        {c.EVENT_ID: i, c.KIND: "click", c.EVENT_AT: at, c.RECEIVED_AT: at + late * 3_600_000, c.VIEWER_ID: viewer}
        for i, day, late, viewer in rows
        for at in [START_AT + day * DAY_MS]
    ]
    return conform(pl.DataFrame(named, schema_overrides={c.EVENT_ID: pl.String}), c.EVENTS)


def ids(frame):
    return sorted(frame[c.EVENT_ID].to_list())


def test_the_same_batch_twice_is_once(tmp_path):
    batch = events(("a", 0, 0, 1), ("b", 1, 0, 1))
    assert partitions.append(tmp_path, batch) == partitions.Appended(2, 0, 0)
    before = partitions.describe(tmp_path)
    assert partitions.append(tmp_path, batch) == partitions.Appended(0, 2, 0)
    assert partitions.describe(tmp_path) == before
    assert partitions.read(tmp_path).equals(batch)


ROWS = st.tuples(st.sampled_from("abcdef"), st.integers(0, 2), st.integers(0, 30), st.integers(1, 3))
BATCHES = st.lists(st.lists(ROWS, min_size=1, max_size=5), min_size=1, max_size=4)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=BATCHES, data=st.data())
def test_any_order_and_any_repetition_give_the_same_events(tmp_path_factory, batches, data):
    orders = [batches, data.draw(st.permutations(batches + data.draw(st.lists(st.sampled_from(batches), max_size=2))))]
    found = []
    for number, order in enumerate(orders):
        root = tmp_path_factory.mktemp("p")
        for at, batch in enumerate(order):
            partitions.append(root, events(*batch))
            if number and at % 2:
                partitions.compact(root)
        found.append(partitions.read(root))
    assert found[0].equals(found[1])
    # One row per id: the version received first, then the smallest viewer.
    everything = [
        (received, i, at, viewer) for batch in batches for i, at, late, viewer in batch for received in [at * 24 + late]
    ]
    first = reduce(lambda kept, row: kept | {row[1]: min(kept.get(row[1], row), row)}, everything, {})
    assert dict(found[0].select(c.EVENT_ID, c.VIEWER_ID).iter_rows()) == {i: r[3] for i, r in first.items()}


def test_a_late_event_lies_in_its_day_and_leaves_the_past_alone(tmp_path):
    partitions.append(tmp_path, events(("a", 0, 1, 1), ("b", 1, 1, 1)))
    noon = START_AT + DAY_MS // 2
    then = partitions.read(tmp_path, known_at=noon)
    partitions.append(tmp_path, events(("late", 0, 40, 1)))
    assert partitions.read(tmp_path, known_at=noon).equals(then)
    assert ids(partitions.read(tmp_path, "2023-11-14", "2023-11-14")) == ["a", "late"]
    assert partitions.read(tmp_path)[c.EVENT_ID].to_list() == ["a", "b", "late"]


@pytest.mark.parametrize("step", ["_write", "_commit"])
def test_a_crash_loses_nothing_that_was_there(tmp_path, monkeypatch, step):
    partitions.append(tmp_path, events(("a", 0, 0, 1)))

    def crash(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(partitions, step, crash)
        with pytest.raises(OSError, match="disk full"):
            partitions.append(tmp_path, events(("b", 0, 0, 1)))
    assert ids(partitions.read(tmp_path)) == ["a"]
    partitions.append(tmp_path, events(("b", 0, 0, 1)))
    assert ids(partitions.read(tmp_path)) == ["a", "b"]


def test_compaction_leaves_one_file_a_day_and_nothing_unnamed(tmp_path):
    for i in "abc":
        partitions.append(tmp_path, events((i, 0, 0, 1), (i + "2", 1, 0, 2)))
    (tmp_path / "date=2023-11-14" / "torn.parquet").write_bytes(b"")
    before = partitions.read(tmp_path)
    assert partitions.compact(tmp_path) == partitions.Compacted(6, 2, 0)
    assert partitions.read(tmp_path).equals(before)
    assert len(list(tmp_path.glob("date=*/*"))) == 2
    assert partitions.compact(tmp_path) == partitions.Compacted(2, 2, 0)


def test_forgotten_viewers_are_hidden_and_then_gone(tmp_path):
    partitions.append(tmp_path, events(("a", 0, 0, 1), ("b", 0, 0, 2), ("c", 1, 0, 2)))
    marked = Tombstones({2: 0})
    assert ids(partitions.read(tmp_path, marked=marked)) == ["a"]
    assert ids(partitions.read(tmp_path)) == ["a", "b", "c"]
    assert partitions.compact(tmp_path, marked) == partitions.Compacted(2, 1, 2)
    assert ids(partitions.read(tmp_path)) == ["a"]


def test_dropped_days_do_not_come_back(tmp_path):
    batch = events(*((str(day), day, 0, 1) for day in range(5)))
    partitions.append(tmp_path, batch)
    assert partitions.compact(tmp_path, keep_days=2).num_rows_removed == 3
    assert partitions.append(tmp_path, batch) == partitions.Appended(0, 2, 3)
    assert ids(partitions.read(tmp_path)) == ["3", "4"]
    assert partitions.describe(tmp_path).kept_from == "2023-11-17"


def test_following_the_live_log(tmp_path):
    log = SqliteEventLog(tmp_path / "events.db")
    log.append(events(("a", 0, 0, 1), ("b", 1, 0, 1)).to_arrow())
    assert partitions.follow(tmp_path / "p", log, limit=1) == 2
    assert partitions.follow(tmp_path / "p", log) == 0
    log.append(events(("b", 1, 0, 1), ("c", 1, 2, 1)).to_arrow())
    assert partitions.follow(tmp_path / "p", log) == 1
    log.close()
    assert ids(partitions.read(tmp_path / "p")) == ["a", "b", "c"]


def test_a_reader_survives_a_compaction_at_the_wrong_moment(tmp_path, monkeypatch):
    for i in "ab":
        partitions.append(tmp_path, events((i, 0, 0, 1)))
    stale, current = partitions.describe(tmp_path), partitions.describe
    partitions.compact(tmp_path)
    answers = iter([stale])
    monkeypatch.setattr(partitions, "describe", lambda root: next(answers, None) or current(root))
    assert ids(partitions.read(tmp_path)) == ["a", "b"]


def test_nothing_yet_and_nonsense(tmp_path):
    assert len(partitions.read(tmp_path / "none")) == 0
    assert partitions.describe(tmp_path / "none") == partitions.Manifest()
    with pytest.raises(SchemaMismatch, match="event_id"):
        partitions.append(tmp_path, pl.DataFrame({c.KIND: ["click"]}))
    assert os.listdir(tmp_path) == []
