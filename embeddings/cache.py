"""A cache of rows in front of a slow table, looked up a batch at a time.

On a machine with a GPU the cache is its memory and the table the host's; this code does not care. Every policy gives each row a
*priority*, and the cache keeps the rows of highest priority:

    lru        the instant of the last look-up; every newcomer is admitted
    lfu        the number of look-ups so far, of rows outside the cache too (as fbgemm's LFU cache counts them)
    frequency  the same, halved after every 16 × capacity look-ups, so that it follows a popularity that moves
               (the reset of TinyLFU: Einziger, Friedman, Manes 2017, with exact counters in place of a sketch)

A newcomer replaces the row of lowest priority if its own is at least as high. A row asked for twice in a batch is read once,
so large batches hit more often than a cache that looks up one row at a time. Besides its rows, a cache takes 4 bytes per row of
the table for the directory and 4 (lru: 8) for priorities: 1 % of a table of 256 numbers in fp32.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError

LRU, LFU, FREQUENCY = "lru", "lfu", "frequency"
POLICIES = (LRU, LFU, FREQUENCY)
_AGE_AFTER = 16
_POOL_SHARE = 16


Integers = NDArray[np.signedinteger[Any]]


class RowStore(Protocol):
    """What a cache stands in front of (`embeddings.host_table`)."""

    def __len__(self) -> int: ...

    @property
    def dim(self) -> int:
        """Numbers in a row."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Of a number."""
        ...

    def read(self, row_N: NDArray[np.int64]) -> NDArray:
        """Copies of some rows. [N, D]"""
        ...

    def write(self, row_N: NDArray[np.int64], vector_ND: NDArray) -> None:
        """Replace some rows."""
        ...


@dataclass
class CacheStats:
    """What a cache did so far."""

    lookups: int = 0
    reads: int = 0
    """Rows that were read from the table behind."""

    @property
    def hit_rate(self) -> float:
        """Share of look-ups that cost no read."""
        return 1.0 - self.reads / self.lookups if self.lookups else 0.0


class Cache:
    """The rows of highest priority of a table, held in memory."""

    def __init__(self, store: RowStore, capacity: int, policy: str = LRU) -> None:
        """Raises: ConfigError: an unknown policy, or a capacity without room for a row."""
        if policy not in POLICIES:
            raise ConfigError(f"there is no cache policy '{policy}'; known: {', '.join(POLICIES)}")
        if capacity < 1:
            raise ConfigError(f"a cache of {capacity} rows holds nothing")
        self.store, self.policy, self.capacity = store, policy, min(capacity, len(store))
        self.stats = CacheStats()
        self._vectors_CD = np.zeros((self.capacity, store.dim), dtype=store.dtype)
        self._row_of_C = np.full(self.capacity, -1, dtype=np.int64)
        self._slot_of_V = np.full(len(store), -1, dtype=np.int32)
        self._priority_V: Integers = np.zeros(len(store), dtype=np.int64 if policy == LRU else np.int32)
        self._used, self._clock, self._since_aging = 0, 0, 0
        self._pool: Integers = np.zeros(0, dtype=np.int64)
        self._pool_priority: Integers = np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        return self._used

    def lookup(self, row_N: NDArray[np.int64]) -> NDArray:
        """Copies of some rows, from the cache where it has them. [N, D]"""
        row_U, position_N, times_U = np.unique(row_N, return_inverse=True, return_counts=True)
        self._see(row_U, times_U)
        slot_U = self._slot_of_V[row_U]
        absent = slot_U < 0
        vector_UD = self._vectors_CD[slot_U]
        if absent.any():
            vector_UD[absent] = fetched = self.store.read(row_U[absent])
            self._admit(row_U[absent], fetched)
        self.stats.lookups += len(row_N)
        self.stats.reads += int(absent.sum())
        return vector_UD[position_N]

    def write(self, row_N: NDArray[np.int64], vector_ND: NDArray) -> None:
        """Replace some rows, here and in the table behind. Rows must differ."""
        self.store.write(row_N, vector_ND)
        slot_N = self._slot_of_V[row_N]
        held = slot_N >= 0
        self._vectors_CD[slot_N[held]] = vector_ND[held]

    def holds(self, row_N: NDArray[np.int64]) -> NDArray[np.bool_]:
        """[N] whether a look-up would cost no read."""
        return self._slot_of_V[row_N] >= 0

    def _see(self, row_U: NDArray[np.int64], times_U: NDArray[np.int64]) -> None:
        if self.policy == LRU:
            self._clock += 1
            self._priority_V[row_U] = self._clock
            return
        self._priority_V[row_U] += times_U.astype(np.int32)
        self._since_aging += int(times_U.sum())
        if self.policy == FREQUENCY and self._since_aging >= _AGE_AFTER * self.capacity:
            self._priority_V >>= 1
            self._since_aging = 0

    def _admit(self, row_M: NDArray[np.int64], vector_MD: NDArray) -> None:
        """Give newcomers the free slots, then, best first, those of rows whose priority is no higher."""
        num_free = min(self.capacity - self._used, len(row_M))
        self._place(np.arange(self._used, self._used + num_free), row_M[:num_free], vector_MD[:num_free])
        self._used += num_free
        row_M, vector_MD = row_M[num_free:], vector_MD[num_free:]
        if not len(row_M):
            return
        num = min(len(row_M), self.capacity)
        lowest = self._lowest(num)
        best = np.argsort(-self._priority_V[row_M], kind="stable")[:num]
        better = self._priority_V[row_M[best]] >= self._priority_V[self._row_of_C[lowest]]
        slot, chosen = lowest[better], best[better]
        self._slot_of_V[self._row_of_C[slot]] = -1
        self._place(slot, row_M[chosen], vector_MD[chosen])

    def _lowest(self, num: int) -> Integers:
        """The `num` slots of lowest priority, lowest first.

        They come from a pool of the lowest sixteenth, so that the whole cache is searched once in many batches: a slot whose
        priority has changed leaves the pool. Newcomers that come in below the pool are spared until the next search.
        """
        unchanged = self._priority_V[self._row_of_C[self._pool]] == self._pool_priority
        self._pool, self._pool_priority = self._pool[unchanged], self._pool_priority[unchanged]
        if len(self._pool) < num:
            priority_C = self._priority_V[self._row_of_C]
            size = max(num, self.capacity // _POOL_SHARE)
            found = np.argpartition(priority_C, size - 1)[:size]
            self._pool = found[np.argsort(priority_C[found], kind="stable")]
            self._pool_priority = priority_C[self._pool]
        return self._pool[:num]

    def _place(self, slot_M: Integers, row_M: NDArray[np.int64], vector_MD: NDArray) -> None:
        self._row_of_C[slot_M], self._slot_of_V[row_M] = row_M, slot_M.astype(np.int32)
        self._vectors_CD[slot_M] = vector_MD
