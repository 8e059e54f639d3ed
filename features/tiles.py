"""Events as arrays, and what it means to count them in a window.

A window is a union of n fixed tiles of T milliseconds. An event counts for a request at instant t when

    received_at < t    and    tile(event_at) > tile(t) − n,        tile(x) = ⌊x / T⌋

so a window covers between n − 1 and n tiles, and a counter per tile is enough to serve it. All amounts are integers (fixed
point), so sums do not depend on order and training and serving agree bit for bit. An event cannot happen after it was
received: `event_at` is clamped. Knows nothing of features, stores or models.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import events as ev
from core.clock import DAY_MS
from data.catalogue import Catalogue

Ints = NDArray[np.int64]

COUNT = "count"
"""Each event counts 1."""
WATCH_MS = "watch_ms"
"""Milliseconds watched, at most a day."""
SHARE_PCT = "share_pct"
"""Share of the video that was watched, 0 to 100; 0 where the duration is unknown."""

KINDS = (ev.IMPRESSION, ev.CLICK, ev.WATCH, ev.LIKE)
"""The event kinds that features read."""


@dataclass(frozen=True)
class Sum:
    """An integer sum over the window of the latest `tiles` tiles."""

    event: str
    quantity: str
    tile_ms: int
    tiles: int

    def tile(self, at: Ints) -> Ints:
        """The tile that each instant lies in."""
        return at // self.tile_ms


@dataclass(frozen=True)
class EventArrays:
    """n events that features read, in log order (received_at, then event_id)."""

    kind: NDArray[np.int8]
    """[n] position in KINDS."""
    viewer_id: Ints
    video_id: Ints
    """[n] −1 where there is none."""
    video_row: NDArray[np.int32]
    """[n] −1 where the catalogue does not have it."""
    event_at: Ints
    received_at: Ints
    watch_ms: Ints
    share_pct: Ints

    def __len__(self) -> int:
        return len(self.kind)

    @staticmethod
    def of(events: pl.DataFrame, catalogue: Catalogue) -> "EventArrays":
        """From a frame of schema `columns.EVENTS` in log order; a watch without a length is left out."""
        usable = (pl.col(c.KIND) != ev.WATCH) | (pl.col(c.VALUE).is_not_null() & pl.col(c.VALUE).is_not_nan())
        found = events.filter(pl.col(c.KIND).is_in(KINDS) & usable)
        if not found[c.RECEIVED_AT].is_sorted():
            found = found.sort(c.RECEIVED_AT, c.EVENT_ID)
        video_id = found[c.VIDEO_ID].fill_null(-1).to_numpy()
        rows = catalogue.rows(video_id)
        received_at = found[c.RECEIVED_AT].to_numpy()
        seconds = np.clip(found[c.VALUE].fill_null(0.0).to_numpy(), 0.0, DAY_MS / 1000)
        return EventArrays(
            kind=found[c.KIND]
            .replace_strict(dict(zip(KINDS, range(len(KINDS)), strict=True)), return_dtype=pl.Int8)
            .to_numpy(),
            viewer_id=found[c.VIEWER_ID].to_numpy(),
            video_id=video_id,
            video_row=rows,
            event_at=np.minimum(found[c.EVENT_AT].to_numpy(), received_at),
            received_at=received_at,
            watch_ms=np.rint(seconds * 1000).astype(np.int64),
            share_pct=_share_pct(seconds, rows, catalogue),
        )

    def before(self, at: int) -> "EventArrays":
        """Only what was received strictly before `at`."""
        return self.take(np.arange(np.searchsorted(self.received_at, at)))

    def take(self, positions: NDArray[np.int64]) -> "EventArrays":
        """The events at `positions`."""
        return EventArrays(*(getattr(self, name)[positions] for name in EventArrays.__dataclass_fields__))

    def positions(self, event: str) -> Ints:
        """Where the events of one kind are."""
        return np.flatnonzero(self.kind == KINDS.index(event))

    def amounts(self, spec: Sum, positions: Ints) -> Ints:
        """What each event adds to the sum."""
        if spec.quantity == COUNT:
            return np.ones(len(positions), dtype=np.int64)
        return np.asarray(getattr(self, spec.quantity)[positions], dtype=np.int64)


def distinct(sums: Iterable[Sum]) -> tuple[Sum, ...]:
    """Each sum once, in order of first appearance: its position is its index in every state."""
    return tuple(dict.fromkeys(sums))


def _share_pct(seconds: NDArray[np.float64], rows: NDArray[np.int32], catalogue: Catalogue) -> Ints:
    if not len(catalogue):
        return np.zeros(len(rows), dtype=np.int64)
    duration = np.where(rows >= 0, catalogue.duration_s[rows], 0).astype(np.float64)
    share = np.divide(seconds, duration, out=np.zeros_like(seconds), where=duration > 0)
    return np.rint(100 * np.minimum(share, 1.0)).astype(np.int64)
