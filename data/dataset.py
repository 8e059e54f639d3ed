"""A dataset: events, viewers and videos as three frames with the schemas of `core.columns`.

Every source ends here and everything else starts here. Events are sorted by (received_at, event_id), so that replaying the
frame replays history. Knows nothing of features or models.
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from core import columns as c
from core import events as ev
from core.errors import BadInput, SchemaMismatch

_TABLES = {"events": c.EVENTS, "viewers": c.VIEWERS, "videos": c.VIDEOS}


@dataclass(frozen=True)
class Dataset:
    """A log of viewers with its catalogue."""

    name: str
    events: pl.DataFrame
    viewers: pl.DataFrame
    videos: pl.DataFrame

    @property
    def has_impressions(self) -> bool:
        """Whether the log says what was shown, not only what was watched."""
        return bool((self.events[c.KIND] == ev.IMPRESSION).any())

    @property
    def has_watch_time(self) -> bool:
        """Whether the log says how long people watched."""
        return bool((self.events[c.KIND] == ev.WATCH).any())

    @property
    def end_at(self) -> int:
        """Instant of the last event."""
        return int(self.events[c.RECEIVED_AT].max() or 0)  # type: ignore[arg-type]

    def until(self, at: int) -> "Dataset":
        """The same dataset as it was known strictly before `at`; the catalogue keeps what was uploaded by then."""
        uploaded = self.videos.filter(pl.col(c.UPLOADED_AT).is_null() | (pl.col(c.UPLOADED_AT) < at))
        return Dataset(self.name, self.events.filter(pl.col(c.RECEIVED_AT) < at), self.viewers, uploaded)


def conform(frame: pl.DataFrame, schema: pa.Schema) -> pl.DataFrame:
    """`frame` with exactly the columns of `schema`: absent nullable ones become null.

    Raises:
        SchemaMismatch: a required column is absent or holds nulls.
    """
    for field in schema:
        if not field.nullable and field.name not in frame.columns:
            raise SchemaMismatch(f"column '{field.name}' is missing; found: {', '.join(frame.columns)}")
        if not field.nullable and frame[field.name].null_count():
            raise SchemaMismatch(f"column '{field.name}' has {frame[field.name].null_count()} empty values")
    empty = pl.from_arrow(schema.empty_table())
    assert isinstance(empty, pl.DataFrame)
    dtypes = dict(empty.schema)
    have = set(frame.columns)
    picked = [(pl.col(n) if n in have else pl.lit(None)).cast(dtype).alias(n) for n, dtype in dtypes.items()]
    return frame.select(picked)


def make(name: str, events: pl.DataFrame, viewers: pl.DataFrame, videos: pl.DataFrame) -> Dataset:
    """A Dataset from frames that have at least the required columns; sorts the events and the catalogues by id."""
    if not len(events):
        raise BadInput(f"the log '{name}' has no usable events")
    return Dataset(
        name=name,
        events=conform(events, c.EVENTS).sort(c.RECEIVED_AT, c.EVENT_ID),
        viewers=conform(viewers, c.VIEWERS).sort(c.VIEWER_ID),
        videos=conform(videos, c.VIDEOS).sort(c.VIDEO_ID),
    )


def save(dataset: Dataset, path: Path) -> None:
    """Write three Parquet files into `path`."""
    path.mkdir(parents=True, exist_ok=True)
    for table, schema in _TABLES.items():
        pq.write_table(getattr(dataset, table).to_arrow().cast(schema), path / f"{table}.parquet", compression="zstd")
    (path / "name").write_text(dataset.name)


def load(path: Path) -> Dataset:
    """The inverse of `save`."""
    frames = {table: pl.read_parquet(path / f"{table}.parquet") for table in _TABLES}
    return Dataset((path / "name").read_text(), **frames)
