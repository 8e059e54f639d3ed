"""Evaluation between two bare files: learn from one, be measured on the other.

Order matters and is kept: the training file is read, models are tuned and fitted on it alone, and only then is the held-out
file opened. A file is Parquet, CSV or TSV with `viewer_id`, `video_id` and, where there is an order, one of `at` (ms),
`timestamp` (s or ms) or `position` (within a viewer). Optional video vectors: row i of the .npy belongs to video_id i.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import ids
from core.errors import BadInput, SchemaMismatch
from data.catalogue import lookup
from data.interactions import Interactions, group
from data.splits import Pairs, find_leaks
from pipelines.evaluation import cases, representative, slices
from pipelines.evaluation.evaluate import FittedModels, evaluate, fit_baselines
from pipelines.evaluation.leaderboard import About, Leaderboard
from pipelines.progress import Stages

PROTOCOL = "held-out file: all held-out videos of a viewer are targets, full catalogue, seen videos filtered"
_TIMES = ("at", "timestamp")
_SECONDS_BELOW = 100_000_000_000


@dataclass(frozen=True)
class FileLog:
    """A training file and the catalogue it implies."""

    interactions: Interactions
    video_ids: NDArray[np.int64]
    """[V] sorted: the ids of the file and the rows of the vectors."""
    content: NDArray[np.float32]
    """[V, C] vectors; zeros where there is none, C = 0 without vectors."""
    timed: bool
    """Whether instants are real times."""


More = Callable[[FileLog, FittedModels], FittedModels]
"""Further models from the training file, beside the baselines and what their tuning found."""


def read_log(path: Path, item_vectors: Path | None = None) -> FileLog:
    """The training file and its catalogue.

    Raises:
        BadInput: the file is empty, of another kind, or lacks a column.
    """
    frame = read_frame(path)
    viewer_ids, tokens = frame_ids(frame, "viewer_id"), frame_ids(frame, "video_id")
    vectors = np.zeros((0, 0), dtype=np.float32)
    if item_vectors is not None:
        vectors = np.load(item_vectors, allow_pickle=False).astype(np.float32)
    video_ids = np.union1d(tokens, np.arange(len(vectors), dtype=np.int64))
    content = np.zeros((len(video_ids), vectors.shape[1]), dtype=np.float32)
    content[lookup(video_ids, np.arange(len(vectors)))] = vectors
    name = next((column for column in (*_TIMES, "position") if column in frame.columns), None)
    at = np.zeros(len(frame), dtype=np.int64) if name is None else _instants(frame, name)
    rows = lookup(video_ids, tokens)
    interactions = group(viewer_ids, rows, at, len(video_ids), ordered=name is not None)
    return FileLog(interactions, video_ids, content, timed=name in _TIMES)


def evaluate_files(
    interactions: Path,
    held_out: Path,
    item_vectors: Path | None = None,
    *,
    more: More | None = None,
    max_ease_videos: int = 8_000,
    seed: int = 0,
    stages: Stages | None = None,
) -> Leaderboard:
    """Fit on `interactions`, then open `held_out` and measure; `more` fits further models before that."""
    stages = stages or Stages()
    with stages("read") as stage:
        log = read_log(interactions, item_vectors)
        stage.note = f"{len(log.interactions):,} interactions, {len(log.video_ids):,} videos"
    with stages("baselines"):
        fitted = fit_baselines(log.interactions, timed=log.timed, max_ease_videos=max_ease_videos, seed=seed)
    if more is not None:
        fitted |= more(log, fitted)
    with stages("held-out file") as stage:
        asked = read_pairs(held_out, log)
        test = cases.held_out(log.interactions, asked.viewer_ids, asked.video_rows)
        about = About(
            leaks=find_leaks(Pairs.of(log.interactions, timed=log.timed), asked),
            labels=slices.label(test),
            shifts=representative.files(log.interactions, asked.viewer_ids, asked.video_rows),
            sightings=log.interactions.counts(),
        )
        result = evaluate(fitted, test, PROTOCOL, about=about, seed=seed)
        stage.note = f"{len(result.held_out):,} viewers"
    return result


def read_pairs(path: Path, log: FileLog) -> Pairs:
    """The held-out file against the catalogue of the training log; its times where both files have real ones."""
    frame = read_frame(path)
    rows = lookup(log.video_ids, frame_ids(frame, "video_id"))
    name = next((column for column in _TIMES if column in frame.columns), None)
    at = _instants(frame, name) if log.timed and name is not None else None
    return Pairs(frame_ids(frame, "viewer_id"), rows, at)


def read_frame(path: Path) -> pl.DataFrame:
    """A table by its suffix."""
    if not path.is_file():
        raise BadInput(f"there is no file {path}")
    if path.suffix == ".parquet":
        frame = pl.read_parquet(path)
    elif path.suffix in (".csv", ".tsv"):
        frame = pl.read_csv(path, separator="," if path.suffix == ".csv" else "\t")
    else:
        raise BadInput(f"{path} must end in .parquet, .csv or .tsv")
    if not len(frame):
        raise BadInput(f"{path} has no rows")
    return frame


def frame_ids(frame: pl.DataFrame, column: str) -> NDArray[np.int64]:
    """A column of integers as they are, anything else through `core.ids`."""
    if column not in frame.columns:
        raise SchemaMismatch(f"column '{column}' is missing; found: {', '.join(frame.columns)}")
    if frame[column].null_count():
        raise SchemaMismatch(f"column '{column}' has {frame[column].null_count()} empty values")
    if frame[column].dtype.is_integer():
        return frame[column].cast(pl.Int64).to_numpy()
    return ids.to_ids(frame[column].cast(pl.String).to_list())


def _instants(frame: pl.DataFrame, column: str) -> NDArray[np.int64]:
    at = frame[column].cast(pl.Int64)
    if at.null_count():
        raise SchemaMismatch(f"column '{column}' has {at.null_count()} empty values")
    values = at.to_numpy()
    return values * 1_000 if column == "timestamp" and values.max() < _SECONDS_BELOW else values
