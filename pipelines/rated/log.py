"""A rated log: one row per shown video with how it was received. The file's columns, named once, and the label of each head.

    viewer_id or user_id, video_id, time_ms or at (ms)      required
    duration_ms, tab, author_id or author                   what is known of a row before it is shown, where present
    is_click, long_view, play_time_ms, label or is_like with is_hate
                                                            what came of it: labels, and history of later rows, nothing else

`like` is like against hate: 1 liked, 0 hated, unknown where the viewer said neither. Columns of KuaiRand (Gao et al., CIKM
2022); every other column of the file is not read. A table of viewers, `users.csv`, may lie beside the training file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core.errors import SchemaMismatch
from pipelines.evaluation.held_out import frame_ids, read_frame

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

CLICK, LONG_VIEW, LIKE, WATCH = "click", "long_view", "like", "watch"
BINARY = (CLICK, LONG_VIEW, LIKE)
HEADS = (*BINARY, WATCH)
VIEWERS_FILE = "users.csv"
_VIEWER = ("viewer_id", "user_id")
_TIME = ("time_ms", "at")
_CONTEXTS = {"tab": ("tab",), "author": ("author_id", "author")}


@dataclass(frozen=True)
class RatedLog:
    """R shown videos, in time order."""

    viewer_ids: Ids
    video_ids: Ids
    at: Ids
    """[R] milliseconds."""
    duration_s: Floats
    """[R] NaN where unknown."""
    contexts: Mapping[str, Ids]
    """`tab` and `author` where the log has them, [R] each."""
    labels: Mapping[str, Floats]
    """[R] by head, NaN where unknown; `watch` in seconds."""
    omitted: Mapping[str, str]
    """Heads without a label column, and why."""

    def __len__(self) -> int:
        return len(self.at)

    def take(self, rows: NDArray[np.int64]) -> "RatedLog":
        """Some of the rows."""
        return RatedLog(
            self.viewer_ids[rows],
            self.video_ids[rows],
            self.at[rows],
            self.duration_s[rows],
            {name: values[rows] for name, values in self.contexts.items()},
            {name: values[rows] for name, values in self.labels.items()},
            self.omitted,
        )


@dataclass(frozen=True)
class Attributes:
    """N viewers with A numbers each; text became its place among the sorted values."""

    viewer_ids: Ids
    """[N] sorted."""
    names: tuple[str, ...]
    values_NA: Floats


def read(path: Path) -> RatedLog:
    """A log by its suffix: .tsv, .csv or .parquet.

    Raises:
        BadInput: the file is missing, empty, or of another kind.
        SchemaMismatch: a required column is missing, or no head has its label.
    """
    frame = read_frame(path)
    time = time_column(frame)
    if frame[time].null_count() or not frame[time].dtype.is_integer():
        raise SchemaMismatch(f"{path}: column '{time}' must hold whole milliseconds in every row")
    frame = frame.sort(time, maintain_order=True)
    found = {name: next((column for column in columns if column in frame.columns), None) for name, columns in _CONTEXTS.items()}
    labels, omitted = _labels(frame)
    if not labels:
        raise SchemaMismatch(f"{path} has no label to learn from: {'; '.join(omitted.values())}")
    has_length = "duration_ms" in frame.columns
    return RatedLog(
        viewer_ids=frame_ids(frame, _first(frame, _VIEWER)),
        video_ids=frame_ids(frame, "video_id"),
        at=frame[time].cast(pl.Int64).to_numpy(),
        duration_s=_numbers(frame, "duration_ms") / 1_000 if has_length else np.full(len(frame), np.nan),
        contexts={name: frame_ids(frame, column) for name, column in found.items() if column is not None},
        labels=labels,
        omitted=omitted,
    )


def read_viewers(log_path: Path) -> Attributes | None:
    """The table of viewers beside a log; None where there is none."""
    path = log_path.parent / VIEWERS_FILE
    if not path.is_file():
        return None
    frame = read_frame(path)
    key = _first(frame, _VIEWER)
    frame = frame.unique(key, keep="first", maintain_order=True)
    ids, names = frame_ids(frame, key), tuple(column for column in frame.columns if column != key)
    values = np.stack([_coded(frame[name]) for name in names], axis=1) if names else np.zeros((len(frame), 0))
    order = np.argsort(ids)
    return Attributes(ids[order], names, values[order])


def time_column(frame: pl.DataFrame) -> str:
    """The column with each row's instant. Raises SchemaMismatch without one."""
    return _first(frame, _TIME)


def _labels(frame: pl.DataFrame) -> tuple[dict[str, Floats], dict[str, str]]:
    labels: dict[str, Floats] = {}
    omitted: dict[str, str] = {}
    for head, column in ((CLICK, "is_click"), (LONG_VIEW, "long_view"), (WATCH, "play_time_ms")):
        if column in frame.columns:
            labels[head] = _numbers(frame, column)
        else:
            omitted[head] = f"the log has no column {column}"
    if "label" in frame.columns:
        labels[LIKE] = _numbers(frame, "label")
    elif {"is_like", "is_hate"} <= set(frame.columns):
        liked, hated = _numbers(frame, "is_like") > 0, _numbers(frame, "is_hate") > 0
        labels[LIKE] = np.where(liked, 1.0, np.where(hated, 0.0, np.nan))
    else:
        omitted[LIKE] = "the log has no column label, nor is_like and is_hate"
    if WATCH in labels:
        labels[WATCH] = np.maximum(labels[WATCH], 0.0) / 1_000
    for head in BINARY:
        known = labels[head][~np.isnan(labels[head])] if head in labels else np.empty(0)
        if not np.isin(known, (0.0, 1.0)).all():
            raise SchemaMismatch(f"the label of '{head}' must be 0 or 1 in every row, found {np.unique(known)[:5].tolist()}")
    return labels, omitted


def _first(frame: pl.DataFrame, columns: tuple[str, ...]) -> str:
    for column in columns:
        if column in frame.columns:
            return column
    raise SchemaMismatch(f"column '{columns[0]}' (or '{columns[-1]}') is missing; found: {', '.join(frame.columns)}")


def _numbers(frame: pl.DataFrame, column: str) -> Floats:
    return frame[column].cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()


def _coded(column: pl.Series) -> Floats:
    if not column.dtype.is_numeric():
        column = column.cast(pl.String).rank("dense")
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()
