"""What every OnlineStore must do. An adapter opts in with a fixture named `store`."""

import itertools
import threading

import numpy as np
import pytest
import redis

from core.errors import StoreUnavailable
from core.ragged import Ragged
from core.settings import Settings
from features.cluster_store import open_store
from features.definitions import REMEMBERED_WATCHES, default_definitions
from features.kinds import SEEN_LIMIT
from features.layered_store import LayeredStore
from features.memory_store import MemoryStore
from features.redis_server import running
from features.redis_store import RedisStore
from features.states import ViewerState, ViewerStates, empty_state
from tests import clusters

NUM_SUMS = len(default_definitions().viewer_sums)
_NAMESPACES = itertools.count()


def states(by_viewer: dict[int, ViewerState], keep_from: int = 0) -> ViewerStates:
    parts = [by_viewer[viewer_id] for viewer_id in sorted(by_viewer)]
    lists = [
        Ragged(
            np.concatenate([[0], np.cumsum([len(getattr(part, name)) for part in parts])]),
            np.concatenate([getattr(part, name) for part in parts]),
        )
        for name in ("counts", "clicks", "watches")
    ]
    return ViewerStates(np.array(sorted(by_viewer)), *lists, keep_from=np.full(NUM_SUMS, keep_from))


def state(counts=(), clicks=(), watches=()) -> ViewerState:
    return ViewerState(
        np.array(counts, dtype=np.int64).reshape(-1, 3),
        np.array(clicks, dtype=np.int64).reshape(-1, 2),
        np.array(watches, dtype=np.int64).reshape(-1, 1),
    )


def assert_holds(store, viewer_id: int, expected: ViewerState) -> None:
    found = store.read([viewer_id])[0]
    assert sorted(found.counts.tolist()) == sorted(expected.counts.tolist())
    assert found.clicks.tolist() == expected.clicks.tolist()
    assert found.watches.tolist() == expected.watches.tolist()


class OnlineStoreContract:
    """The tests; `store` is an empty store."""

    def test_unknown_viewers_are_empty(self, store):
        for found in store.read([5, 2**63 - 1]):
            assert [len(found.counts), len(found.clicks), len(found.watches)] == [0, 0, 0]
            assert [found.counts.shape[1], found.clicks.shape[1], found.watches.shape[1]] == [3, 2, 1]
        assert store.read([]) == []
        assert store.size() == 0

    def test_what_is_at_hand_is_nothing_that_is_not_held(self, store):
        for found in store.at_hand([5, 2**63 - 1]):
            assert [len(found.counts), len(found.clicks), len(found.watches)] == [0, 0, 0]

    def test_what_is_added_is_read(self, store):
        update = state([(0, 10, 3), (4, -2, 2**40)], [(2**62 + 1, 100), (7, 90)], [5_000, 0])
        store.apply(states({3: update, 9: state([(1, 1, 1)])}, keep_from=-5))
        assert_holds(store, 3, update)
        assert_holds(store, 9, state([(1, 1, 1)]))
        assert store.size() == 2

    def test_updates_add_up(self, store):
        store.apply(states({1: state([(0, 10, 3), (1, 10, 1)], [(7, 90)], [50])}))
        store.apply(states({1: state([(0, 10, 4), (0, 11, 1)], [(8, 99), (9, 95)], [70, 60])}))
        assert_holds(store, 1, state([(0, 10, 7), (0, 11, 1), (1, 10, 1)], [(8, 99), (9, 95), (7, 90)], [70, 60, 50]))

    def test_counters_that_are_over_are_dropped(self, store):
        store.apply(states({1: state([(0, 10, 3), (1, 20, 1)])}))
        store.apply(states({1: state([(0, 30, 1)])}, keep_from=15))
        assert_holds(store, 1, state([(0, 30, 1), (1, 20, 1)]))

    def test_lists_are_bounded(self, store):
        for begin in range(0, SEEN_LIMIT + 300, 300):
            clicks = [(i, i) for i in range(begin, begin + 300)][::-1]
            store.apply(states({1: state(clicks=clicks, watches=[i for i, _ in clicks][:REMEMBERED_WATCHES])}))
        found = store.read([1])[0]
        assert found.clicks.shape == (SEEN_LIMIT, 2)
        assert found.clicks[0, 0] == 1_499
        assert found.watches[:, 0].tolist() == list(range(1_499, 1_499 - REMEMBERED_WATCHES, -1))

    def test_load_replaces(self, store):
        store.apply(states({1: state([(0, 10, 3)], [(7, 90)], [50]), 2: state([(0, 1, 1)])}))
        store.load(states({1: state([(2, 5, 9)], [(8, 80)]), 4: state(watches=[3])}))
        assert_holds(store, 1, state([(2, 5, 9)], [(8, 80)]))
        assert_holds(store, 2, state([(0, 1, 1)]))
        assert_holds(store, 4, state(watches=[3]))
        assert store.size() == 3

    def test_one_viewer_is_forgotten_and_twice_is_once(self, store):
        store.load(states({1: state([(0, 5, 1)], [(7, 70)], [3]), 2: state(watches=[4])}))
        assert [store.forget(1), store.forget(1), store.forget(99)] == [True, False, False]
        assert_holds(store, 1, state())
        assert_holds(store, 2, state(watches=[4]))

    def test_clear_forgets_everybody(self, store):
        store.load(states({viewer_id: state([(0, 5, 1)], [(7, 70)], [3]) for viewer_id in range(1500)}))
        store.clear()
        assert store.size() == 0
        assert_holds(store, 3, state())

    def test_writers_do_not_overwrite_each_other(self, store):
        def write():
            for _ in range(50):
                store.apply(states({1: state([(0, 10, 1)], [(7, 90)])}))

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert_holds(store, 1, state([(0, 10, 200)], [(7, 90)] * 200))


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with running(Settings(tmp_path_factory.mktemp("var"), None, None, None)) as found:
        yield found


class TestMemoryStore(OnlineStoreContract):
    @pytest.fixture
    def store(self):
        return MemoryStore()


class TestRedisStore(OnlineStoreContract):
    @pytest.fixture
    def store(self, url):
        store = RedisStore(url, f"contract{next(_NAMESPACES)}", timeout_s=5.0)
        yield store
        store.close()


@pytest.fixture(scope="module")
def ports(tmp_path_factory):
    with clusters.cluster(tmp_path_factory.mktemp("cluster")) as ports:
        yield ports


class TestClusterStore(OnlineStoreContract):
    @pytest.fixture
    def store(self, ports):
        store = open_store(f"redis+cluster://127.0.0.1:{ports[2]}", f"contract{next(_NAMESPACES)}", timeout_s=5.0)
        yield store
        store.close()

    def test_viewers_are_spread_and_every_node_answers_for_its_own(self, store, ports):
        store.load(states({viewer_id: state([(0, 5, viewer_id)]) for viewer_id in range(1, 301)}))
        held = []
        for port in ports:
            with redis.Redis(port=port) as client:
                held.append(sum(key.startswith(f"{store._namespace}:".encode()) for key in client.scan_iter()))
        assert sum(held) == 300
        assert min(held) > 60
        assert [found.counts[0, 2] for found in store.read(range(1, 301))] == list(range(1, 301))

    def test_one_server_is_no_cluster(self, url):
        store = open_store(url, "alone", timeout_s=5.0)
        assert type(store) is RedisStore
        store.close()


class TestLayeredStore(OnlineStoreContract):
    """Over a base that knew one viewer, who is forgotten."""

    @pytest.fixture
    def store(self):
        store = LayeredStore(states({77: state([(0, 1, 1)])}, keep_from=-9), MemoryStore())
        store.settle()
        assert store.forget(77)
        return store


class TestUnsettledLayeredStore(OnlineStoreContract):
    """While the base is brought up to date, by one thread."""

    @pytest.fixture
    def store(self):
        return LayeredStore(states({77: state([(0, 1, 1)])}, keep_from=-9).without([77]), MemoryStore())

    def test_writers_do_not_overwrite_each_other(self):
        """There is one."""


def test_a_viewer_is_what_the_base_knew_and_what_came_since():
    base = states({3: state([(0, 10, 3), (1, -2, 1)], [(7, 70)], [5]), 8: state([(2, 1, 1)])}, keep_from=-9)
    store = LayeredStore(base, MemoryStore())
    assert_holds(store, 3, base[0])
    store.apply(states({3: state([(0, 10, 1)], [(8, 80)])}, keep_from=-9))
    store.settle()
    store.apply(states({3: state([(0, 10, 2), (0, 11, 1)], [(9, 90)], [6]), 5: state(watches=[4])}, keep_from=-9))
    assert_holds(store, 3, state([(0, 10, 6), (0, 11, 1), (1, -2, 1)], [(9, 90), (8, 80), (7, 70)], [6, 5]))
    assert_holds(store, 5, state(watches=[4]))
    assert_holds(store, 4, state())
    assert [found.counts.tolist() for found in store.read([8, 8])] == [[[2, 1, 1]]] * 2
    assert store.size() == 4  # the third counts in both layers


def test_forgetting_reaches_both_layers():
    store = LayeredStore(states({3: state([(0, 10, 3)]), 4: state(watches=[1])}), MemoryStore())
    assert store.forget(4)
    store.apply(states({4: state(watches=[2])}))
    assert_holds(store, 4, state(watches=[2]))
    store.settle()
    store.apply(states({3: state([(0, 10, 2)])}))
    assert [store.forget(3), store.forget(3)] == [True, False]
    store.apply(states({3: state([(0, 12, 1)])}))
    assert_holds(store, 3, state([(0, 12, 1)]))


def test_while_the_store_is_down_the_base_is_at_hand():
    class Down(MemoryStore):
        def read(self, viewer_ids):
            raise StoreUnavailable("gone")

        def at_hand(self, viewer_ids):
            return [empty_state()] * len(viewer_ids)

    store = LayeredStore(states({3: state([(0, 10, 3)], [(7, 70)])}), Down())
    with pytest.raises(StoreUnavailable):
        store.read([3])
    known, unknown = store.at_hand([3, 4])
    assert (known.clicks.tolist(), len(unknown.clicks)) == ([[7, 70]], 0)
