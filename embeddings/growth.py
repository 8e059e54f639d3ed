"""Rows for ids as they come: one id per row, never two, in a table whose size stays.

A new id gets a row once it has been seen `admit_after` times, so that ids seen once cost nothing. A full table gives up the row
whose id was seen least recently; an id unseen for `ttl_s` gives up its row by itself. Whoever owns the vectors is told which
rows changed hands (`Changes`) and starts them afresh (`Tables.start_rows`): a video is added, or forgotten, without retraining.

Sightings of ids without a row are counted exactly for up to `max_pending` ids; beyond, the one that waits longest is forgotten.
Knows no clock: instants are arguments, and one that lies
before the latest counts as the latest.
"""

import json
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from core import config
from core.errors import BadInput, ConfigError

ABSENT = -1
_CONFIG, _BEGINNING = "config", np.iinfo(np.int64).min


@dataclass(frozen=True)
class GrowthConfig:
    """How a table takes ids in and lets them go."""

    capacity: int
    """Rows."""
    admit_after: int = 1
    """Sightings before an id gets a row."""
    ttl_s: float | None = None
    """Seconds unseen after which an id loses its row; None: only when room is needed."""
    max_pending: int = 1_000_000
    """Ids without a row whose sightings are counted."""


@dataclass(frozen=True)
class Changes:
    """Rows that changed hands in one batch. A row may be in both lists: its old id left and a new one came."""

    admitted_ids: NDArray[np.int64]
    admitted_rows: NDArray[np.int64]
    evicted_ids: NDArray[np.int64]
    evicted_rows: NDArray[np.int64]


class IdMap:
    """Which id has which row, and when it was last seen."""

    def __init__(self, config: GrowthConfig) -> None:
        """Raises: ConfigError: a capacity, count or time that is not positive."""
        if min(config.capacity, config.admit_after, config.max_pending) < 1 or (config.ttl_s is not None and config.ttl_s <= 0):
            raise ConfigError(f"capacity, admit_after, max_pending and ttl_s must be positive: {config}")
        self.config = config
        self.id_of_C = np.full(config.capacity, ABSENT, dtype=np.int64)
        self.seen_at_C = np.full(config.capacity, _BEGINNING, dtype=np.int64)
        self._row_of: dict[int, int] = {}
        self._pending: dict[int, int] = {}
        self._now = _BEGINNING

    def __len__(self) -> int:
        return len(self._row_of)

    def rows(self, id_N: NDArray[np.int64]) -> NDArray[np.int64]:
        """[N] the row of each id, −1 without one; nothing is recorded."""
        row_of = self._row_of
        return np.fromiter((row_of.get(id_, ABSENT) for id_ in id_N.tolist()), dtype=np.int64, count=len(id_N))

    def observe(self, id_N: NDArray[np.int64], at: int) -> Changes:
        """Record sightings at an instant (ms): expire, admit, and evict for room.

        A row seen at this very instant is not given up; an id that finds no other stays pending.
        """
        if len(id_N) and id_N.min() < 0:
            raise BadInput("ids are not negative; −1 stands for a row without an id")
        self._now = max(self._now, at)
        row_N = self.rows(id_N)
        self.seen_at_C[row_N[row_N != ABSENT]] = self._now
        expired = self._expired()
        evicted_ids, evicted_rows = [self.id_of_C[expired]], [expired]
        self._release(expired)
        ready = self._count(id_N[row_N == ABSENT])
        free = np.flatnonzero(self.id_of_C == ABSENT)
        pushed_out = self._oldest(len(ready) - len(free), before=self._now)
        evicted_ids.append(self.id_of_C[pushed_out])
        evicted_rows.append(pushed_out)
        self._release(pushed_out)
        row_M = np.concatenate([free, pushed_out])[: len(ready)]
        id_M = np.array(ready[: len(row_M)], dtype=np.int64)
        self._admit(id_M, row_M)
        for id_ in list(islice(self._pending, max(len(self._pending) - self.config.max_pending, 0))):
            del self._pending[id_]
        return Changes(id_M, row_M, np.concatenate(evicted_ids), np.concatenate(evicted_rows))

    def save(self, path: Path) -> None:
        """Write everything into one safetensors file."""
        arrays = {
            "ids": self.id_of_C,
            "seen_at": self.seen_at_C,
            "pending_ids": np.array(list(self._pending), dtype=np.int64),
            "pending_counts": np.array(list(self._pending.values()), dtype=np.int64),
            "now": np.array([self._now], dtype=np.int64),
        }
        save_file(arrays, path, metadata={_CONFIG: json.dumps(asdict(self.config))})

    @classmethod
    def load(cls, path: Path) -> "IdMap":
        """Read what `save` wrote.

        Raises:
            BadInput: it is missing or not such a file.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                found = cls(config.from_dict(GrowthConfig, json.loads((file.metadata() or {})[_CONFIG])))
                arrays = {name: file.get_tensor(name) for name in ("ids", "seen_at", "pending_ids", "pending_counts", "now")}
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise BadInput(f"{path} holds no ids and rows: {error}") from error
        held = np.flatnonzero(arrays["ids"] != ABSENT)
        found.id_of_C, found.seen_at_C, found._now = arrays["ids"], arrays["seen_at"], int(arrays["now"][0])
        found._row_of = dict(zip(arrays["ids"][held].tolist(), held.tolist(), strict=True))
        found._pending = dict(zip(arrays["pending_ids"].tolist(), arrays["pending_counts"].tolist(), strict=True))
        return found

    def _expired(self) -> NDArray[np.int64]:
        if self.config.ttl_s is None:
            return np.zeros(0, dtype=np.int64)
        last = self._now - round(self.config.ttl_s * 1000)
        return np.flatnonzero((self.id_of_C != ABSENT) & (self.seen_at_C <= last))

    def _count(self, id_N: NDArray[np.int64]) -> list[int]:
        """Count sightings of ids without a row; those that have now reached their number, in the order of the batch."""
        pending = self._pending
        for id_ in id_N.tolist():
            pending[id_] = pending.get(id_, 0) + 1
        return [id_ for id_ in dict.fromkeys(id_N.tolist()) if pending[id_] >= self.config.admit_after]

    def _oldest(self, num: int, before: int) -> NDArray[np.int64]:
        """Up to `num` rows whose ids were seen least recently, and before an instant."""
        candidate = (
            np.flatnonzero((self.id_of_C != ABSENT) & (self.seen_at_C < before)) if num > 0 else np.zeros(0, dtype=np.int64)
        )
        return candidate[np.argsort(self.seen_at_C[candidate], kind="stable")[:num]]

    def _release(self, rows: NDArray[np.int64]) -> None:
        for id_ in self.id_of_C[rows].tolist():
            del self._row_of[id_]
        self.id_of_C[rows], self.seen_at_C[rows] = ABSENT, _BEGINNING

    def _admit(self, id_M: NDArray[np.int64], row_M: NDArray[np.int64]) -> None:
        self.id_of_C[row_M], self.seen_at_C[row_M] = id_M, self._now
        for id_, row in zip(id_M.tolist(), row_M.tolist(), strict=True):
            self._row_of[id_] = row
            del self._pending[id_]
