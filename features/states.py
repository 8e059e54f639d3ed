"""What the store keeps per viewer, and how a log becomes it without a loop over events.

A state is three lists of integers: counters per (window sum, tile), the latest clicks, the latest watch lengths. States add
up: state(log₁ then log₂) = state(log₁) ⊕ state(log₂), so a batch of fresh events is itself a set of small states (an update),
and a release carries the states of its whole log. Video ids, not rows, are kept: they mean the same under every catalogue.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core import columns as c
from core.ragged import Ragged
from data.catalogue import Catalogue
from features.definitions import REMEMBERED_WATCHES, Definitions
from features.kinds import SEEN_LIMIT
from features.tiles import EventArrays, Ints, Sum

FILE = "viewer_states.parquet"
_LISTS = {"counts": 3, "clicks": 2, "watches": 1}
_TILES = 1 << 48
"""More than there are tiles on either side of zero, so that a window sum and a tile fit one integer."""


@dataclass(frozen=True)
class ViewerState:
    """One viewer."""

    counts: Ints
    """[m, 3] index of the window sum, tile, amount."""
    clicks: Ints
    """[n, 2] video id, received_at; latest first, at most SEEN_LIMIT."""
    watches: Ints
    """[w, 1] milliseconds; latest first, at most REMEMBERED_WATCHES."""

    @property
    def is_empty(self) -> bool:
        """Whether the viewer has done nothing."""
        return not (len(self.counts) or len(self.clicks) or len(self.watches))


@dataclass(frozen=True)
class ViewerStates:
    """Many viewers; each list is that of ViewerState, one per viewer."""

    viewer_ids: Ints
    """[N] sorted."""
    counts: Ragged
    clicks: Ragged
    watches: Ragged
    keep_from: Ints
    """Per window sum, the oldest tile that can still count; a store drops what is older when it adds an update."""

    def __len__(self) -> int:
        return len(self.viewer_ids)

    def __getitem__(self, place: int) -> ViewerState:
        return ViewerState(self.counts[place], self.clicks[place], self.watches[place])

    def without(self, viewer_ids: Sequence[int]) -> "ViewerStates":
        """Everybody else, copied."""
        return self.where(~np.isin(self.viewer_ids, np.asarray(viewer_ids, dtype=np.int64)))

    def where(self, kept: NDArray[np.bool_]) -> "ViewerStates":
        """The viewers of a mask [N], copied."""
        rows = np.flatnonzero(kept)
        counts, clicks, watches = (each.take(rows) for each in (self.counts, self.clicks, self.watches))
        return ViewerStates(self.viewer_ids[kept], counts, clicks, watches, self.keep_from)

    def save(self, path: Path) -> None:
        """Write one Parquet file, one row per viewer."""
        columns: dict[str, pa.Array] = {c.VIEWER_ID: pa.array(self.viewer_ids)}
        for name, width in _LISTS.items():
            ragged: Ragged = getattr(self, name)
            columns[name] = pa.LargeListArray.from_arrays(pa.array(ragged.offsets * width), pa.array(ragged.values.ravel()))
        metadata = {"keep_from": ",".join(map(str, self.keep_from.tolist()))}
        pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path, compression="zstd")

    @staticmethod
    def load(path: Path) -> "ViewerStates":
        """The inverse of `save`."""
        table = pq.read_table(path).combine_chunks()
        counts, clicks, watches = (_ragged(table[name].combine_chunks(), width) for name, width in _LISTS.items())
        keep = table.schema.metadata[b"keep_from"].decode()
        keep_from = np.array([int(tile) for tile in keep.split(",") if tile], dtype=np.int64)
        return ViewerStates(table[c.VIEWER_ID].to_numpy(), counts, clicks, watches, keep_from)


def empty_state() -> ViewerState:
    """A viewer who has done nothing."""
    return ViewerState(*(np.empty((0, width), dtype=np.int64) for width in _LISTS.values()))


def viewer_states(events: pl.DataFrame, catalogue: Catalogue, definitions: Definitions, as_of: int) -> ViewerStates:
    """The states after replaying everything received strictly before `as_of`, for requests from `as_of` on."""
    return of_events(EventArrays.of(events, catalogue).before(as_of), definitions, as_of)


def of_events(arrays: EventArrays, definitions: Definitions, newest_at: int) -> ViewerStates:
    """The states that these events alone amount to. Tiles that are over at `newest_at` are left out."""
    viewer_ids, rows = np.unique(arrays.viewer_id, return_inverse=True)
    sums = definitions.viewer_sums
    keep_from = np.array([newest_at // spec.tile_ms - spec.tiles + 1 for spec in sums], dtype=np.int64)
    clicked = arrays.positions(definitions.history.event)
    clicked = clicked[arrays.video_row[clicked] >= 0]
    watched = arrays.positions(definitions.watches.event)
    clicks = np.stack([arrays.video_id, arrays.received_at], axis=1)
    return ViewerStates(
        viewer_ids=viewer_ids,
        counts=_count(arrays, rows, sums, keep_from, len(viewer_ids)),
        clicks=_latest(clicks, clicked, rows, SEEN_LIMIT, len(viewer_ids)),
        watches=_latest(arrays.watch_ms[:, None], watched, rows, REMEMBERED_WATCHES, len(viewer_ids)),
        keep_from=keep_from,
    )


def added(state: ViewerState, update: ViewerState, keep_from: Ints) -> ViewerState:
    """state ⊕ update, for one viewer."""
    counts = np.concatenate([state.counts, update.counts])
    index, tile, amount = counts[counts[:, 1] >= keep_from[counts[:, 0]]].T
    keys, where = np.unique(index * _TILES + tile, return_inverse=True)
    index = (keys + _TILES // 2) // _TILES
    amounts = np.zeros(len(keys), dtype=np.int64)
    np.add.at(amounts, where, amount)
    return ViewerState(
        counts=np.stack([index, keys - index * _TILES, amounts], axis=1),
        clicks=np.concatenate([update.clicks, state.clicks])[:SEEN_LIMIT],
        watches=np.concatenate([update.watches, state.watches])[:REMEMBERED_WATCHES],
    )


def merged(states: ViewerStates, updates: ViewerStates) -> ViewerStates:
    """states ⊕ updates, for everybody in either."""
    viewer_ids = np.union1d(states.viewer_ids, updates.viewer_ids)
    both = (updates, states)  # what is latest comes first
    keep_from = np.maximum(states.keep_from, updates.keep_from)

    def end_to_end(name: str) -> tuple[Ints, NDArray]:
        lists: list[Ragged] = [getattr(each, name) for each in both]
        places = [np.searchsorted(viewer_ids, each.viewer_ids) for each in both]
        owner = [place[each.owners] for place, each in zip(places, lists, strict=True)]
        return np.concatenate([each.values for each in lists]), np.concatenate(owner)

    return ViewerStates(
        viewer_ids=viewer_ids,
        counts=_summed(*end_to_end("counts"), keep_from, len(viewer_ids)),
        clicks=_first(*end_to_end("clicks"), SEEN_LIMIT, len(viewer_ids)),
        watches=_first(*end_to_end("watches"), REMEMBERED_WATCHES, len(viewer_ids)),
        keep_from=keep_from,
    )


def _summed(counts: Ints, owner: NDArray, keep_from: Ints, num: int) -> Ragged:
    """One counter for each viewer, window sum and tile that is not over."""
    kept = counts[:, 1] >= keep_from[counts[:, 0]]
    counts, owner = counts[kept], owner[kept]
    order = np.lexsort((counts[:, 1], counts[:, 0], owner))
    counts, owner = counts[order], owner[order]
    keys = np.column_stack([owner, counts[:, :2]])
    begins = np.flatnonzero(np.append(True, (keys[1:] != keys[:-1]).any(axis=1))[: len(keys)])
    sums = np.add.reduceat(counts[:, 2], begins) if len(begins) else counts[:, 2]
    return Ragged(_offsets(owner[begins], num), np.column_stack([counts[begins, :2], sums]))


def _count(arrays: EventArrays, rows: NDArray, sums: Sequence[Sum], keep_from: Ints, num: int) -> Ragged:
    """Amounts added up by viewer, window sum and tile."""
    blocks, owners = [np.empty((0, 3), dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for index, spec in enumerate(sums):
        at = arrays.positions(spec.event)
        tile = spec.tile(arrays.event_at[at])
        at, tile = at[tile >= keep_from[index]], tile[tile >= keep_from[index]]
        if not len(at):
            continue
        first = tile.min()
        width = int(tile.max() - first) + 1
        keys, inverse = np.unique(rows[at] * width + (tile - first), return_inverse=True)
        amounts = np.zeros(len(keys), dtype=np.int64)
        np.add.at(amounts, inverse, arrays.amounts(spec, at))
        blocks.append(np.stack([np.full(len(keys), index), keys % width + first, amounts], axis=1))
        owners.append(keys // width)
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    return Ragged(_offsets(owner, num), np.concatenate(blocks)[order])


def _latest(values: Ints, positions: Ints, rows: NDArray, limit: int, num: int) -> Ragged:
    """The last `limit` of each viewer's values at `positions`, latest first."""
    return _first(values[positions[::-1]], rows[positions[::-1]], limit, num)


def _first(values: Ints, owner: NDArray, limit: int, num: int) -> Ragged:
    """The first `limit` of each viewer's values, in their order."""
    order = np.argsort(owner, kind="stable")
    values, owner = values[order], owner[order]
    kept = np.arange(len(owner)) - _offsets(owner, num)[owner] < limit
    return Ragged(_offsets(owner[kept], num), values[kept])


def _offsets(owner: NDArray, num: int) -> Ints:
    return np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=num))]).astype(np.int64)


def _ragged(column: pa.Array, width: int) -> Ragged:
    offsets = column.offsets.to_numpy()
    return Ragged((offsets // width).astype(np.int64), column.values.to_numpy().reshape(-1, width))
