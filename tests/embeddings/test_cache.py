import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import rng
from core.errors import ConfigError
from embeddings.arithmetic import best_hit_rate, lru_hit_rate
from embeddings.cache import FREQUENCY, LFU, LRU, POLICIES, Cache, CacheStats
from embeddings.host_table import HostTable


class Memory:
    """A RowStore of rows that say who they are."""

    dim, dtype = 2, np.dtype(np.float32)

    def __init__(self, rows):
        self.values = np.stack([np.arange(rows), -np.arange(rows)], axis=1).astype(np.float32)
        self.asked = []

    def __len__(self):
        return len(self.values)

    def read(self, row_N):
        self.asked.append(row_N)
        return self.values[row_N]

    def write(self, row_N, vector_ND):
        self.values[row_N] = vector_ND


def zipf(rows, num, seed=1):
    chances = np.cumsum(1 / np.arange(1, rows + 1))
    return np.searchsorted(chances / chances[-1], rng.stream(seed, "zipf").random(num))


def steady_hit_rate(cache, lookups, batch=256):
    """Of the second half of the look-ups."""
    batches = lookups[: len(lookups) // batch * batch].reshape(-1, batch)
    for number, rows in enumerate(batches):
        if number == len(batches) // 2:
            cache.stats = CacheStats()
        cache.lookup(rows)
    return cache.stats.hit_rate


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=40, deadline=None)
@given(batches=st.lists(st.lists(st.integers(0, 19), max_size=12), max_size=20), capacity=st.integers(1, 25))
def test_a_lookup_is_always_the_row_and_the_directory_agrees(policy, batches, capacity):
    store = Memory(20)
    cache = Cache(store, capacity, policy)
    for number, rows in enumerate(batches):
        asked = np.array(rows, dtype=np.int64)
        np.testing.assert_array_equal(cache.lookup(asked), store.values[asked])
        changed = np.unique(asked)[:3]
        cache.write(changed, np.full((len(changed), 2), number, dtype=np.float32))
        np.testing.assert_array_equal(cache.lookup(asked), store.values[asked])
        assert cache.holds(np.arange(20)).sum() == len(cache) <= capacity


@settings(max_examples=40, deadline=None)
@given(batches=st.lists(st.lists(st.integers(0, 29), min_size=1, max_size=4), max_size=60), capacity=st.integers(4, 12))
def test_lru_keeps_exactly_the_latest(batches, capacity):
    cache, last = Cache(Memory(30), capacity, LRU), {}
    for instant, rows in enumerate(batches):
        cache.lookup(np.array(rows))
        last |= dict.fromkeys(rows, instant)
        held = np.flatnonzero(cache.holds(np.arange(30)))
        lost = [row for row in last if row not in held]
        assert len(held) == min(len(last), capacity)
        assert not lost or max(last[row] for row in lost) <= min(last[row] for row in held)


def test_a_row_asked_for_twice_is_read_once():
    store = Memory(10)
    cache = Cache(store, 3)
    cache.lookup(np.array([4, 4, 7]))
    assert [rows.tolist() for rows in store.asked] == [[4, 7]]
    assert cache.stats == CacheStats(lookups=3, reads=2)


def test_lru_hits_as_often_as_che_says():
    found = steady_hit_rate(Cache(Memory(20_000), 4_000, LRU), zipf(20_000, 100_000))
    assert found == pytest.approx(lru_hit_rate(20_000, 4_000), abs=0.01)


def test_lfu_hits_as_often_as_the_best_cache():
    found = steady_hit_rate(Cache(Memory(5_000), 1_000, LFU), zipf(5_000, 200_000))
    assert found == pytest.approx(best_hit_rate(5_000, 1_000), abs=0.01)


def test_only_aged_counts_follow_a_popularity_that_moves():
    before, after = zipf(5_000, 100_000), 4_999 - zipf(5_000, 50_000, seed=2)
    rates = {}
    for policy in (LFU, FREQUENCY):
        cache = Cache(Memory(5_000), 500, policy)
        steady_hit_rate(cache, before)
        rates[policy] = steady_hit_rate(cache, after)
    assert rates[FREQUENCY] > rates[LFU] + 0.1
    assert rates[FREQUENCY] == pytest.approx(best_hit_rate(5_000, 500), abs=0.03)


def test_a_scan_flushes_lru_alone():
    for policy, kept in ((LRU, False), (LFU, True), (FREQUENCY, True)):
        cache = Cache(Memory(10_000), 100, policy)
        hot = np.arange(100)
        for _ in range(5):
            cache.lookup(hot)
        cache.lookup(np.arange(5_000, 5_500))
        assert cache.holds(hot).all() == kept


def test_a_cache_in_front_of_a_file_writes_through(tmp_path):
    table = HostTable.create(tmp_path / "table.npy", 50, 4)
    cache = Cache(table, 5)
    cache.lookup(np.arange(5))
    cache.write(np.array([2, 30]), np.array([[1.0] * 4, [2.0] * 4], dtype=np.float32))
    assert cache.lookup(np.array([2, 30]))[:, 0].tolist() == table.read(np.array([2, 30]))[:, 0].tolist() == [1.0, 2.0]


def test_bad_caches_are_refused():
    with pytest.raises(ConfigError, match="known: lru, lfu, frequency"):
        Cache(Memory(3), 1, "mru")
    with pytest.raises(ConfigError, match="holds nothing"):
        Cache(Memory(3), 0)
