import dataclasses

import numpy as np

from core import columns as c
from core import events as ev
from core.clock import DAY_MS
from retrieval.sources import Query
from serving import fakes, filters
from serving.suppressed import Suppressed


def query(parts, viewer_ids, at=fakes.NOW, current=-1):
    ids, instants = np.array(viewer_ids), np.full(len(viewer_ids), at)
    part = parts.features.viewer_part(ids, instants)
    return Query(part, None, instants, np.full(len(ids), current, dtype=np.int32)), ids


def event(kind, viewer_id, video_id, n=0):
    cls = ev.KINDS[kind]
    return cls(event_id=f"{kind}{viewer_id}{video_id}{n}", event_at=1, received_at=1, viewer_id=viewer_id, video_id=video_id)


def test_every_rule_says_what_it_removed_and_each_row_counts_once():
    suppressed = Suppressed(fakes.catalogue(50))
    suppressed.block(np.array([1, 2], dtype=np.int32))
    parts = fakes.parts(50, {1: [2, 3], 2: []}, suppressed=suppressed)
    about, ids = query(parts, [1, 2], current=4)
    rows = np.array([[1, 2, 3, 4, 5, -1]] * 2, dtype=np.int32)
    outcome = filters.apply(parts.filters, about, ids, rows)
    assert outcome.kept_BS.tolist() == [[False] * 4 + [True, False], [False, False, True, False, True, False]]
    removed = {reason: counts.tolist() for reason, counts in outcome.removed.items()}
    assert removed == {
        "removed or blocked": [2, 2],
        "not uploaded yet": [0, 0],
        "being watched": [1, 1],
        "already seen": [1, 0],
        "dismissed": [0, 0],
    }


def test_what_is_not_uploaded_at_the_request_is_not_shown():
    parts = fakes.parts(10)
    about, ids = query(parts, [5], at=fakes.NOW - 3 * DAY_MS)
    kept = filters.NotYetUploaded(parts.catalogue.uploaded_at).keep(about, ids, np.arange(10, dtype=np.int32)[None])
    assert kept.tolist() == [[True] * 7 + [False] * 3]


def test_an_unknown_upload_time_is_no_reason_to_hide():
    about, ids = query(fakes.parts(3), [5])
    assert filters.NotYetUploaded(np.zeros(3, np.int64)).keep(about, ids, np.array([[0, 1, 2]], np.int32)).all()


def test_seen_agrees_with_sets_for_many_requests():
    random = np.random.default_rng(0)
    seen = tuple(random.integers(-1, 40, size).astype(np.int32) for size in (0, 1, 17, 40))
    rows = random.integers(-1, 40, (4, 30)).astype(np.int32)
    about, ids = query(fakes.parts(40), [1, 2, 3, 4])
    about = dataclasses.replace(about, part=dataclasses.replace(about.part, seen=seen))
    kept = filters.Seen(40).keep(about, ids, rows)
    for i in range(4):
        assert [bool(k) for k in kept[i]] == [row < 0 or row not in set(seen[i].tolist()) for row in rows[i].tolist()]


def test_dismissals_hold_for_one_viewer_and_removals_for_all():
    suppressed = Suppressed(fakes.catalogue(10))
    suppressed.apply(
        ev.to_table([event("dismiss", 1, 3), event("remove", 7, 5), event("click", 1, 6), event("dismiss", 1, 999)])
    )
    assert suppressed.dismissed(1).tolist() == [2]
    assert suppressed.dismissed(2).tolist() == []
    assert np.flatnonzero(suppressed.removed_V).tolist() == [4]


def test_dismissals_are_bounded_and_repeating_one_changes_nothing():
    suppressed = Suppressed(fakes.catalogue(10), max_viewers=2, per_viewer=3)
    suppressed.apply(ev.to_table([event("dismiss", 1, video, n) for n, video in enumerate([1, 2, 3, 4, 4])]))
    assert suppressed.dismissed(1).tolist() == [3, 2, 1]
    suppressed.apply(ev.to_table([event("dismiss", viewer, 1) for viewer in (2, 3)]))
    assert suppressed.dismissed(1).tolist() == []
    assert suppressed.dismissed(3).tolist() == [0]


def test_events_without_a_video_are_ignored():
    suppressed = Suppressed(fakes.catalogue(10))
    table = ev.to_table([event("remove", 1, None), event("dismiss", 1, None)])
    assert table[c.VIDEO_ID].null_count == 2
    suppressed.apply(table)
    assert not suppressed.removed_V.any()
