import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import events as ev
from core.clock import DAY_MS, HOUR_MS
from core.errors import BadInput
from features.definitions import default_definitions
from features.tiles import COUNT, EventArrays, Sum
from features.windows import Recent, StepSums, Timeline, totals
from tests.features import logs
from tests.features.test_tiles import arrays, row

CATALOGUE = logs.catalogue()
HOURS = Sum(ev.CLICK, COUNT, HOUR_MS, 3)


def sum_at(spec, *rows, at):
    found = arrays(*rows)
    timeline = Timeline.of(found, (spec,), len(CATALOGUE))
    steps = StepSums.of(timeline, found, found.video_row, spec)
    return totals({spec: steps}, timeline.keys(np.zeros(len(at), dtype=np.int32), np.array(at)))[spec].tolist()


def test_counts_from_the_moment_after_receipt_until_its_tile_leaves():
    received = 10 * HOUR_MS + 1_800_000
    at = [received, received + 1, 12 * HOUR_MS, 13 * HOUR_MS - 1, 13 * HOUR_MS]
    assert sum_at(HOURS, row(ev.CLICK, received), at=at) == [0, 1, 1, 1, 0]


def test_a_late_event_counts_for_what_is_left_of_its_window():
    late = row(ev.CLICK, 12 * HOUR_MS, 10 * HOUR_MS)
    assert sum_at(HOURS, late, at=[11 * HOUR_MS, 12 * HOUR_MS, 12 * HOUR_MS + 1, 13 * HOUR_MS]) == [0, 0, 1, 0]
    assert sum_at(HOURS, row(ev.CLICK, 13 * HOUR_MS, 10 * HOUR_MS), at=[13 * HOUR_MS, 13 * HOUR_MS + 1, 2**50]) == [0, 0, 0]


def naive(found: EventArrays, spec: Sum, entity: np.ndarray, which: int, at: int) -> int:
    """The definition, one event at a time."""
    total = 0
    for position in found.positions(spec.event).tolist():
        fresh = found.event_at[position] // spec.tile_ms > at // spec.tile_ms - spec.tiles
        if entity[position] == which and found.received_at[position] < at and fresh:
            total += int(found.amounts(spec, np.array([position]))[0])
    return total


@settings(max_examples=30, deadline=None)
@given(logs.event_logs(), st.lists(st.tuples(logs.instants(), st.integers(0, logs.NUM_VIDEOS - 1)), min_size=1, max_size=8))
def test_equals_the_definition(events, questions):
    found = EventArrays.of(events, CATALOGUE)
    sums = default_definitions().video_sums
    timeline = Timeline.of(found, sums, len(CATALOGUE))
    steps = {spec: StepSums.of(timeline, found, found.video_row, spec) for spec in sums}
    at, rows = np.array([q[0] for q in questions]), np.array([q[1] for q in questions])
    answers = totals(steps, timeline.keys(rows, at))
    for spec in sums:
        expected = [naive(found, spec, found.video_row, which, t) for t, which in questions]
        assert answers[spec].tolist() == expected


def test_unknown_entities_and_empty_logs_have_nothing():
    found = arrays(row(ev.CLICK, 5))
    timeline = Timeline.of(found, (HOURS,), 1)
    steps = StepSums.of(timeline, found, found.video_row, HOURS)
    assert steps.at(timeline.keys(np.array([-1]), np.array([7]))).tolist() == [0]
    assert sum_at(HOURS, at=[0, 2**60]) == [0, 0]


def test_recent_is_latest_first_and_strictly_before():
    found = arrays(*(row(ev.CLICK, t, viewer_id=v) for t, v in [(1, 1), (2, 2), (3, 1), (3, 1), (9, 1)]))
    rows = found.viewer_id - 1
    timeline = Timeline.of(found, (HOURS,), 2)
    recent = Recent.of(timeline, found, rows, np.arange(5), 2)
    who = np.array([0, 0, 1, -1])
    begin, end = recent.until(who, timeline.keys(who, np.array([9, 3, 99, 99])))
    positions, exists = recent.latest(begin, end, 2)
    assert np.where(exists, positions, -1).tolist() == [[3, 2], [0, -1], [1, -1], [-1, -1]]


def test_a_span_that_does_not_fit_is_refused():
    found = arrays(row(ev.CLICK, 0), row(ev.CLICK, 10_000 * DAY_MS))
    with pytest.raises(BadInput, match="split the log"):
        Timeline.of(found, (HOURS,), 2**40)
