from dataclasses import replace

import numpy as np
import pytest

from data.interactions import group
from retrieval.examples import InteractionParts, bare_schema, from_interactions, history_part

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def short(planted):
    return replace(bare_schema(planted.catalogue), history_length=4)


def small_log(ordered=True):
    """Viewer 1 watches rows 0…5 (3 and 4 in the same instant), viewer 2 watches rows 9 and 8."""
    viewers = np.array([1, 1, 1, 1, 1, 1, 2, 2])
    rows = np.array([0, 1, 2, 3, 4, 5, 9, 8], dtype=np.int32)
    at = np.array([1, 2, 3, 4, 4, 6, 1, 5]) * HOUR_MS
    return group(viewers, rows, at, 10, ordered=ordered)


def test_history_is_strictly_earlier_and_most_recent_first(short):
    part = InteractionParts(small_log(), short).of(np.arange(8))
    expected = [
        [-1] * 4,
        [0, -1, -1, -1],
        [1, 0, -1, -1],
        [2, 1, 0, -1],
        [2, 1, 0, -1],
        [4, 3, 2, 1],
        [-1] * 4,
        [9, -1, -1, -1],
    ]
    assert part.history_BL.tolist() == expected
    assert part.history_age_BL[5].tolist() == [2, 2, 3, 4]
    assert part.history_age_BL[7].tolist() == [4, 0, 0, 0]


def test_viewers_at_an_instant(short):
    at = np.array([4, 4, 100]) * HOUR_MS
    part = InteractionParts(small_log(), short).before(np.array([1, 7, 2]), at, with_seen=True)
    assert part.history_BL.tolist() == [[2, 1, 0, -1], [-1] * 4, [8, 9, -1, -1]]
    assert [rows.tolist() for rows in part.seen] == [[0, 1, 2], [], [9, 8]]
    assert part.dense_BF.shape == (3, 0)


def test_without_order_history_is_any_of_the_others(short):
    log = small_log(ordered=False)
    part = InteractionParts(log, short, seed=3).of(np.arange(8))
    for own, history in zip(log.video_rows, part.history_BL, strict=True):
        found = history[history >= 0]
        assert own not in found
        assert len(set(found)) == len(found)
        assert set(found) <= ({8, 9} if own > 5 else set(range(6)))
    assert (part.history_BL >= 0).sum(axis=1).tolist() == [4] * 6 + [1] * 2
    assert (part.history_age_BL == 0).all()


def test_examples_may_begin_late_with_full_histories(short):
    examples = from_interactions(small_log(), short, since=5 * HOUR_MS)
    assert examples.num == 2
    assert examples.video_rows.tolist() == [5, 8]
    assert examples.viewer_part(np.array([0])).history_BL.tolist() == [[4, 3, 2, 1]]


def test_an_empty_log_has_viewers_without_history(short):
    empty = group(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int64), 10)
    assert InteractionParts(empty, short).before(np.array([5]), np.array([9])).history_BL.tolist() == [[-1] * 4]


def test_given_histories_are_cut_to_the_latest(short):
    part = history_part([np.arange(6), np.array([], dtype=np.int32)], short)
    assert part.history_BL.tolist() == [[5, 4, 3, 2], [-1] * 4]
    assert part.seen[0].tolist() == list(range(6))
