"""Snapshots: a dataset frozen under a name that its content decides, so that a release can say exactly what it learned from.

    <root>/<snapshot_id>/events/date=2026-01-31/part.parquet   one file per UTC day of received_at
                         viewers.parquet  videos.parquet  snapshot.json

The id hashes values and schema, not files: it is the same on every machine and with every Parquet version. Written to a
temporary directory and renamed, so a reader sees all of it or nothing. Viewers who were forgotten since (`data.tombstones`,
beside `root`) are left out when a snapshot is opened: it can then no longer be reproduced, and `forgotten` says so.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from core import columns as c
from core import config, files
from core.clock import stamp
from core.errors import BadInput
from core.events import SCHEMA_VERSION
from data import lineage, tombstones
from data.dataset import Dataset
from data.tombstones import Tombstones

_MANIFEST = "snapshot.json"
_TABLES = ("events", "viewers", "videos")


@dataclass(frozen=True)
class Snapshot:
    """A frozen dataset."""

    snapshot_id: str
    path: Path
    name: str
    code_version: str
    """Of the program that wrote it first; not part of the id."""
    num_events: int
    num_viewers: int
    num_videos: int
    first_at: int
    """received_at of the first event, ms."""
    last_at: int
    schema_version: int = 0
    """Of events; 0 in snapshots from before it was written down."""
    schema_hash: str = ""
    """Of the three tables, see `lineage.schema_hash`."""
    origin: lineage.Origin | None = None
    """What it was made from, the first time."""


def snapshot(dataset: Dataset, root: Path, code_version: str, origin: lineage.Origin | None = None) -> Snapshot:
    """Freeze `dataset` under `root`; the same content again returns the snapshot that is there, with its first origin."""
    snapshot_id = content_hash(dataset)
    if (root / snapshot_id / _MANIFEST).is_file():
        return _describe(root / snapshot_id)
    root.mkdir(parents=True, exist_ok=True)
    received = dataset.events[c.RECEIVED_AT]
    facts = {
        "name": dataset.name,
        "code_version": code_version,
        "num_events": len(dataset.events),
        "num_viewers": len(dataset.viewers),
        "num_videos": len(dataset.videos),
        "first_at": int(received.min() or 0),  # type: ignore[arg-type]
        "last_at": int(received.max() or 0),  # type: ignore[arg-type]
        "schema_version": SCHEMA_VERSION,
        "schema_hash": lineage.schema_hash(),
        "origin": asdict(origin) if origin else None,
    }
    with files.new_folder(root / snapshot_id) as staged:
        _write(dataset, staged)
        (staged / _MANIFEST).write_text(json.dumps(facts, indent=1, sort_keys=True))
    return _describe(root / snapshot_id)


def open_snapshot(root: Path, snapshot_id: str, *, verify: bool = False) -> Dataset:
    """The dataset as it was frozen, less the viewers forgotten since; with `verify`, recompute the hash of what is stored.

    Raises:
        BadInput: no such snapshot, or its content is not what its name says.
    """
    found = describe(root, snapshot_id)
    events = pl.concat([pl.read_parquet(part) for part in days(found).values()], rechunk=True)
    dataset = Dataset(found.name, events, *(_table(found, table) for table in ("viewers", "videos")))
    if verify and content_hash(dataset) != snapshot_id:
        raise BadInput(f"snapshot {snapshot_id} was changed after it was written; take it anew")
    return tombstones.read(root.parent).dataset(dataset)


def scan(root: Path, snapshot_id: str, before: int) -> pl.LazyFrame:
    """The events received before an instant (ms), less the viewers forgotten since, in the order of the log.

    Nothing is read until it is asked for, and then no day after that instant, and only the columns and rows that are wanted.
    """
    kept = [part for day, part in days(describe(root, snapshot_id)).items() if day <= stamp(before)[:10]]
    events = pl.scan_parquet(kept) if kept else pl.from_arrow(c.EVENTS.empty_table()).lazy()  # type: ignore[union-attr]
    marked = tombstones.read(root.parent)
    return events.filter(pl.col(c.RECEIVED_AT) < before, ~marked.touches if marked else pl.lit(True))


def catalogues(root: Path, snapshot_id: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The viewers of a snapshot, less those forgotten since, and its videos."""
    found = describe(root, snapshot_id)
    return tombstones.read(root.parent).viewers(_table(found, "viewers")), _table(found, "videos")


def describe(root: Path, snapshot_id: str) -> Snapshot:
    """What is known of one snapshot.

    Raises:
        BadInput: there is no such snapshot.
    """
    path = root / snapshot_id
    if not (path / _MANIFEST).is_file():
        known = ", ".join(found.snapshot_id for found in list_snapshots(root)) or "none"
        raise BadInput(f"no snapshot '{snapshot_id}' in {root}; there are: {known}")
    return _describe(path)


def days(found: Snapshot) -> dict[str, Path]:
    """Day of `received_at` (UTC, `2026-01-31`) → the file with its events, in order."""
    parts = sorted(found.path.glob("events/date=*/part.parquet"))
    return {part.parent.name.removeprefix("date="): part for part in parts}


def forgotten(found: Snapshot, marked: Tombstones) -> int:
    """How many forgotten viewers a snapshot holds. Above 0 it can no longer be reproduced, nor can what was trained on it."""
    if not marked:
        return 0
    events = pl.scan_parquet([*days(found).values()]).filter(marked.touches).select(c.VIEWER_ID)
    viewers = pl.scan_parquet(found.path / "viewers.parquet").filter(pl.col(c.VIEWER_ID).is_in([*marked.forgotten_at]))
    return int(pl.concat([events, viewers.select(c.VIEWER_ID)]).unique().select(pl.len()).collect().item())


def list_snapshots(root: Path) -> list[Snapshot]:
    """All snapshots under `root`, oldest first."""
    found = list(root.glob(f"*/{_MANIFEST}")) if root.is_dir() else []
    visible = [manifest for manifest in found if not manifest.parent.name.startswith(".")]
    return [_describe(manifest.parent) for manifest in sorted(visible, key=lambda p: (p.stat().st_mtime_ns, p.parent.name))]


def content_hash(dataset: Dataset) -> str:
    """16 hex digits over column names, types and values of the three frames, in row order."""
    digest = hashlib.sha256()
    for table in _TABLES:
        frame: pl.DataFrame = getattr(dataset, table)
        digest.update(f"{table}:{len(frame)};".encode())
        for column in frame:
            digest.update(f"{column.name}:{column.dtype};".encode())
            _feed(digest, column)
    return digest.hexdigest()[:16]


def to_json(found: Snapshot) -> dict[str, Any]:
    """The snapshot as plain values."""
    return {**asdict(found), "path": str(found.path)}


def _feed(digest: "hashlib._Hash", column: pl.Series) -> None:
    """Values in a form of our own: which are null, then lengths and contents, or 8-byte numbers."""
    digest.update(np.packbits(column.is_null().to_numpy()).tobytes())
    if isinstance(column.dtype, pl.List):
        digest.update(column.list.len().fill_null(0).to_numpy().astype("<i8").tobytes())
        _feed(digest, column.drop_nulls().explode(keep_nulls=True, empty_as_null=False))
    elif column.dtype == pl.String:
        filled = column.fill_null("")
        digest.update(filled.str.len_bytes().to_numpy().astype("<i8").tobytes())
        digest.update("".join(filled.to_list()).encode())
    elif column.dtype.is_float():
        digest.update(column.fill_null(0.0).to_numpy().astype("<f8").tobytes())
    else:
        digest.update(column.cast(pl.Int64).fill_null(0).to_numpy().astype("<i8").tobytes())


def _write(dataset: Dataset, path: Path) -> None:
    day = pl.from_epoch(pl.col(c.RECEIVED_AT), "ms").dt.strftime("%Y-%m-%d").alias("date")
    events = dataset.events.with_columns(day)
    for (date,), part in events.partition_by("date", as_dict=True, maintain_order=True, include_key=False).items():
        folder = path / "events" / f"date={date}"
        folder.mkdir(parents=True)
        part.write_parquet(folder / "part.parquet", compression="zstd")
    dataset.viewers.write_parquet(path / "viewers.parquet", compression="zstd")
    dataset.videos.write_parquet(path / "videos.parquet", compression="zstd")


def _table(found: Snapshot, table: str) -> pl.DataFrame:
    return pl.read_parquet(found.path / f"{table}.parquet")


def _describe(path: Path) -> Snapshot:
    facts = json.loads((path / _MANIFEST).read_text())
    origin = facts.pop("origin", None)
    return Snapshot(path.name, path, **facts, origin=config.from_dict(lineage.Origin, origin) if origin else None)
