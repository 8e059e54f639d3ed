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

PAGE_AT = "page_at"


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
    page_at: NDArray[np.int64] | None = None
    """[n] instant of the page that was clicked, where the log knows pages; see `asked_at`."""

    def __len__(self) -> int:
        return len(self.video_rows)

    @property
    def viewer_rows(self) -> NDArray[np.int32]:
        """[n] viewer row of each interaction."""
        return np.repeat(np.arange(len(self.viewer_ids), dtype=np.int32), np.diff(self.offsets))

    @property
    def asked_at(self) -> NDArray[np.int64]:
        """[n] when the recommender had to decide: before the page was shown. Features of that decision end here."""
        return self.at if self.page_at is None else self.page_at

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
        page_at = None if self.page_at is None else self.page_at[keep]
        return Interactions(
            self.viewer_ids, offsets, self.video_rows[keep], self.at[keep], self.num_videos, self.ordered, page_at
        )


def group(
    viewer_ids: NDArray[np.int64],
    video_rows: NDArray[np.int32],
    at: NDArray[np.int64],
    num_videos: int,
    *,
    ordered: bool = True,
    page_at: NDArray[np.int64] | None = None,
) -> Interactions:
    """Group parallel arrays by viewer, stable in time. Rows < 0 (unknown videos) are dropped."""
    known = video_rows >= 0
    viewer_ids, video_rows, at = viewer_ids[known], video_rows[known], at[known]
    page_at = None if page_at is None else page_at[known]
    order = np.lexsort((np.arange(len(at)), at, viewer_ids))
    unique, counts = np.unique(viewer_ids, return_counts=True)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    page_at = None if page_at is None else page_at[order]
    return Interactions(unique, offsets, video_rows[order].astype(np.int32), at[order], num_videos, ordered, page_at)


def clicks(events: pl.DataFrame, video_ids: NDArray[np.int64]) -> Interactions:
    """The clicks of a log, timed by when they were *received* (when a feature may first know them)."""
    found = with_page(events)
    rows = lookup(video_ids, found[c.VIDEO_ID].fill_null(-1).to_numpy())
    received_at, page_at = found[c.RECEIVED_AT].to_numpy(), found[PAGE_AT].to_numpy()
    return group(found[c.VIEWER_ID].to_numpy(), rows, received_at, len(video_ids), page_at=page_at)


def with_page(events: pl.DataFrame) -> pl.DataFrame:
    """The clicks of a log with a column `page_at`: when the page they came from was shown, else when they were received.

    A click's own impression is counted before the click is. Features "before the click" would therefore know that the video had
    been shown, which gives the answer away; features before the page do not. A page is its viewer's: who clicks on somebody
    else's has come some other way.
    """
    keys = [c.VIEWER_ID, c.REQUEST_ID, c.VIDEO_ID]
    pages = events.filter(pl.col(c.KIND) == ev.IMPRESSION).select(*keys, pl.col(c.RECEIVED_AT).alias(PAGE_AT))
    found = events.filter(pl.col(c.KIND) == ev.CLICK)
    joined = found.join(pages.unique(keys, keep="first"), on=keys, how="left", maintain_order="left")
    return joined.with_columns(pl.min_horizontal(pl.col(PAGE_AT).fill_null(pl.col(c.RECEIVED_AT)), c.RECEIVED_AT))
