"""What the audit of features itself promises: it finds what is wrong, and nothing where nothing is."""

import dataclasses

import numpy as np
import pytest

from core import columns as c
from core import rng
from features import audit, offline, windows
from features.definitions import default_definitions
from tests.features import logs

CATALOGUE, VIEWERS, DEFINITIONS = logs.catalogue(), logs.viewers(), default_definitions(shelved=True)
EVENTS = logs.random_log(5, 6_000)
VIEWER_IDS, AT = np.array([1, 2, 3, 77]), logs.START_AT + np.array([5, 18, 30, 39]) * 86_400_000
VIDEO_RK = np.arange(12, dtype=np.int32).reshape(4, 3)


def built():
    return offline.build(
        EVENTS, CATALOGUE, VIEWERS, viewer_ids=VIEWER_IDS, at=AT, video_rows=VIDEO_RK, with_seen=True, definitions=DEFINITIONS
    )


def batch():
    return built().schema, built().batch(np.arange(4))


def differences(left, right):
    schema, _ = batch()
    found = audit.values(schema, left), audit.values(schema, right)
    return audit.differences(*found, VIEWER_IDS, AT, CATALOGUE.video_ids[VIDEO_RK])


def test_values_are_named_and_all_there():
    schema, read = batch()
    values = audit.values(schema, read)
    names = [schema.viewer_dense, schema.viewer_codes, schema.video_dense, schema.cross_dense, schema.cross_codes]
    assert set(values) == {name for part in names for name in part} | {audit.HISTORY, audit.AGES, audit.SEEN}
    np.testing.assert_array_equal(values["video_ctr_7d"], read.video_dense_BKF[:, :, schema.video_dense.index("video_ctr_7d")])
    assert values[audit.HISTORY][1][0] == read.viewer.history_BL[1, 0]


def test_equal_batches_do_not_differ():
    assert differences(batch()[1], batch()[1]) == []


def test_a_difference_is_named_with_its_example():
    schema, known = batch()
    wrong = known.video_dense_BKF.copy()
    wrong[2, 1, schema.video_dense.index("video_duration")] += 1
    viewer = dataclasses.replace(known.viewer, history_BL=known.viewer.history_BL[:, ::-1])
    found = {one.feature: one for one in differences(dataclasses.replace(known, video_dense_BKF=wrong, viewer=viewer), known)}
    assert set(found) == {"video_duration", audit.HISTORY}
    one = found["video_duration"]
    assert (one.count, one.viewer_id, one.video_id, one.at) == (1, 3, CATALOGUE.video_ids[VIDEO_RK[2, 1]], AT[2])
    assert one.served == pytest.approx(one.offline + 1)
    assert found[audit.HISTORY].video_id is None


def test_batches_join_in_order():
    _, whole = batch()
    parts = [built().batch(np.array([row])) for row in range(4)]
    assert differences(audit.joined(parts), whole) == []
    assert [part.fingerprint(0) for part in parts] == [whole.fingerprint(row) for row in range(4)]


def test_no_row_of_ten_thousand_random_joins_knows_its_future():
    found = audit.future_rows(EVENTS, CATALOGUE, VIEWERS, DEFINITIONS, rng.stream(1, "joins"))
    assert (found.joins, found.rows, found.features) == (10_240, 0, ())


@pytest.mark.parametrize("where", ["latest", "sums"])
def test_an_event_received_at_the_very_instant_is_the_future(monkeypatch, where):
    """Each half of the point-in-time reading, let in one event too early."""
    if where == "latest":
        monkeypatch.setattr(
            windows.Recent, "until", lambda self, rows, keys: (self.offsets[rows], np.searchsorted(self.keys, keys, "right"))
        )
    else:
        at = windows.StepSums.at
        monkeypatch.setattr(windows.StepSums, "at", lambda self, keys: at(self, keys + 1))
    found = audit.future_rows(
        EVENTS, CATALOGUE, VIEWERS, DEFINITIONS, rng.stream(1, "joins"), num_instants=8, rows_per_instant=20
    )
    assert found.rows > 0
    assert set(found.features) & ({"hours_since_click", audit.HISTORY} if where == "latest" else {"video_clicks_1d"})


def test_late_events_are_no_future():
    """What happened before and was received after is unknown, on both sides."""
    late = EVENTS.filter(EVENTS[c.EVENT_AT] < EVENTS[c.RECEIVED_AT])
    assert len(late) > 100
    assert audit.future_rows(late, CATALOGUE, VIEWERS, DEFINITIONS, rng.stream(2, "joins"), num_instants=8).rows == 0
