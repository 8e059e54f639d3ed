"""Positive interactions grouped by viewer, as flat arrays: what retrieval models and baselines learn from.

Viewer v's interactions are the slice offsets[v]:offsets[v + 1] in time order. Rows of both axes are positions in id-sorted
arrays (`data.catalogue`).
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import events as ev
from data.catalogue import lookup


@dataclass(frozen=True)
class Interactions:
    """n interactions of N viewers with V videos."""

    viewer_ids: NDArray[np.int64]
    """[N] sorted."""
    offsets: NDArray[np.int64]
    """[N + 1]"""
    video_rows: NDArray[np.int32]
    """[n] grouped by viewer, oldest first."""
    at: NDArray[np.int64]
    """[n] milliseconds; positions where the log has no times."""
    num_videos: int
    ordered: bool = True
    """False when the log has neither times nor positions: order then means nothing."""

    def __len__(self) -> int:
        return len(self.video_rows)

    @property
    def viewer_rows(self) -> NDArray[np.int32]:
        """[n] viewer row of each interaction."""
        return np.repeat(np.arange(len(self.viewer_ids), dtype=np.int32), np.diff(self.offsets))

    def counts(self) -> NDArray[np.int64]:
        """[V] interactions of each video."""
        return np.bincount(self.video_rows, minlength=self.num_videos)

    def history(self, viewer_id: int) -> NDArray[np.int32]:
        """Video rows of one viewer, oldest first; empty for unknown ones."""
        row = int(lookup(self.viewer_ids, [viewer_id])[0])
        return self.video_rows[self.offsets[row] : self.offsets[row + 1]] if row >= 0 else self.video_rows[:0]

    def before(self, at: int) -> "Interactions":
        """Only what happened strictly before `at`; viewers left without any stay, with an empty slice."""
        keep = self.at < at
        counts = np.bincount(self.viewer_rows[keep], minlength=len(self.viewer_ids))
        offsets = np.concatenate([[0], np.cumsum(counts)])
        return Interactions(self.viewer_ids, offsets, self.video_rows[keep], self.at[keep], self.num_videos, self.ordered)


def group(
    viewer_ids: NDArray[np.int64],
    video_rows: NDArray[np.int32],
    at: NDArray[np.int64],
    num_videos: int,
    *,
    ordered: bool = True,
) -> Interactions:
    """Group parallel arrays by viewer, stable in time. Rows < 0 (unknown videos) are dropped."""
    known = video_rows >= 0
    viewer_ids, video_rows, at = viewer_ids[known], video_rows[known], at[known]
    order = np.lexsort((np.arange(len(at)), at, viewer_ids))
    unique, counts = np.unique(viewer_ids, return_counts=True)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Interactions(unique, offsets, video_rows[order].astype(np.int32), at[order], num_videos, ordered)


def clicks(events: pl.DataFrame, video_ids: NDArray[np.int64]) -> Interactions:
    """The clicks of a log, timed by when they were *received* (when a feature may first know them)."""
    found = events.filter(pl.col(c.KIND) == ev.CLICK)
    rows = lookup(video_ids, found[c.VIDEO_ID].fill_null(-1).to_numpy())
    return group(found[c.VIEWER_ID].to_numpy(), rows, found[c.RECEIVED_AT].to_numpy(), len(video_ids))
