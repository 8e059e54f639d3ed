"""Features for serving: the same numbers as `offline`, from a store of viewers and the videos' counters in process.

`viewer_part` costs one round trip; `assemble` none. `apply` feeds both from the event stream, in log order. Of several servers
that share a store, exactly one applies an event to it; each applies it to its own video counters (`to_store=False`).

Shape legend: B requests, K candidates, L history length, N remembered watches, J window sums.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from core.clock import HOUR_MS
from data.catalogue import Catalogue, ViewerTable
from features.cross import CrossReader
from features.definitions import Definitions
from features.facts import Codes, ViewerFacts
from features.kinds import matrix
from features.offline import known_categories
from features.schema import FeatureBatch, FeatureSchema, ViewerPart
from features.states import ViewerState, of_events
from features.store import OnlineStore
from features.tiles import EventArrays, Ints, Sum
from features.video_matrix import VideoMatrix
from features.video_state import VideoState


class OnlineFeatures:
    """Reads and feeds the online state of one release."""

    def __init__(
        self,
        definitions: Definitions,
        catalogue: Catalogue,
        viewers: ViewerTable,
        store: OnlineStore,
        videos: VideoState,
        matrix: VideoMatrix | None = None,
    ) -> None:
        """Of one release; `matrix` where that of `videos` is there already."""
        self.schema: FeatureSchema = definitions.schema(catalogue, viewers)
        self._definitions, self._catalogue, self._viewers = definitions, catalogue, viewers
        self._store, self._videos = store, videos
        self._matrix = VideoMatrix(definitions, catalogue, videos) if matrix is None else matrix
        self._cross = CrossReader(definitions, catalogue, viewers)

    def over(self, catalogue: Catalogue, videos: VideoState) -> "OnlineFeatures":
        """Over a catalogue with more videos at its end, and their state."""
        matrix = self._matrix.over(catalogue, videos)
        return OnlineFeatures(self._definitions, catalogue, self._viewers, self._store, videos, matrix)

    def warm(self, at: int) -> None:
        """Compute what pages at this instant may ask of any video, so that none has to."""
        self._matrix.warm(at)

    def viewer_part(self, viewer_ids: Ints, at: Ints) -> ViewerPart:
        """Everything about the viewers, in one round trip. viewer_ids, at: [B]

        Raises:
            StoreUnavailable: `blank_part` is what is left then.
        """
        return self._part(viewer_ids, at, self._store.read(np.asarray(viewer_ids).tolist()))

    def blank_part(self, viewer_ids: Ints, at: Ints) -> ViewerPart:
        """What is known while the store does not answer: attributes, the calendar, and whatever states are at hand."""
        return self._part(viewer_ids, at, self._store.at_hand(np.asarray(viewer_ids).tolist()))

    def assemble(self, part: ViewerPart, video_BK: Codes, at: Ints) -> FeatureBatch:
        """Candidates beside their viewers. Reads memory only, all candidates at once. at: [B]"""
        return FeatureBatch(
            viewer=part,
            video_BK=np.asarray(video_BK, dtype=np.int32),
            video_dense_BKF=self._matrix.read(video_BK, np.asarray(at, dtype=np.int64)),
            cross_dense_BKF=self._cross.dense(part, video_BK),
            cross_codes_BKC=self._cross.codes(part, video_BK),
        )

    def apply(self, events: pa.Table, *, to_store: bool = True) -> None:
        """Take in fresh events, in log order.

        Raises:
            StoreUnavailable: nothing was counted; apply the same events again.
        """
        frame = pl.from_arrow(events)
        assert isinstance(frame, pl.DataFrame)
        arrays = EventArrays.of(frame, self._catalogue)
        if not len(arrays):
            return
        if to_store:
            self._store.apply(of_events(arrays, self._definitions, int(arrays.received_at.max())))
        self._videos.add(arrays)
        rows = np.unique(arrays.video_row)
        self._matrix.refresh(rows[rows >= 0], int(arrays.received_at.max()))

    def _part(self, viewer_ids: Ints, at: Ints, states: Sequence[ViewerState]) -> ViewerPart:
        at = np.asarray(at, dtype=np.int64)
        seen, clicked_at = self._clicks(states)
        length = self._definitions.history.n
        history = _padded([rows[:length] for rows in seen], length, -1).astype(np.int32)
        facts = ViewerFacts(
            at_B=at,
            totals=self._totals(states, at),
            history_BL=history,
            history_at_BL=_padded([instants[:length] for instants in clicked_at], length, 0),
            category_BL=known_categories(self._catalogue, history),
            watch_ms_BN=_padded([state.watches[:, 0] for state in states], self._definitions.watches.n, -1),
        )
        age = np.where(history >= 0, np.maximum(at[:, None] - facts.history_at_BL, 0) / HOUR_MS, 0)
        context = [feature.of(at)[:, None] for feature in self._definitions.context_codes]
        return ViewerPart(
            dense_BF=matrix(self._definitions.viewer, facts, at.shape),
            codes_BC=np.concatenate([self._viewers.attributes(viewer_ids), *context], axis=1).astype(np.int32),
            history_BL=history,
            history_age_BL=age.astype(np.float32),
            seen=tuple(seen),
        )

    def _clicks(self, states: Sequence[ViewerState]) -> tuple[list[Codes], list[Ints]]:
        """Rows and instants of each viewer's clicks, latest first, without videos that the catalogue does not have."""
        sizes = [len(state.clicks) for state in states]
        clicks = np.concatenate([state.clicks for state in states]) if states else np.empty((0, 2), dtype=np.int64)
        rows = self._catalogue.rows(clicks[:, 0])
        cuts = np.cumsum(sizes)[:-1]
        pairs = list(zip(np.split(rows, cuts), np.split(clicks[:, 1], cuts), strict=True)) if states else []
        return [r[r >= 0] for r, _ in pairs], [instants[r >= 0] for r, instants in pairs]

    def _totals(self, states: Sequence[ViewerState], at: Ints) -> dict[Sum, Ints]:
        """Window sums from counters: those whose tile is not over. Each [B]"""
        sums = self._definitions.viewer_sums
        counts = np.concatenate([state.counts for state in states]) if states else np.empty((0, 3), dtype=np.int64)
        owner = np.repeat(np.arange(len(states)), [len(state.counts) for state in states])
        index, tile, amount = counts.T
        tile_ms = np.array([spec.tile_ms for spec in sums])
        tiles = np.array([spec.tiles for spec in sums])
        fresh = tile > at[owner] // tile_ms[index] - tiles[index]
        # Amounts are integers far below 2⁵³, so adding them as float64 is exact.
        flat = np.bincount(owner * len(sums) + index, weights=amount * fresh, minlength=len(states) * len(sums))
        table = flat.astype(np.int64).reshape(len(states), len(sums))
        return {spec: table[:, place] for place, spec in enumerate(sums)}


def _padded(lists: Sequence[np.ndarray], length: int, filler: int) -> Ints:
    """[B, length]"""
    padded = np.full((len(lists), length), filler, dtype=np.int64)
    for row, values in zip(padded, lists, strict=True):
        row[: len(values)] = values
    return padded
