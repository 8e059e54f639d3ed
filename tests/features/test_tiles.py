import numpy as np
from hypothesis import given, settings

from core import columns as c
from core import events as ev
from core.clock import DAY_MS, HOUR_MS
from features.tiles import COUNT, KINDS, SHARE_PCT, WATCH_MS, EventArrays, Sum, distinct
from tests.features import logs

CATALOGUE = logs.catalogue()


def row(kind, received_at, event_at=None, *, viewer_id=1, video_id=100, value=None):
    return {
        c.KIND: kind,
        c.RECEIVED_AT: received_at,
        c.EVENT_AT: received_at if event_at is None else event_at,
        c.VIEWER_ID: viewer_id,
        c.VIDEO_ID: video_id,
        c.VALUE: value,
    }


def arrays(*rows) -> EventArrays:
    return EventArrays.of(logs.frame(list(rows)), CATALOGUE)


def test_an_event_cannot_happen_after_it_was_received():
    assert arrays(row(ev.CLICK, 100, 900), row(ev.CLICK, 200, 50)).event_at.tolist() == [100, 50]


def test_watch_amounts_are_fixed_point():
    found = arrays(
        row(ev.WATCH, 1, value=10.0004),  # video 100 lasts 40 s
        row(ev.WATCH, 2, value=1e9),
        row(ev.WATCH, 3, value=20.0, video_id=111),  # unknown duration
        row(ev.WATCH, 4, value=20.0, video_id=999),  # unknown video
        row(ev.WATCH, 5, value=None),
        row(ev.WATCH, 6, value=float("nan")),
        row(ev.WATCH, 7, value=-3.0),
    )
    assert found.watch_ms.tolist() == [10_000, DAY_MS, 20_000, 20_000, 0]
    assert found.share_pct.tolist() == [25, 100, 0, 0, 0]
    assert found.video_row.tolist() == [0, 0, 11, -1, 0]


def test_amounts_by_quantity():
    found = arrays(row(ev.CLICK, 1), row(ev.WATCH, 2, value=10.0))
    at = found.positions(ev.WATCH)
    assert at.tolist() == [1]
    assert [found.amounts(Sum(ev.WATCH, q, 1, 1), at).tolist() for q in (COUNT, WATCH_MS, SHARE_PCT)] == [[1], [10_000], [25]]


def test_tiles_are_floors():
    spec = Sum(ev.CLICK, COUNT, HOUR_MS, 3)
    assert spec.tile(np.array([-1, 0, HOUR_MS - 1, HOUR_MS])).tolist() == [-1, 0, 0, 1]


def test_distinct_keeps_the_first_of_each():
    one, two = Sum(ev.CLICK, COUNT, 1, 1), Sum(ev.CLICK, COUNT, 1, 2)
    assert distinct([two, one, two]) == (two, one)


@settings(max_examples=30, deadline=None)
@given(logs.event_logs())
def test_any_order_of_rows_becomes_log_order(events):
    shuffled = events.sample(fraction=1.0, shuffle=True, seed=1)
    expected, found = EventArrays.of(events, CATALOGUE), EventArrays.of(shuffled, CATALOGUE)
    assert (np.diff(found.received_at) >= 0).all()
    assert sorted(found.watch_ms.tolist()) == sorted(expected.watch_ms.tolist())
    assert found.before(logs.START_AT).received_at.tolist() == [t for t in expected.received_at.tolist() if t < logs.START_AT]


def test_other_kinds_are_left_out():
    assert len(arrays(*(row(kind, 1, value=1.0) for kind in ev.KINDS))) == len(KINDS)
