"""What else a page could have been: all that the policy had to choose from, and a challenger's page, of a share of requests.

    <space>/counterfactual/20260105T13-<name>.parquet      one or more files per hour, schema `SCHEMA`, zstd

A request is asked once more after its page has gone out, through a `Witness` that sees the candidates and their utilities; the
same request and state give the same page, and `replayed` says whether they did (an event, or the daily cap on exploration, may
have come between). Rows are catalogue rows of the release named beside them, ascending and delta-coded; utilities are 16-bit.
`propensities` are those of the page that was shown. Nothing of this delays a page: see `shadow`. Pages that merge two rankings
are left out: two policies had candidates. Knows nothing of who reads it.
"""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core import columns as c
from core import config
from core.clock import DAY_MS, HOUR_MS, SECOND_MS
from core.policy import Request, Slate
from data import tombstones
from data.catalogue import ViewerTable
from features.schema import FeatureBatch
from ranking.combine import combine
from ranking.config import CombineConfig
from serving.recommender import Recommender
from serving.stages import Floats, Scorer
from serving.trace import is_fault

FOLDER = "counterfactual"
_FLOATS, _ROWS, _IDS, _HALVES = (pa.list_(kind) for kind in (pa.float32(), pa.int32(), pa.int64(), pa.float16()))
SCHEMA = pa.schema(
    [
        (c.REQUEST_ID, pa.string()), ("at", pa.int64()), (c.VIEWER_ID, pa.int64()), (c.SURFACE, pa.string()), ("k", pa.int32()),
        ("warm", pa.bool_()), (c.COUNTRY, pa.string()),
        (c.RELEASE_ID, pa.string()), (c.ARM, pa.string()), ("policy", pa.string()), (c.FEATURE_HASH, pa.string()),
        ("shown", _IDS), ("shown_utility", _FLOATS), ("propensities", _FLOATS), ("ms", pa.float32()), ("failed", pa.bool_()),
        ("replayed", pa.bool_()), ("rows", _ROWS), ("utility", _HALVES),
        ("shadow_release_id", pa.string()), ("shadow_shown", _IDS), ("shadow_shown_utility", _FLOATS),
        ("shadow_ms", pa.float32()), ("shadow_failed", pa.bool_()), ("shadow_error", pa.string()),
        ("shadow_rows", _ROWS), ("shadow_utility", _HALVES),
    ]
)  # fmt: skip
"""`policy` is the fingerprint of the serving config; `warm` is whether the viewer has a history."""
CANDIDATES = ("rows", "utility", "shadow_rows", "shadow_utility")
"""Columns with an entry per candidate: most of the bytes."""
_ENCODINGS = {
    f"{name}.list.element": "DELTA_BINARY_PACKED" if name.endswith("rows") else "BYTE_STREAM_SPLIT" for name in CANDIDATES
}
_COUNTRY = c.VIEWER_ATTRIBUTES.index(c.COUNTRY)
_WORDS = [c.SURFACE, c.COUNTRY, c.RELEASE_ID, c.ARM, "policy", "shadow_release_id", "shadow_error"]
"""Columns that say the same few things again and again."""


@dataclass(frozen=True)
class Answer:
    """What a policy answered, and what from. K candidates."""

    slate: Slate
    ms: float
    rows_K: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    """Ascending; empty when the ranker was not reached."""
    utility_K: NDArray[np.float16] = field(default_factory=lambda: np.empty(0, np.float16))
    warm: bool = False
    """Whether the viewer has a history."""


class _Tap:
    """A scorer that keeps the last batch of one request."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self.clear()

    @property
    def combine(self) -> CombineConfig:
        """See Scorer."""
        return self._scorer.combine

    def clear(self) -> None:
        """Forget the last batch."""
        self.rows_K: NDArray[np.int32] = np.empty(0, np.int32)
        self.utility_K: NDArray[np.float16] = np.empty(0, np.float16)
        self.warm = False

    def score(self, batch: FeatureBatch, affinity_BK: Floats) -> Mapping[str, Floats]:
        """See Scorer."""
        scores = self._scorer.score(batch, affinity_BK)
        utility = combine({"affinity": affinity_BK, **scores}, self.combine)[0]
        order = np.argsort(batch.video_BK[0], kind="stable")
        self.rows_K, self.utility_K = batch.video_BK[0, order], utility[order].astype(np.float16)
        self.warm = bool((batch.viewer.history_BL[0] >= 0).any())
        return scores


class Witness:
    """A recommender's double that tells what it chose from. For one thread."""

    def __init__(self, recommender: Recommender) -> None:
        parts = recommender.parts
        self._tap = None if parts.scorer is None else _Tap(parts.scorer)
        self._double = Recommender(replace(parts, scorer=self._tap))
        self.release_id, self.policy = parts.release_id, config.fingerprint(parts.config)

    def answer(self, request: Request) -> Answer:
        """The request, asked once more; nobody waits for it."""
        began, tap = time.perf_counter(), self._tap
        if tap:
            tap.clear()
        (slate,) = self._double.recommend([replace(request, answer_by_s=None)])
        ms = 1e3 * (time.perf_counter() - began)
        return Answer(slate, ms, tap.rows_K, tap.utility_K, tap.warm) if tap else Answer(slate, ms)


@dataclass(frozen=True)
class Subjects:
    """Who is recorded at the moment."""

    behind: Callable[[Request], Recommender | None]
    """The recommender behind the page of a request; None where that is not one."""
    viewers: ViewerTable
    challenger: Recommender | None = None


class Recorder:
    """Shown pages into rows of SCHEMA, a challenger asked along the way; call it from one background thread."""

    def __init__(self, subjects: Callable[[], Subjects], keep: Callable[[dict[str, Any]], None]) -> None:
        self._subjects, self._keep = subjects, keep
        self._witnesses: WeakKeyDictionary[Recommender, Witness] = WeakKeyDictionary()

    def __call__(self, request: Request, slate: Slate) -> None:
        """Record one page."""
        subjects = self._subjects()
        behind = subjects.behind(request)
        if behind is None:
            return
        witness = self._witness(behind)
        row = _shown(request, slate, witness.answer(request)) | {"policy": witness.policy}
        code = subjects.viewers.attributes([request.viewer_id])[0, _COUNTRY]
        row[c.COUNTRY] = subjects.viewers.vocabularies[_COUNTRY].values[code]
        if subjects.challenger is not None:
            row |= _challenged(self._witness(subjects.challenger), request)
        self._keep(row)

    def _witness(self, recommender: Recommender) -> Witness:
        found = self._witnesses.get(recommender)
        if found is None:
            found = self._witnesses[recommender] = Witness(recommender)
        return found


def _shown(request: Request, slate: Slate, again: Answer) -> dict[str, Any]:
    same = again.slate.video_ids.tolist() == slate.video_ids.tolist() and again.slate.feature_hash == slate.feature_hash
    return {
        c.REQUEST_ID: request.request_id, "at": request.at, c.VIEWER_ID: request.viewer_id, c.SURFACE: request.surface,
        "k": request.k, "warm": again.warm,
        c.RELEASE_ID: slate.release_id, c.ARM: slate.arm, c.FEATURE_HASH: slate.feature_hash,
        "shown": slate.video_ids, "shown_utility": slate.scores.get("utility"), "propensities": slate.propensities,
        "ms": sum(slate.stage_ms.values()), "failed": not len(slate.video_ids) or _broken(slate), "replayed": same,
        "rows": again.rows_K, "utility": again.utility_K,
    }  # fmt: skip


def _challenged(witness: Witness, request: Request) -> dict[str, Any]:
    found: dict[str, Any] = {"shadow_release_id": witness.release_id, "shadow_failed": True}
    began = time.perf_counter()
    try:
        answer = witness.answer(request)
    except Exception as error:  # whatever it is, it is the challenger's result
        ms = 1e3 * (time.perf_counter() - began)
        return found | {"shadow_error": f"{type(error).__name__}: {error}"[:200], "shadow_ms": ms}
    slate = answer.slate
    return found | {
        "shadow_shown": slate.video_ids, "shadow_shown_utility": slate.scores.get("utility"), "shadow_ms": answer.ms,
        "shadow_failed": not len(slate.video_ids) or _broken(slate), "shadow_error": "; ".join(slate.degraded) or None,
        "shadow_rows": answer.rows_K, "shadow_utility": answer.utility_K,
    }  # fmt: skip


def _broken(slate: Slate) -> bool:
    """Whether a part was missing, as opposed to a viewer of whom nothing is known."""
    return any(is_fault(reason) for reason in slate.degraded)


class Writer:
    """Rows into files, gathered: `add` from one thread, `close` once that has ended."""

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

    def add(self, row: dict[str, Any]) -> None:
        """Take one row."""
        if self._rows and _hour(self._rows[0]) != _hour(row):
            self.close()
        if not self._rows:
            self._began_s = time.monotonic()
        self._rows.append(row)
        if len(self._rows) >= self._limits[0] or time.monotonic() - self._began_s >= self._limits[1]:
            self.close()

    def close(self) -> None:
        """Write what was gathered, and remove what is too old."""
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{_stamp(rows[0]['at'])}-{uuid.uuid4().hex[:8]}.parquet"
        staged = path.with_suffix(".staged")
        pq.write_table(to_table(rows), staged, compression="zstd", use_dictionary=_WORDS, column_encoding=_ENCODINGS)
        staged.replace(path)
        oldest = _stamp(rows[0]["at"] - self._days * DAY_MS)
        for file in self._folder.glob("*.parquet"):
            if file.name < oldest:
                file.unlink(missing_ok=True)


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
    frames = [pl.read_parquet(file, columns=columns) for file in sorted((space / FOLDER).glob("*.parquet"))]
    forgotten = list(tombstones.read(space).forgotten_at)
    return pl.concat([empty, *frames]).filter(~pl.col(c.VIEWER_ID).is_in(forgotten)).sort("at", c.REQUEST_ID)


def _hour(row: Mapping[str, Any]) -> int:
    return int(row["at"]) // HOUR_MS


def _stamp(at: int) -> str:
    return f"{datetime.fromtimestamp(at / SECOND_MS, UTC):%Y%m%dT%H}"
