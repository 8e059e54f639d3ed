"""Features for training: what was known strictly before each request, read from the whole log at once.

`build` sorts the log into staircases (`windows`) and computes the viewers' numbers; everything that depends on candidates is
computed when a batch is asked for. Serving computes the same numbers from the store (`online`); both share the formulas.

Shape legend: R requests, B a batch of them, K candidates, L history length, N remembered watches.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core.clock import HOUR_MS
from data.catalogue import Catalogue, ViewerTable, lookup
from features.cross import CrossReader
from features.definitions import Definitions, default_definitions
from features.facts import Codes, VideoFacts, ViewerFacts
from features.kinds import SEEN_LIMIT, matrix
from features.schema import FeatureBatch, FeatureSchema, Floats, ViewerPart
from features.tiles import EventArrays, Ints, Sum
from features.windows import Recent, StepSums, Timeline, totals

_BLOCK = 65_536


@dataclass(frozen=True)
class _Log:
    """A log arranged for questions about the past."""

    arrays: EventArrays
    viewer_ids: Ints
    """Sorted; positions are the viewer rows below."""
    viewer_time: Timeline
    video_time: Timeline
    viewer_sums: dict[Sum, StepSums]
    video_sums: dict[Sum, StepSums]
    clicks: Recent
    watches: Recent


ViewerParts = Callable[[NDArray], ViewerPart]
"""The viewers of the requests at some rows."""


class OfflineFeatures:
    """Features of R requests, point in time: only events with received_at < at."""

    def __init__(
        self,
        log: Callable[[], _Log],
        parts: ViewerParts,
        definitions: Definitions,
        catalogue: Catalogue,
        viewers: ViewerTable,
        at: Ints,
        video_rows: Codes,
    ) -> None:
        self.schema: FeatureSchema = definitions.schema(catalogue, viewers)
        self.viewer_part: ViewerParts = parts
        self._log, self._definitions, self._catalogue = log, definitions, catalogue
        self._at = np.asarray(at, dtype=np.int64)
        self._video_RK = video_rows[:, None] if video_rows.ndim == 1 else video_rows
        self._cross = CrossReader(definitions, catalogue, viewers)

    def __len__(self) -> int:
        return len(self._at)

    def batch(self, rows: NDArray) -> FeatureBatch:
        """The requests at `rows` with the candidates they were built with."""
        return self.against(rows, self._video_RK[rows])

    def against(self, rows: NDArray, video_rows: Codes) -> FeatureBatch:
        """The requests at `rows` with other candidates. video_rows: [B, K]"""
        return self.assemble(self.viewer_part(rows), video_rows, self._at[rows])

    def assemble(self, part: ViewerPart, video_rows: Codes, at: Ints) -> FeatureBatch:
        """A viewer part with any candidates. video_rows: [B, K], at: [B]"""
        return FeatureBatch(
            viewer=part,
            video_BK=np.asarray(video_rows, dtype=np.int32),
            video_dense_BKF=self.video_dense(video_rows, at),
            cross_dense_BKF=self._cross.dense(part, video_rows),
            cross_codes_BKC=self._cross.codes(part, video_rows),
        )

    def video_dense(self, video_rows: Codes, at: Ints) -> Floats:
        """Numbers of any videos at any instants. video_rows: [B, K], at: [B] → [B, K, Fd]"""
        keys = self._log().video_time.keys(video_rows, np.asarray(at)[:, None])
        sums = totals(self._log().video_sums, keys)
        facts = VideoFacts.of(self._catalogue, video_rows, np.asarray(at, dtype=np.int64), sums)
        return matrix(self._definitions.video, facts, video_rows.shape)


class _Viewers:
    """The viewers of R requests."""

    def __init__(
        self,
        log: _Log,
        definitions: Definitions,
        catalogue: Catalogue,
        viewers: ViewerTable,
        viewer_ids: Ints,
        at: Ints,
        with_seen: bool,
    ) -> None:
        self._log, self._definitions, self._catalogue = log, definitions, catalogue
        self._at, self._with_seen = np.asarray(at, dtype=np.int64), with_seen
        self._attributes = viewers.attributes(viewer_ids)
        self._viewer_rows = lookup(log.viewer_ids, viewer_ids)
        self._keys = log.viewer_time.keys(self._viewer_rows, self._at)
        self._begin, self._end = log.clicks.until(self._viewer_rows, self._keys)
        self._dense = self._viewer_dense()

    def part(self, rows: NDArray) -> ViewerPart:
        """Those of the requests at `rows`."""
        at, (history, history_at) = self._at[rows], self._history(rows)
        age = np.where(history >= 0, (at[:, None] - history_at) / HOUR_MS, 0)
        context = [feature.of(at)[:, None] for feature in self._definitions.context_codes]
        return ViewerPart(
            dense_BF=self._dense[rows],
            codes_BC=np.concatenate([self._attributes[rows], *context], axis=1).astype(np.int32),
            history_BL=history,
            history_age_BL=age.astype(np.float32),
            seen=self._seen(rows) if self._with_seen else (),
        )

    def _viewer_dense(self) -> Floats:
        """[R, Fv], block by block: the histories of all requests at once would not fit."""
        sums = totals(self._log.viewer_sums, self._keys)
        dense = np.empty((len(self._at), len(self._definitions.viewer)), dtype=np.float32)
        begin, end = self._log.watches.until(self._viewer_rows, self._keys)
        for start in range(0, len(self._at), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(self._at)))
            history, history_at = self._history(rows)
            watched, exists = self._log.watches.latest(begin[rows], end[rows], self._definitions.watches.n)
            facts = ViewerFacts(
                at_B=self._at[rows],
                totals={spec: values[rows] for spec, values in sums.items()},
                history_BL=history,
                history_at_BL=history_at,
                category_BL=known_categories(self._catalogue, history),
                watch_ms_BN=_pick(self._log.arrays.watch_ms, watched, exists, -1),
            )
            dense[rows] = matrix(self._definitions.viewer, facts, rows.shape)
        return dense

    def _history(self, rows: NDArray) -> tuple[Codes, Ints]:
        """Video rows (−1 padding) and instants (0 padding) of the latest clicks. Both [B, L]"""
        found, exists = self._log.clicks.latest(self._begin[rows], self._end[rows], self._definitions.history.n)
        arrays = self._log.arrays
        return _pick(arrays.video_row, found, exists, -1), _pick(arrays.received_at, found, exists, 0)

    def _seen(self, rows: NDArray) -> tuple[Codes, ...]:
        clicked = self._log.arrays.video_row[self._log.clicks.positions]
        end = self._end[rows]
        begin = np.maximum(self._begin[rows], end - SEEN_LIMIT)
        return tuple(clicked[b:e][::-1] for b, e in zip(begin, end, strict=True))


def build(
    events: pl.DataFrame,
    catalogue: Catalogue,
    viewers: ViewerTable,
    *,
    viewer_ids: Ints,
    at: Ints,
    video_rows: Codes,
    with_seen: bool = False,
    definitions: Definitions | None = None,
    parts: ViewerParts | None = None,
) -> OfflineFeatures:
    """Features of R requests: viewer_ids [R], at [R], video_rows [R] or [R, K]. Events are in log order (`data.dataset`).

    `parts` are the viewers of these requests as an earlier build found them; the log is then arranged only once somebody asks
    for numbers of videos.
    """
    declared = definitions or default_definitions(catalogue.labels)

    @cache
    def log() -> _Log:
        return _arrange(EventArrays.of(events, catalogue), declared, len(catalogue))

    parts = parts or _Viewers(log(), declared, catalogue, viewers, viewer_ids, at, with_seen).part
    return OfflineFeatures(log, parts, declared, catalogue, viewers, at, video_rows)


def known_categories(catalogue: Catalogue, history_BL: Codes) -> Codes:
    """Category code of each video of the histories, −1 at padding and where unknown."""
    if not len(catalogue):
        return np.full(history_BL.shape, -1, dtype=np.int32)
    codes = np.where(history_BL >= 0, catalogue.category[history_BL], 0)
    return np.where(codes > 0, codes, -1).astype(np.int32)


def _arrange(arrays: EventArrays, definitions: Definitions, num_videos: int) -> _Log:
    viewer_ids, viewer_rows = np.unique(arrays.viewer_id, return_inverse=True)
    viewer_time = Timeline.of(arrays, definitions.viewer_sums, len(viewer_ids))
    video_time = Timeline.of(arrays, definitions.video_sums, num_videos)
    clicks = arrays.positions(definitions.history.event)
    watches = arrays.positions(definitions.watches.event)
    return _Log(
        arrays=arrays,
        viewer_ids=viewer_ids,
        viewer_time=viewer_time,
        video_time=video_time,
        viewer_sums={spec: StepSums.of(viewer_time, arrays, viewer_rows, spec) for spec in definitions.viewer_sums},
        video_sums={spec: StepSums.of(video_time, arrays, arrays.video_row, spec) for spec in definitions.video_sums},
        clicks=Recent.of(viewer_time, arrays, viewer_rows, clicks[arrays.video_row[clicks] >= 0], len(viewer_ids)),
        watches=Recent.of(viewer_time, arrays, viewer_rows, watches, len(viewer_ids)),
    )


def _pick(values: NDArray, positions: Ints, exists: NDArray[np.bool_], otherwise: int) -> NDArray:
    if not len(values):
        return np.full(positions.shape, otherwise, dtype=values.dtype)
    return np.where(exists, values[positions], np.asarray(otherwise, dtype=values.dtype))
