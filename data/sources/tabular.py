"""Any log with a mapping into a dataset: the one way in, which the named sources share.

    files → RawTables → screened rows → events, videos, viewers → Dataset, with whatever fell out and what a person should know

Ids that occur in the events alone get a stub row in the catalogue. Upload times stay unknown unless the log states them. Event
ids follow from the row's content, so that loading twice gives the same events and re-sent rows drop out as duplicates.
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa

from core import columns as c
from core.errors import BadInput
from data import dataset as datasets
from data.dataset import Dataset
from data.quarantine import Quarantine, RawTable, enforce
from data.sources import convert, text
from data.sources.catalogues import videos_of, viewers_of
from data.sources.events import VIDEO_TOKEN, VIEWER_TOKEN, events_of
from data.sources.mapping import LogMapping, VideoColumns, ViewerColumns

MAX_BROKEN = 0.05


@dataclass(frozen=True)
class LoadResult:
    """A dataset, the rows that did not make it, and remarks for a person."""

    dataset: Dataset
    quarantine: Quarantine
    warnings: tuple[str, ...]
    paths: tuple[Path, ...] = ()
    """The files that were read."""


@dataclass(frozen=True)
class Limits:
    """What a load may let pass."""

    max_broken: float = MAX_BROKEN
    """Highest share of broken rows per file."""
    quarantine_dir: Path | None = None
    """Where broken rows are written; None writes nothing."""
    latest_at: int = convert.YEAR_2100_AT
    """Events from here on are broken."""


@dataclass(frozen=True)
class RawLog:
    """The files of a log, read but not yet understood."""

    events: RawTable
    videos: RawTable | None = None
    viewers: RawTable | None = None


def load(mapping: LogMapping, root: Path, limits: Limits | None = None) -> LoadResult:
    """Read the files that `mapping` names under `root`.

    Raises:
        BadInput: a file is missing or empty.
        SchemaMismatch: the mapping names a column that is not there.
        TooManyBrokenRows: see `Limits`.
    """
    videos, viewers = mapping.videos, mapping.viewers
    events = text.read_all(root, mapping.events.path, mapping.events.format)
    raw = RawLog(
        events=events,
        videos=_read_beside(root, videos, mapping.events.path, events),
        viewers=_read_beside(root, viewers, mapping.events.path, events),
    )
    return assemble(mapping, raw, limits or Limits())


def _read_beside(root: Path, spec: VideoColumns | ViewerColumns | None, log: str, events: RawTable) -> RawTable | None:
    if spec is None:
        return None
    return events if spec.path == log else text.read_all(root, spec.path, spec.format)


def assemble(mapping: LogMapping, raw: RawLog, limits: Limits) -> LoadResult:
    """The dataset that `mapping` makes of `raw`."""
    events, event_rows = events_of(mapping.events, raw.events, mapping.name, limits.latest_at)
    read = [event_rows]
    videos, viewers = _empty(c.VIDEOS), _empty(c.VIEWERS)
    if mapping.videos and raw.videos:
        videos, table = videos_of(mapping.videos, raw.videos, repeats=raw.videos is raw.events)
        read += [] if raw.videos is raw.events else [table]
    if mapping.viewers and raw.viewers:
        viewers, table = viewers_of(mapping.viewers, raw.viewers, repeats=raw.viewers is raw.events)
        read += [] if raw.viewers is raw.events else [table]
    quarantine = enforce(mapping.name, read, limits.max_broken, limits.quarantine_dir)
    if not len(events):
        raise BadInput(f"{raw.events.file} has no usable rows; {quarantine.to_text()}")
    warnings = [warning for table in read for warning in table.warnings]
    if len(quarantine):
        warnings.append(f"{len(quarantine):,} broken rows set aside: {_reasons(quarantine)}")
    known = {"videos": len(videos), "viewers": len(viewers)}
    videos = pl.concat([videos, _video_stubs(events, videos)], how="diagonal")
    viewers = pl.concat([viewers, _viewer_stubs(events, viewers)], how="diagonal")
    for what, frame, file in (("videos", videos, raw.videos), ("viewers", viewers, raw.viewers)):
        if file is not None and len(frame) > known[what]:
            warnings.append(f"{len(frame) - known[what]:,} {what} of the log are not in {file.file}; they got a stub entry")
    dataset = datasets.make(mapping.name, events, viewers, videos)
    paths = dict.fromkeys(path for table in (raw.events, raw.videos, raw.viewers) if table for path in table.paths)
    return LoadResult(dataset, quarantine, tuple(warnings), tuple(paths))


def _reasons(quarantine: Quarantine) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in quarantine.counts.items())


def _empty(schema: pa.Schema) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(schema.empty_table()))


def _video_stubs(events: pl.DataFrame, videos: pl.DataFrame) -> pl.DataFrame:
    return _unlisted(events, videos, c.VIDEO_ID, VIDEO_TOKEN).with_columns(
        pl.format("Video {}", pl.col(c.EXTERNAL_ID)).alias(c.TITLE),
        pl.lit(0, dtype=pl.Int64).alias(c.CHANNEL_ID),
        *(pl.lit(c.UNKNOWN).alias(name) for name in (c.CHANNEL, c.CATEGORY, c.LANGUAGE)),
    )


def _viewer_stubs(events: pl.DataFrame, viewers: pl.DataFrame) -> pl.DataFrame:
    unlisted = _unlisted(events, viewers, c.VIEWER_ID, VIEWER_TOKEN)
    return unlisted.with_columns(*(pl.lit(c.UNKNOWN).alias(name) for name in c.VIEWER_ATTRIBUTES))


def _unlisted(events: pl.DataFrame, known: pl.DataFrame, column: str, token: str) -> pl.DataFrame:
    found = events.select(pl.col(column), pl.col(token).alias(c.EXTERNAL_ID)).unique(column, keep="first", maintain_order=True)
    return found.join(known.select(column), on=column, how="anti")
