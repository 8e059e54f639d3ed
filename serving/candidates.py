"""Several sources' lists → one set of unique candidates per request, each with the source that is to be thanked for it.

Each source first gets its quota of places; places left over go to what remains, in the order of the sources. A video that
several sources found counts for the first. All of it is a few array operations on [B, S], S the length of all lists together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retrieval.sources import Query

Rows = NDArray[np.int32]


@dataclass(frozen=True)
class Lists:
    """What the sources returned, side by side."""

    rows_BS: Rows
    """[B, S] catalogue rows, −1 where a source had no more."""
    source_S: NDArray[np.int8]
    """[S] which source a column belongs to."""
    names: tuple[str, ...]
    """Of the sources."""


@dataclass(frozen=True)
class CandidateSet:
    """At most K unique videos per request, in order of the sources' confidence, and how they came about."""

    query: Query
    rows_BK: Rows
    """[B, K] catalogue rows, −1 padding at the end."""
    source_BK: NDArray[np.int8]
    """[B, K] index into `names`, −1 at padding."""
    names: tuple[str, ...]
    removed: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    """Reason → [B] how many found videos a filter took."""

    @property
    def count_B(self) -> NDArray[np.int64]:
        """[B] candidates of each request."""
        return (self.rows_BK >= 0).sum(axis=1)

    def of(self, name: str) -> NDArray[np.bool_]:
        """[B, K] whether a candidate came from the source `name`."""
        return self.source_BK == self.names.index(name) if name in self.names else np.zeros(self.rows_BK.shape, dtype=bool)


def side_by_side(found: Mapping[str, Rows], num_requests: int) -> Lists:
    """Put the lists of all sources next to each other."""
    parts = [rows.astype(np.int32, copy=False) for rows in found.values()]
    owners = [np.full(rows.shape[1], index, dtype=np.int8) for index, rows in enumerate(parts)]
    empty = np.empty((num_requests, 0), dtype=np.int32)
    return Lists(np.concatenate([*parts, empty], axis=1), np.concatenate([*owners, np.empty(0, np.int8)]), tuple(found))


def merge(lists: Lists, kept_BS: NDArray[np.bool_], quotas: Sequence[int], limit: int) -> tuple[Rows, NDArray[np.int8]]:
    """Unique kept rows under quotas, at most `limit` per request, and the source of each.

    Args:
        lists: what the sources returned.
        kept_BS: what the filters left of it.
        quotas: per source, in the order of `lists.names`.
        limit: places per request.
    """
    kept = kept_BS & (lists.rows_BS >= 0)
    num_columns = kept.shape[1]
    priority = np.arange(num_columns) + np.where(_within(kept, lists.source_S, quotas), 0, num_columns)
    order = np.argsort(np.where(kept, priority, 2 * num_columns), axis=1, kind="stable")
    rows = np.take_along_axis(np.where(kept, lists.rows_BS, -1), order, axis=1)
    first = (rows >= 0) & _first_of_each(rows)
    width = min(limit, int(first.sum(axis=1).max(initial=0)))
    front = np.argsort(~first, axis=1, kind="stable")[:, :width]
    filled = np.take_along_axis(first, front, axis=1)
    sources = lists.source_S[np.take_along_axis(order, front, axis=1)] if width else np.empty((len(rows), 0), np.int8)
    return np.where(filled, np.take_along_axis(rows, front, axis=1), -1), np.where(filled, sources, -1).astype(np.int8)


def _within(kept: NDArray[np.bool_], source_S: NDArray[np.int8], quotas: Sequence[int]) -> NDArray[np.bool_]:
    """[B, S] whether a kept entry is among the first `quota` kept ones of its source."""
    rank = np.cumsum(kept, axis=1)
    starts = np.searchsorted(source_S, np.arange(len(quotas)))
    before = np.concatenate([np.zeros((len(kept), 1), dtype=rank.dtype), rank], axis=1)[:, starts]
    return rank - before[:, source_S] <= np.asarray(quotas, dtype=np.int64)[source_S]


def _first_of_each(rows: Rows) -> NDArray[np.bool_]:
    """[B, S] whether an entry is the first with its value in its line."""
    order = np.argsort(rows, axis=1, kind="stable")
    ranked = np.take_along_axis(rows, order, axis=1)
    fresh = np.ones(rows.shape, dtype=bool)
    fresh[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    first = np.empty_like(fresh)
    np.put_along_axis(first, order, fresh, axis=1)
    return first
