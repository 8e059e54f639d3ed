"""The ranker's table of videos: a row for each, asked for by hundreds at a time; in memory, or in a file behind a cache.

A row holds all that never changes of a video (`ranking.scorer`). While all of them fit, they are one array, a mapping of the
file. Where they do not, `Cached` keeps those in memory that are asked for most often (`embeddings.cache`, with counts that
fade), and reads the others from the file. Both give the same numbers.

Shape legend: V videos, N rows asked for, S numbers in a row.
"""

import threading
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core import tensors
from embeddings.cache import FREQUENCY, Cache, CacheStats
from embeddings.host_table import HostTable

Floats = NDArray[np.float32]
Indices = NDArray[np.int32]


class Rows(Protocol):
    """A table of videos."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, numbers in a row."""
        ...

    @property
    def nbytes(self) -> int:
        """What is in memory."""
        ...

    @property
    def cached(self) -> CacheStats | None:
        """Look-ups so far; None where everything is in memory."""
        ...

    def take(self, rows: Indices) -> Floats:
        """Copies of rows of any shape, none negative. […, S]"""
        ...

    def touch(self) -> None:
        """Have all of them at hand (`core.tensors.touch`), where that is meant."""
        ...

    def longer(self, newer_NS: Floats) -> "Rows":
        """The table with more rows at its end; what it was stays as it is."""
        ...


@dataclass(frozen=True)
class Whole:
    """All in memory."""

    values_VS: Floats
    cached: CacheStats | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """See Rows."""
        return self.values_VS.shape

    @property
    def nbytes(self) -> int:
        """See Rows."""
        return self.values_VS.nbytes

    def take(self, rows: Indices) -> Floats:
        """See Rows."""
        return self.values_VS.take(rows, axis=0)

    def touch(self) -> None:
        """See Rows."""
        tensors.touch(self.values_VS)

    def longer(self, newer_NS: Floats) -> "Whole":
        """See Rows."""
        return Whole(np.concatenate([self.values_VS, newer_NS]))


class Cached:
    """The rows asked for most often in memory, all of them in a file. Safe for many threads.

    Rows that came later are in memory: uploads since a release are few, and asked for at once.
    """

    def __init__(self, table: HostTable, capacity: int) -> None:
        """Over the file; at most `capacity` of its rows are kept. Raises ConfigError: no room for a row."""
        self._cache, self._asking = Cache(table, capacity, FREQUENCY), threading.Lock()
        self._newer_NS = np.empty((0, table.dim), dtype=np.float32)

    @property
    def shape(self) -> tuple[int, ...]:
        """See Rows."""
        return len(self._cache.store) + len(self._newer_NS), self._cache.store.dim

    @property
    def nbytes(self) -> int:
        """See Rows: the cache with its directory, and newer rows."""
        held = self._cache.capacity * self._cache.store.dim * self._cache.store.dtype.itemsize
        return held + 8 * len(self._cache.store) + self._newer_NS.nbytes

    @property
    def cached(self) -> CacheStats:
        """See Rows."""
        return self._cache.stats

    def take(self, rows: Indices) -> Floats:
        """See Rows."""
        wanted, num_old = rows.ravel().astype(np.int64), len(self._cache.store)
        old = wanted < num_old
        found = np.empty((len(wanted), self.shape[1]), dtype=np.float32)
        with self._asking:
            found[old] = self._cache.lookup(wanted[old])
        found[~old] = self._newer_NS[wanted[~old] - num_old]
        return found.reshape(*rows.shape, self.shape[1])

    def touch(self) -> None:
        """See Rows: there is too little memory for all."""

    def longer(self, newer_NS: Floats) -> "Cached":
        """See Rows. Both share one cache."""
        made = object.__new__(Cached)
        made._cache, made._asking = self._cache, self._asking
        made._newer_NS = np.concatenate([self._newer_NS, newer_NS])
        return made
