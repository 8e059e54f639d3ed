"""Training rows made span by span: tasks that know nothing of each other, whose union is the single build, bit for bit.

A span is some whole days (UTC) of received_at. Its rows are the clicks received in it, with their viewers as they were the
moment before (`pipelines.examples.clicks`, the same definitions); nothing received later is read. What a row says of a viewer
follows from that viewer's events alone, so a task takes viewers block by block: the log may be larger than the memory. Numbers
of videos are not kept: which videos a click is held against is decided in training.

    rows.safetensors    dense, codes, history, history_age: [n, …]; seen and seen_offsets: ragged
"""

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from core import columns as c
from core import events as ev
from core.clock import DAY_MS
from core.ragged import Ragged
from data.catalogue import Catalogue, ViewerTable
from features.schema import ViewerPart
from pipelines import examples

FILE = "rows.safetensors"
_ARRAYS = tuple(field.name for field in fields(ViewerPart) if field.name != "seen")
_READ = (c.KIND, c.EVENT_AT, c.RECEIVED_AT, c.VIEWER_ID, c.VIDEO_ID, c.REQUEST_ID, c.VALUE)
"""Columns of the log that viewers' features and clicks are made from."""
MOST_EVENTS = 2_000_000
"""Of one block of viewers, about: 300 MB while its rows are made."""
Span = tuple[int, int]
"""Instants [begin, end)."""


def spans(events: pl.DataFrame, until: int, most: int) -> list[Span]:
    """At most `most` spans of whole days with about as many clicks each; together, everything before `until`."""
    at = events.filter((pl.col(c.KIND) == ev.CLICK) & (pl.col(c.RECEIVED_AT) < until))[c.RECEIVED_AT].to_numpy()
    middle = np.quantile(at, np.arange(1, most) / most) if len(at) else np.zeros(0)
    cuts = sorted({int(cut) // DAY_MS * DAY_MS for cut in middle} - {0})
    begins, ends = [0, *cuts], [*cuts, until]
    return [(begin, end) for begin, end in zip(begins, ends, strict=True) if begin < end]


def build(events: pl.LazyFrame, catalogue: Catalogue, viewers: ViewerTable, span: Span, most: int = MOST_EVENTS) -> ViewerPart:
    """The viewers of the clicks of a span, in the order of the log; reads about `most` events at a time."""
    begin, end = span
    known = events.select(_READ).filter(pl.col(c.RECEIVED_AT) < end)
    clicked = known.filter(pl.col(c.KIND) == ev.CLICK, pl.col(c.RECEIVED_AT) >= begin).select(c.VIEWER_ID, c.VIDEO_ID).collect()
    viewer_id = clicked[c.VIEWER_ID].to_numpy()[catalogue.rows(clicked[c.VIDEO_ID].fill_null(-1).to_numpy()) >= 0]
    num_blocks = max(1, -(-int(known.select(pl.len()).collect().item()) // most))
    block_of = viewer_id % num_blocks

    def rows_of(block: int) -> ViewerPart:
        theirs = known.filter(pl.col(c.VIEWER_ID) % num_blocks == block).collect()
        found = examples.clicks(theirs, catalogue, viewers, end, since=begin)
        return found.features.viewer_part(np.arange(len(found)))

    whole = joined([rows_of(block) for block in np.unique(block_of).tolist() or [0]])
    return _taken(whole, np.argsort(np.argsort(block_of, kind="stable")))


def write(part: ViewerPart, folder: Path) -> None:
    """Keep the rows of a span."""
    seen = Ragged.of(part.seen)
    arrays = {name: getattr(part, name) for name in _ARRAYS}
    save_file({**arrays, "seen": seen.values, "seen_offsets": seen.offsets}, folder / FILE)


def read(folder: Path) -> ViewerPart:
    """The inverse of `write`."""
    arrays = load_file(folder / FILE)
    seen = Ragged(arrays.pop("seen_offsets"), arrays.pop("seen"))
    return ViewerPart(**arrays, seen=tuple(seen[row] for row in range(len(seen))))


def clicks(
    events: pl.DataFrame, catalogue: Catalogue, viewers: ViewerTable, until: int, parts: Sequence[ViewerPart]
) -> examples.Clicks:
    """`examples.clicks` from the rows of all spans, in order."""
    return examples.clicks(events, catalogue, viewers, until, parts=partial(_taken, joined(parts)))


def joined(parts: Sequence[ViewerPart]) -> ViewerPart:
    """Spans one after the other."""
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
    return ViewerPart(**arrays, seen=tuple(row for part in parts for row in part.seen))


def _taken(whole: ViewerPart, rows: NDArray[np.int64]) -> ViewerPart:
    arrays = {name: getattr(whole, name)[rows] for name in _ARRAYS}
    return ViewerPart(**arrays, seen=tuple(whole.seen[row] for row in rows.tolist()))
