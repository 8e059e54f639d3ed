"""A bare list of who watched what, for measuring on a prepared data set: viewer_id, video_id and, where there is one, an order.

CSV or Parquet. The order is a `position` or a time; without either, the rows of a viewer count as unordered. Column names as in
the usual public files are understood. Result: `Interactions`, plus the ids of the videos in row order.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core.errors import SchemaMismatch
from data import interactions
from data.interactions import Interactions
from data.quarantine import Quarantine, RawTable, enforce
from data.sources import convert, tabular, text

_VIEWER = ("viewer_id", "user_id", "userId", "viewer", "user", "uid")
_VIDEO = ("video_id", "item_id", "movieId", "movie_id", "video", "item", "sid", "iid")
_ORDER = ("position", "order", "rank")
_TIME = ("timestamp", "time", "event_at", "time_ms", "date")


@dataclass(frozen=True)
class InteractionLog:
    """Interactions of N viewers with V videos."""

    interactions: Interactions
    video_ids: NDArray[np.int64]
    """[V] sorted; video rows are positions in it."""
    quarantine: Quarantine
    warnings: tuple[str, ...]


def load(path: Path, limits: tabular.Limits | None = None) -> InteractionLog:
    """Read one file. Repeated interactions stay, except exact repetitions (same viewer, video and place in the order).

    Raises:
        BadInput: the file is missing or empty.
        SchemaMismatch: no viewer or video column under a usual name.
        TooManyBrokenRows: see `tabular.Limits`.
    """
    limits = limits or tabular.Limits()
    table = text.read(path)
    viewer, video = _role(table, _VIEWER, "viewer_id"), _role(table, _VIDEO, "video_id")
    order, time = text.first_present(table, _ORDER), text.first_present(table, _TIME)
    table = table.with_columns(
        convert.token(viewer).alias("viewer"), convert.token(video).alias("video"), _at(table, order, time)
    )
    table = table.screen(
        [
            *convert.id_rules(viewer, "viewer"),
            *convert.id_rules(video, "video"),
            (f"{order or time} is no number or time ≥ 0", pl.col("at").is_null() | (pl.col("at") < 0)),
            (f"{order or time} lies in the far future", pl.col("at") >= limits.latest_at),
        ]
    ).screen([("duplicate of an earlier row", ~pl.struct("viewer", "video", "at").is_first_distinct())])
    quarantine = enforce(path.stem, [table], limits.max_broken, limits.quarantine_dir)
    viewer_ids = convert.to_ids(table.frame["viewer"]).to_numpy()
    video_ids, rows = np.unique(convert.to_ids(table.frame["video"]).to_numpy(), return_inverse=True)
    grouped = interactions.group(
        viewer_ids, rows.astype(np.int32), table.frame["at"].to_numpy(), len(video_ids), ordered=bool(order or time)
    )
    warnings = table.warnings if order or time else (*table.warnings, f"{path.name} has no order: neither position nor time")
    return InteractionLog(grouped, video_ids, quarantine, warnings)


def _at(table: RawTable, order: str | None, time: str | None) -> pl.Series:
    if order:
        return convert.instants(table.frame[order], "order").alias("at")
    if time:
        return convert.instants(table.frame[time], "auto").alias("at")
    return pl.Series("at", np.zeros(len(table.frame), dtype=np.int64))


def _role(table: RawTable, names: tuple[str, ...], role: str) -> str:
    found = text.first_present(table, names)
    if found is None:
        raise SchemaMismatch(f"{table.file} has no {role} column ({', '.join(names)}); columns: {', '.join(table.columns)}")
    return found
