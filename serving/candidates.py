"""Several sources' lists → one set of unique candidates per request, each with the source that is to be thanked for it.

Each source first gets its quota of places; places left over go to what remains, in the order of the sources. A video that
several sources found counts for the first.

Shape legend: B requests, K candidates, S columns of all sources' lists together.
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
    kept_BS = kept_BS & (lists.rows_BS >= 0)
    places = np.asarray(quotas, dtype=np.int64)
    chosen = [
        _chosen(rows, np.flatnonzero(kept), lists.source_S, places)[:limit]
        for rows, kept in zip(lists.rows_BS, kept_BS, strict=True)
    ]
    width = max((len(columns) for columns in chosen), default=0)
    merged = np.full((len(chosen), width), -1, dtype=np.int32)
    sources = np.full((len(chosen), width), -1, dtype=np.int8)
    for i, columns in enumerate(chosen):
        merged[i, : len(columns)] = lists.rows_BS[i, columns]
        sources[i, : len(columns)] = lists.source_S[columns]
    return merged, sources


def _chosen(rows_S: Rows, kept: NDArray[np.int64], source_S: NDArray[np.int8], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Columns of one request's unique candidates: those within their source's places, then the others."""
    source = source_S[kept]
    within = np.arange(len(kept)) - np.searchsorted(source, source) < places[source]
    kept = np.concatenate([kept[within], kept[~within]])
    _, first = np.unique(rows_S[kept], return_index=True)
    return kept[np.sort(first)]
