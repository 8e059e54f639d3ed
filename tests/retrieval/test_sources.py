import threading

import numpy as np
import pytest

from core.clock import DAY_MS, MINUTE_MS
from features.schema import ViewerPart
from retrieval.cowatch import CoWatch
from retrieval.sources import CoWatchSource, FreshSource, Query, TrendingSource, TwoTowerSource
from serving.fakes import NOW, Counts, Index


def query(histories=((),), viewer_BD=None, at=None):
    size, length = len(histories), 4
    history = np.array([(list(h) + [-1] * length)[:length] for h in histories], dtype=np.int32)
    part = ViewerPart(
        np.zeros((size, 0), np.float32), np.zeros((size, 0), np.int32), history, np.zeros((size, length), np.float32), ()
    )
    instants = np.full(size, NOW, dtype=np.int64) if at is None else np.array(at, dtype=np.int64)
    return Query(part, viewer_BD, instants, np.full(size, -1, dtype=np.int32))


def test_two_tower_returns_the_order_of_the_inner_product():
    random = np.random.default_rng(0)
    videos, viewers = random.normal(size=(20, 4)).astype(np.float32), random.normal(size=(3, 4)).astype(np.float32)
    rows = TwoTowerSource(Index(videos)).candidates(query([()] * 3, viewers), 20)
    assert np.array_equal(rows, np.argsort(-(viewers @ videos.T), axis=1, kind="stable"))


def test_two_tower_without_a_vector_finds_nothing():
    assert TwoTowerSource(Index(np.eye(3, dtype=np.float32))).candidates(query(), 5).shape == (1, 0)


def test_cowatch_adds_up_over_recent_watches_and_newer_ones_count_more():
    rows = np.array([[2, 3], [3, 4], [-1, -1], [-1, -1], [-1, -1]], dtype=np.int32)
    weights = np.array([[0.5, 0.4], [0.4, 0.5], [0, 0], [0, 0], [0, 0]], dtype=np.float32)
    source = CoWatchSource(CoWatch(rows, weights), seeds=2, decay=0.5)
    # history 0 (newest), 1: video 3 gets .4 + .5·.4 = .6, video 2 .5, video 4 .25.
    assert source.candidates(query([(0, 1)]), 5).tolist() == [[3, 2, 4]]
    # the other way round: video 3 gets .4 + .5·.4 = .6, video 4 .5, video 2 .25.
    assert source.candidates(query([(1, 0)]), 5).tolist() == [[3, 4, 2]]


def test_cowatch_pads_and_cuts():
    source = CoWatchSource(
        CoWatch(np.array([[1, 2], [-1, -1], [0, -1]], np.int32), np.array([[0.9, 0.8], [0, 0], [0.7, 0]], np.float32))
    )
    assert source.candidates(query([(0,), (), (2,)]), 10).tolist() == [[1, 2], [-1, -1], [0, -1]]
    assert source.candidates(query([(0,), ()]), 1).tolist() == [[1], [-1]]
    assert source.candidates(query([()]), 3).shape == (1, 0)


def test_trending_is_by_clicks_and_never_from_the_future():
    counts = Counts(np.array([5, 0, 9, 7], np.float32), np.zeros(4, np.float32))
    uploaded = np.array([0, 0, NOW + DAY_MS, NOW - DAY_MS])
    source = TrendingSource(counts, uploaded)
    assert source.candidates(query(), 10).tolist() == [[3, 0]]
    assert source.candidates(query([(), ()], at=[NOW, NOW + 2 * DAY_MS]), 2).tolist() == [[3, 0], [2, 3]]


def test_trending_looks_again_only_after_the_refresh_time():
    class Counting(Counts):
        asked = 0

        def clicks(self, at):
            Counting.asked += 1
            return super().clicks(at)

    source = TrendingSource(Counting(np.ones(3, np.float32), np.zeros(3, np.float32)), np.zeros(3, np.int64), MINUTE_MS)
    start = NOW // MINUTE_MS * MINUTE_MS
    for at in (start, start + 1, start + MINUTE_MS - 1):
        source.candidates(query(at=[at]), 2)
    assert Counting.asked == 1
    source.candidates(query(at=[start + MINUTE_MS]), 2)
    assert Counting.asked == 2


def test_fresh_is_recent_uploads_least_shown_first():
    uploaded = np.array([NOW - 9 * DAY_MS, NOW - 2 * DAY_MS, NOW - DAY_MS, NOW + DAY_MS, 0])
    source = FreshSource(Counts(np.zeros(5, np.float32), np.array([0, 4, 9, 0, 0], np.float32)), uploaded, max_age_days=7)
    assert source.candidates(query(), 10).tolist() == [[1, 2]]
    assert source.candidates(query(at=[NOW + DAY_MS]), 10).tolist() == [[3, 1, 2]]


def test_fresh_without_upload_times_finds_nothing():
    source = FreshSource(Counts(np.zeros(3, np.float32), np.zeros(3, np.float32)), np.zeros(3, np.int64))
    assert source.candidates(query(), 10).shape == (1, 0)


@pytest.mark.parametrize("size", [0, 1])
def test_sources_over_tiny_catalogues(size):
    counts, times = Counts(np.ones(size, np.float32), np.ones(size, np.float32)), np.full(size, NOW - 1)
    empty = CoWatch(np.full((size, 2), -1, np.int32), np.zeros((size, 2), np.float32))
    for source in (TrendingSource(counts, times), FreshSource(counts, times)):
        assert (source.candidates(query(), 5) >= 0).sum() == size
    if size:
        assert CoWatchSource(empty).candidates(query([(0,)]), 5).shape == (1, 0)


def test_following_the_present_a_new_list_is_made_while_the_last_one_serves():
    made, go_on = threading.Event(), threading.Event()

    class Slow(Counts):
        of_now = True
        calls = 0

        def clicks(self, at):
            Slow.calls += 1
            if Slow.calls > 1:
                made.set()
                go_on.wait(5)
                return np.array([0.0, 0.0, 9.0], dtype=np.float32)
            return np.array([9.0, 0.0, 0.0], dtype=np.float32)

    nothing = np.zeros(3, dtype=np.float32)
    source = TrendingSource(Slow(nothing, nothing), np.ones(3, dtype=np.int64), refresh_ms=1_000)
    assert source.candidates(query(at=[10_000]), 1).tolist() == [[0]]
    assert source.candidates(query(at=[11_000]), 1).tolist() == [[0]]
    assert made.wait(5)
    assert source.candidates(query(at=[11_500]), 1).tolist() == [[0]]
    go_on.set()
    for thread in [each for each in threading.enumerate() if each.name == "shared lists"]:
        thread.join(5)
    assert source.candidates(query(at=[11_900]), 1).tolist() == [[2]]
    assert Slow.calls == 2
