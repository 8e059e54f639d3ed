"""What else a page could have been: all that the policy had to choose from, and a challenger's page, of a share of requests.

    <space>/counterfactual/20260105T13-<name>.parquet      one or more files per hour, schema `SCHEMA`, zstd

Candidates and utilities are those that the page was chosen from, noted while it was decided (`witness`): catalogue rows of the
release named beside them, in order of utility, so that a record gives its page again, bit by bit (`replay`). `replayed` says
whether it did when it was written; it is null for pages made ahead of time, of which nothing is known. A challenger is asked
after the page has gone out. Nothing of this delays a page: see `shadow`. Pages that merge two rankings are left out, as two
policies had candidates; so are pages in kids mode. Knows nothing of who reads it.
"""

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core import columns as c
from core import config, files
from core.clock import DAY_MS, HOUR_MS, SECOND_MS
from core.policy import Request, Slate
from data import tombstones
from data.catalogue import ViewerTable
from serving.recommender import Recommender
from serving.trace import is_fault
from serving.witness import Note, Notebook, again

FOLDER = "counterfactual"
_FLOATS, _ROWS, _IDS = (pa.list_(kind) for kind in (pa.float32(), pa.int32(), pa.int64()))
SCHEMA = pa.schema(
    [
        (c.REQUEST_ID, pa.string()), ("at", pa.int64()), (c.VIEWER_ID, pa.int64()), (c.SURFACE, pa.string()), ("k", pa.int32()),
        ("warm", pa.bool_()), (c.COUNTRY, pa.string()),
        (c.RELEASE_ID, pa.string()), (c.ARM, pa.string()), ("policy", pa.string()), (c.FEATURE_HASH, pa.string()),
        ("shown", _IDS), ("shown_utility", _FLOATS), ("propensities", _FLOATS), ("ms", pa.float32()), ("failed", pa.bool_()),
        ("replayed", pa.bool_()), ("rows", _ROWS), ("utility", _FLOATS), ("spread", _FLOATS),
        ("shadow_release_id", pa.string()), ("shadow_shown", _IDS), ("shadow_shown_utility", _FLOATS),
        ("shadow_ms", pa.float32()), ("shadow_failed", pa.bool_()), ("shadow_error", pa.string()),
        ("shadow_rows", _ROWS), ("shadow_utility", _FLOATS),
    ]
)  # fmt: skip
"""`policy` is the fingerprint of the serving config; `warm`: the viewer has a history; `spread`: see `serving.thompson`."""
CANDIDATES = ("rows", "utility", "spread", "shadow_rows", "shadow_utility")
"""Columns with an entry per candidate: most of the bytes."""
_ENCODINGS = {
    f"{name}.list.element": "DELTA_BINARY_PACKED" if name.endswith("rows") else "BYTE_STREAM_SPLIT" for name in CANDIDATES
}
_COUNTRY = c.VIEWER_ATTRIBUTES.index(c.COUNTRY)
_WORDS = [c.SURFACE, c.COUNTRY, c.RELEASE_ID, c.ARM, "policy", "shadow_release_id", "shadow_error"]
"""Columns that say the same few things again and again."""


@dataclass(frozen=True)
class Subjects:
    """Who is recorded at the moment."""

    behind: Callable[[Request], Recommender | None]
    """The recommender behind the page of a request; None where that is not one."""
    viewers: ViewerTable
    challenger: Recommender | None = None
    notes: Notebook = field(default_factory=Notebook)
    """What pages were chosen from."""


class Recorder:
    """Shown pages into rows of SCHEMA, a challenger asked along the way; call it from one background thread."""

    def __init__(self, subjects: Callable[[], Subjects], keep: Callable[[dict[str, Any]], None]) -> None:
        self._subjects, self._keep = subjects, keep
        self._asked = Notebook()

    def __call__(self, request: Request, slate: Slate) -> None:
        """Record one page."""
        subjects = self._subjects()
        note, behind = subjects.notes.take(request.request_id), subjects.behind(request)
        if behind is None or request.kids:
            return
        row = _shown(request, slate, note) | {"policy": config.fingerprint(behind.config)}
        if note is not None:
            row["replayed"] = gives_page(behind, row)
        code = subjects.viewers.attributes([request.viewer_id])[0, _COUNTRY]
        row[c.COUNTRY] = subjects.viewers.vocabularies[_COUNTRY].values[code]
        if subjects.challenger is not None:
            row |= self._challenged(subjects.challenger, request)
        self._keep(row)

    def _challenged(self, challenger: Recommender, request: Request) -> dict[str, Any]:
        found: dict[str, Any] = {"shadow_release_id": challenger.parts.release_id, "shadow_failed": True}
        began = time.perf_counter()
        try:
            (slate,) = self._asked.over(challenger).recommend([replace(request, answer_by_s=None)])
        except Exception as error:  # whatever it is, it is the challenger's result
            ms = 1e3 * (time.perf_counter() - began)
            return found | {"shadow_error": f"{type(error).__name__}: {error}"[:200], "shadow_ms": ms}
        ms, note = 1e3 * (time.perf_counter() - began), self._asked.take(request.request_id)
        return found | {
            "shadow_shown": slate.video_ids, "shadow_shown_utility": slate.scores.get("utility"), "shadow_ms": ms,
            "shadow_failed": not len(slate.video_ids) or _broken(slate), "shadow_error": "; ".join(slate.degraded) or None,
            **({"shadow_rows": note.rows_K, "shadow_utility": note.utility_K} if note else {}),
        }  # fmt: skip


def replay(recommender: Recommender, record: Mapping[str, Any]) -> tuple[list[int], NDArray[np.float64]]:
    """The page that a record's candidates give, and its propensities.

    Args:
        recommender: of the record's release, under the config that `policy` is the fingerprint of.
        record: a row of SCHEMA with its candidates.
    """
    video_ids, page = again(recommender, *noted(record), chance=by_chance(record))
    return video_ids.tolist(), page.propensities


def by_chance(record: Mapping[str, Any]) -> bool:
    """Whether anything of the page was left to chance: not where its settings, or the viewer's daily cap, left nothing."""
    return bool((np.asarray(record["propensities"]) < 1).any())


def noted(record: Mapping[str, Any]) -> tuple[Request, Note]:
    """The request of a record, and what its page was chosen from."""
    request = Request(record[c.REQUEST_ID], record[c.VIEWER_ID], record["at"], record[c.SURFACE], record["k"])
    rows, utility = np.asarray(record["rows"], dtype=np.int32), np.asarray(record["utility"], dtype=np.float32)
    spread = None if record["spread"] is None else np.asarray(record["spread"], dtype=np.float32)
    return request, Note(rows, utility, record["warm"], spread)


def gives_page(recommender: Recommender, record: Mapping[str, Any]) -> bool:
    """Whether a record's candidates give its page and its propensities (32 bits of them)."""
    video_ids, propensities = replay(recommender, record)
    same = video_ids == list(record["shown"])
    return same and np.array_equal(propensities.astype(np.float32), np.asarray(record["propensities"], dtype=np.float32))


def _shown(request: Request, slate: Slate, note: Note | None) -> dict[str, Any]:
    row = {
        c.REQUEST_ID: request.request_id, "at": request.at, c.VIEWER_ID: request.viewer_id, c.SURFACE: request.surface,
        "k": request.k, "warm": note is not None and note.warm,
        c.RELEASE_ID: slate.release_id, c.ARM: slate.arm, c.FEATURE_HASH: slate.feature_hash,
        "shown": slate.video_ids.tolist(), "shown_utility": slate.scores.get("utility"), "propensities": slate.propensities,
        "ms": sum(slate.stage_ms.values()), "failed": not len(slate.video_ids) or _broken(slate), "replayed": None,
    }  # fmt: skip
    return row if note is None else row | {"rows": note.rows_K, "utility": note.utility_K, "spread": note.spread_K}


def _broken(slate: Slate) -> bool:
    """Whether a part was missing, as opposed to a viewer of whom nothing is known."""
    return any(is_fault(reason) for reason in slate.degraded)


@dataclass(frozen=True)
class Stored:
    """What records take on disk."""

    records: int
    num_bytes: int

    @property
    def bytes_each(self) -> float | None:
        """Of a record; None without any."""
        return self.num_bytes / self.records if self.records else None


def stored(space: Path) -> Stored:
    """All records of a space."""
    files = sorted((space / FOLDER).glob("*.parquet"))
    return Stored(sum(pq.read_metadata(file).num_rows for file in files), sum(file.stat().st_size for file in files))


class Writer:
    """Rows into files, gathered. Safe for many threads."""

    def __init__(self, folder: Path, *, rows: int = 500, seconds: float = 60.0, days: int = 30) -> None:
        """Args:
        folder: of the files; made when the first is written.
        rows: of one file at most.
        seconds: age at which what was gathered is written, when the next row comes.
        days: age at which files are removed.
        """
        self._folder, self._limits, self._days = folder, (rows, seconds), days
        self._rows: list[dict[str, Any]] = []
        self._began_s = 0.0
        self._lock = threading.RLock()
        self.written = Stored(0, 0)
        """By this writer, since it was made."""

    def add(self, row: dict[str, Any]) -> None:
        """Take one row."""
        with self._lock:
            if self._rows and _hour(self._rows[0]) != _hour(row):
                self.close()
            if not self._rows:
                self._began_s = time.monotonic()
            self._rows.append(row)
            if len(self._rows) >= self._limits[0] or time.monotonic() - self._began_s >= self._limits[1]:
                self.close()

    def close(self) -> None:
        """Write what was gathered, and remove what is too old. Nothing is written of viewers who asked to be forgotten."""
        with self._lock:
            rows, self._rows = self._rows, []
            gone = tombstones.read(self._folder.parent).forgotten_at if rows else {}
            self._write([row for row in rows if row[c.VIEWER_ID] not in gone])

    @property
    def files(self) -> list[Path]:
        """What has been written, oldest first."""
        return sorted(self._folder.glob("*.parquet"))

    def of_viewer(self, viewer_id: int) -> list[dict[str, Any]]:
        """All records of one viewer, oldest first, without empty fields."""
        self.close()
        found = read(self._folder.parent, candidates=True).filter(pl.col(c.VIEWER_ID) == viewer_id).to_dicts()
        return [{name: value for name, value in row.items() if value is not None} for row in found]

    def forget(self, viewer_id: int) -> int:
        """Remove the records of one viewer from the files, those of other processes too; how many there were.

        Mark the viewer in `data.tombstones` before, so that rows that processes still gather are not written.
        """
        self.close()
        removed = 0
        for file in self.files:
            mine = pl.read_parquet(file, columns=[c.VIEWER_ID])[c.VIEWER_ID] == viewer_id
            if mine.any():
                removed += int(mine.sum())
                rest = pq.read_table(file).filter(pa.array(~mine))
                _store(rest, file) if len(rest) else file.unlink(missing_ok=True)
        return removed

    def _write(self, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        path = self._folder / f"{_stamp(rows[0]['at'])}-{uuid.uuid4().hex[:8]}.parquet"
        _store(to_table(rows), path)
        self.written = Stored(self.written.records + len(rows), self.written.num_bytes + path.stat().st_size)
        oldest = _stamp(rows[0]["at"] - self._days * DAY_MS)
        for file in self.files:
            if file.name < oldest:
                file.unlink(missing_ok=True)


def _store(table: pa.Table, path: Path) -> None:
    with files.replaced(path) as staged:
        pq.write_table(table, staged, compression="zstd", use_dictionary=_WORDS, column_encoding=_ENCODINGS)


def to_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of a Recorder with schema SCHEMA."""
    return pa.table({field.name: pa.array([row.get(field.name) for row in rows], field.type) for field in SCHEMA}, SCHEMA)


def read(space: Path, *, candidates: bool = False) -> pl.DataFrame:
    """All records of a space by time, without viewers who asked to be forgotten.

    Args:
        space: folder of the dataset.
        candidates: also the columns CANDIDATES.
    """
    columns = [name for name in SCHEMA.names if candidates or name not in CANDIDATES]
    empty = pl.DataFrame(pl.from_arrow(SCHEMA.empty_table())).select(columns)
    frames = [_of_file(file, columns) for file in sorted((space / FOLDER).glob("*.parquet"))]
    found = pl.concat([empty, *frames], how="diagonal_relaxed")
    return found.filter(~pl.col(c.VIEWER_ID).is_in(list(tombstones.read(space).forgotten_at))).sort("at", c.REQUEST_ID)


def _of_file(file: Path, columns: Sequence[str]) -> pl.DataFrame:
    """Those of the columns that it has: earlier versions wrote fewer."""
    there = pl.read_parquet_schema(file)
    return pl.read_parquet(file, columns=[name for name in columns if name in there])


def _hour(row: Mapping[str, Any]) -> int:
    return int(row["at"]) // HOUR_MS


def _stamp(at: int) -> str:
    return f"{datetime.fromtimestamp(at / SECOND_MS, UTC):%Y%m%dT%H}"
