"""Events in daily Parquet files, to which batches are added as they come: any order, any number of times, with crashes between.

    <root>/date=2026-01-31/<hash>.parquet     events that *happened* on that day (UTC); later batches add files
    <root>/manifest.json                      which files count, how far into the live log they reach, what was dropped

What is stored is a set of rows, so adding is idempotent and order does not matter. Where one `event_id` came twice with other
fields, both are stored and readers see the one received first (ties: the smallest in all columns, in order). Files are written
and flushed under new names, then the manifest is replaced in one step; a crash leaves files that nothing names, which `compact`
removes.

A late event goes to the day it happened, and keeps `received_at`. It does not rewrite the past: features and training sets may
use an event at time t only when `received_at <= t`, so what was known at t (`read(…, known_at=t)`) is the same before and after
its arrival; only counts by `event_at` change.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from core import columns as c
from core import files
from core.event_log import EventLog, batches
from data.dataset import conform
from data.tombstones import Tombstones

_MANIFEST = "manifest.json"
_TRIES = 5
_DAY = "date"
_FIRST_SEEN = [c.RECEIVED_AT, c.EVENT_ID]
_ALL = [*_FIRST_SEEN, *(spec.name for spec in c.EVENTS if spec.name not in _FIRST_SEEN)]


@dataclass(frozen=True)
class Manifest:
    """What counts."""

    days: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Day of `event_at` → names of its files."""
    log_offset: int = 0
    """How far into the live event log these partitions reach."""
    kept_from: str = ""
    """Earlier days were dropped on purpose; events of those days are not taken again."""


@dataclass(frozen=True)
class Appended:
    """What became of a batch."""

    num_new: int
    num_known: int
    """Rows that were there already."""
    num_too_old: int
    """Rows of days that were dropped."""


@dataclass(frozen=True)
class Compacted:
    """What a compaction did."""

    num_files: int
    """Files before."""
    num_files_left: int
    num_rows_removed: int
    """Superseded versions, forgotten viewers, and days that are too old."""


def append(root: Path, batch: pl.DataFrame, log_offset: int | None = None) -> Appended:
    """Add events, schema `columns.EVENTS`; with `log_offset`, remember in the same step how far the live log was read.

    Raises:
        SchemaMismatch: a required column is absent or empty.
    """
    rows = conform(batch, c.EVENTS).unique(maintain_order=True)
    with _alone(root):
        manifest = describe(root)
        days = rows.with_columns(_day_of(c.EVENT_AT)).filter(pl.col(_DAY) >= manifest.kept_from)
        written, num_new = dict(manifest.days), 0
        for (day,), part in days.partition_by(_DAY, as_dict=True, include_key=False).items():
            fresh = _unknown(part, root, manifest.days.get(day, ()))
            if len(fresh):
                num_new += len(fresh)
                written[day] = (*manifest.days.get(day, ()), _write(root, day, fresh))
        reached = manifest.log_offset if log_offset is None else log_offset
        _commit(root, manifest, replace(manifest, days=dict(sorted(written.items())), log_offset=reached))
    return Appended(num_new, len(days) - num_new, len(rows) - len(days))


def follow(root: Path, log: EventLog, limit: int = 100_000) -> int:
    """Append what came into the live log since last time; returns the number of new events. Crashes lose and repeat nothing."""
    return sum(
        append(root, pl.DataFrame(pl.from_arrow(events)), log_offset=reached).num_new
        for events, reached in batches(log, describe(root).log_offset, limit)
    )


def read(
    root: Path, first: str = "", last: str = "9999-12-31", *, known_at: int | None = None, marked: Tombstones | None = None
) -> pl.DataFrame:
    """Events that happened on the days `first` to `last` (`2026-01-31`, both included), in order of (received_at, event_id).

    Args:
        root: of the partitions.
        first: first day.
        last: last day.
        known_at: only what had been received by then, ms.
        marked: viewers to leave out.
    """
    for attempt in range(_TRIES):  # a compaction may take a file away between the manifest and the read
        try:
            days = [names for day, names in describe(root).days.items() if first <= day <= last]
            events = pl.concat([_nothing(), *(pl.read_parquet(root / name) for names in days for name in names)])
            break
        except FileNotFoundError:
            if attempt == _TRIES - 1:
                raise
    if known_at is not None:
        events = events.filter(pl.col(c.RECEIVED_AT) <= known_at)
    return _as_received((marked or Tombstones()).events(events))


def compact(root: Path, marked: Tombstones | None = None, keep_days: int | None = None) -> Compacted:
    """One file per day, without what readers do not see; drops days older than `keep_days` before the newest one.

    The rows of viewers in `marked` leave the disk here. Dropped days are remembered: re-sent events of theirs are turned away.
    """
    with _alone(root):
        before = describe(root)
        kept_from = before.kept_from
        if keep_days is not None and before.days:
            newest = date.fromisoformat(max(before.days))
            kept_from = max(kept_from, str(newest - timedelta(days=keep_days - 1)))
        days: dict[str, tuple[str, ...]] = {}
        removed = 0
        for day, names in before.days.items():
            stored = pl.concat([pl.read_parquet(root / name) for name in names])
            left = _as_received((marked or Tombstones()).events(stored)) if day >= kept_from else stored.clear()
            removed += len(stored) - len(left)
            if len(left):
                days[day] = names if len(names) == 1 and len(left) == len(stored) else (_write(root, day, left),)
        after = replace(before, days=days, kept_from=kept_from)
        _commit(root, before, after)
        named = {name for names in after.days.values() for name in names}
        found = [path for path in root.glob("date=*/*") if str(path.relative_to(root)) not in named]
        for path in found:
            path.unlink()
    return Compacted(sum(map(len, before.days.values())), len(named), removed)


def describe(root: Path) -> Manifest:
    """The manifest; empty when nothing was appended yet."""
    try:
        stored = json.loads((root / _MANIFEST).read_text())
    except FileNotFoundError:
        return Manifest()
    return Manifest({day: tuple(names) for day, names in stored.pop("days").items()}, **stored)


def _unknown(part: pl.DataFrame, root: Path, names: tuple[str, ...]) -> pl.DataFrame:
    """Rows of `part` that no file of the day has. Ids are compared first: few rows are ever sent twice."""
    if not names:
        return part
    paths = [root / name for name in names]
    ids = pl.scan_parquet(paths).select(c.EVENT_ID)
    sent_again = part.lazy().join(ids, on=c.EVENT_ID, how="semi").collect()
    if not len(sent_again):
        return part
    stored = pl.scan_parquet(paths).join(sent_again.lazy().select(c.EVENT_ID).unique(), on=c.EVENT_ID, how="semi")
    known = sent_again.lazy().join(stored, on=_ALL, how="semi", nulls_equal=True).collect()
    return part.join(known, on=_ALL, how="anti", nulls_equal=True)


def _as_received(events: pl.DataFrame) -> pl.DataFrame:
    """One row per event id, in the order of the log."""
    if events[c.EVENT_ID].hash().n_unique() == len(events):
        return events.sort(_FIRST_SEEN)
    return events.sort(_ALL).unique(c.EVENT_ID, keep="first", maintain_order=True)


def _write(root: Path, day: str, rows: pl.DataFrame) -> str:
    """A new file of the day, named by its bytes and flushed to the disk; returns its name under `root`."""
    folder = root / f"{_DAY}={day}"
    folder.mkdir(parents=True, exist_ok=True)
    staged = folder / f".staged-{os.getpid()}"
    rows.sort(_FIRST_SEEN).write_parquet(staged, compression="zstd")
    with staged.open("rb") as file:
        name = f"{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}.parquet"
    files.sync(staged)
    os.replace(staged, folder / name)
    files.sync(folder)
    return f"{folder.name}/{name}"


def _commit(root: Path, before: Manifest, after: Manifest) -> None:
    if after != before:
        files.replace_text(root / _MANIFEST, json.dumps(asdict(after), indent=1))


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """One writer at a time; the lock ends with the process that holds it."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _day_of(column: str) -> pl.Expr:
    return pl.from_epoch(pl.col(column), "ms").dt.strftime("%Y-%m-%d").alias(_DAY)


def _nothing() -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(c.EVENTS.empty_table()))
