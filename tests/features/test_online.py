import numpy as np
import pytest

from core import columns as c
from core import events as ev
from core.errors import StoreUnavailable
from features.definitions import default_definitions
from features.memory_store import MemoryStore
from features.online import OnlineFeatures
from features.video_state import VideoState
from tests.features import logs
from tests.features.test_tiles import row

CATALOGUE, VIEWERS, DEFINITIONS = logs.catalogue(), logs.viewers(), default_definitions()
T = logs.START_AT


class DownStore(MemoryStore):
    def apply(self, updates):
        raise StoreUnavailable("down")

    def read(self, viewer_ids):
        raise StoreUnavailable("down")

    def at_hand(self, viewer_ids):
        return MemoryStore().read(viewer_ids)


def online(store=None):
    videos = VideoState.empty(CATALOGUE, DEFINITIONS)
    return OnlineFeatures(DEFINITIONS, CATALOGUE, VIEWERS, store or MemoryStore(), videos), videos


def table(*rows):
    return logs.frame(list(rows)).to_arrow().cast(c.EVENTS)


def test_a_click_is_in_the_next_history():
    features, _ = online()
    features.apply(table(row(ev.CLICK, T, video_id=104)))
    part = features.viewer_part(np.array([1, 2]), np.array([T + 1, T + 1]))
    assert part.history_BL[:, 0].tolist() == [4, -1]
    assert part.seen[0].tolist() == [4]
    assert part.seen[1].tolist() == []


def test_nothing_is_counted_when_the_store_is_down():
    features, videos = online(DownStore())
    with pytest.raises(StoreUnavailable):
        features.apply(table(row(ev.CLICK, T)))
    assert videos.counts.sum() == 0
    with pytest.raises(StoreUnavailable):
        features.viewer_part(np.array([1]), np.array([T]))
    part = features.blank_part(np.array([1]), np.array([T]))
    assert len(features.assemble(part, np.array([[0, 1]], dtype=np.int32), np.array([T])).video_BK[0]) == 2


def test_a_replica_feeds_only_its_own_video_counters():
    store = MemoryStore()
    features, videos = online(store)
    features.apply(table(row(ev.CLICK, T)), to_store=False)
    assert store.size() == 0
    assert videos.counts.sum() > 0


def test_events_that_no_feature_reads_change_nothing():
    store = MemoryStore()
    features, videos = online(store)
    features.apply(table(row(ev.REGRET, T), row(ev.UPLOAD, T)))
    features.apply(table())
    assert (store.size(), videos.counts.sum()) == (0, 0)


def test_empty_batches():
    features, _ = online()
    nobody = np.array([], dtype=np.int64)
    part = features.viewer_part(nobody, nobody)
    assert len(part) == 0
    assert features.assemble(part, np.empty((0, 3), dtype=np.int32), nobody).video_dense_BKF.shape[:2] == (0, 3)
    one = features.viewer_part(np.array([1]), np.array([T]))
    assert features.assemble(one, np.empty((1, 0), dtype=np.int32), np.array([T])).cross_dense_BKF.shape[:2] == (1, 0)


def test_seen_videos_that_left_the_catalogue_are_dropped():
    store = MemoryStore()
    features, _ = online(store)
    features.apply(table(row(ev.CLICK, T, video_id=100), row(ev.CLICK, T + 1, video_id=105)))
    smaller = type(CATALOGUE).of(CATALOGUE.frame[3:])
    later = OnlineFeatures(DEFINITIONS, smaller, VIEWERS, store, VideoState.empty(smaller, DEFINITIONS))
    assert later.viewer_part(np.array([1]), np.array([T + 9])).seen[0].tolist() == [2]
