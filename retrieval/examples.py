"""What the towers learn from: clicks, each with the viewer's features just before it. Torch-free.

They come from `features.offline`, or from a bare log of interactions (`InteractionParts`), where history is all there is.
Shapes as in `features.schema`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core import rng
from data.catalogue import Catalogue, lookup
from data.interactions import Interactions
from features.schema import FeatureSchema, ViewerPart

_HOUR_MS = 3_600_000
Rows = NDArray[np.int32]
Positions = NDArray[np.int64]


@dataclass(frozen=True)
class RetrievalExamples:
    """n clicks to learn from."""

    viewer_part: Callable[[NDArray], ViewerPart]
    """Features of the viewers of the given examples, as known just before each click."""
    video_rows: Rows
    """[n] what was clicked."""
    at: NDArray[np.int64]
    """[n] when, milliseconds."""
    viewer_ids: NDArray[np.int64]
    """[n] who clicked."""

    @property
    def num(self) -> int:
        """n"""
        return len(self.video_rows)


def bare_schema(catalogue: Catalogue, history_length: int = 50) -> FeatureSchema:
    """The schema of a log that has histories and nothing else about its viewers."""
    sizes = tuple(len(vocabulary) for vocabulary in catalogue.vocabularies)
    return FeatureSchema((), (), (), (), (), (), (), history_length, catalogue.content.shape[1], sizes)


class InteractionParts:
    """Viewer parts from interactions alone: history, and zeros wherever `schema` has numbers or codes.

    In a log without order, the history of an interaction is a fixed random choice of the viewer's others.
    """

    def __init__(self, interactions: Interactions, schema: FeatureSchema, seed: int = 0) -> None:
        self._log, self._schema = interactions, schema
        viewers = interactions.viewer_rows
        self._begin = interactions.offsets[viewers]
        self._num = np.diff(interactions.offsets)[viewers]
        index = np.arange(len(interactions))
        starts = np.ones(len(interactions), dtype=np.bool_)
        starts[1:] = (np.diff(interactions.at) != 0) | (np.diff(viewers) != 0)
        self._tie = np.maximum.accumulate(np.where(starts, index, 0)) if len(index) else index
        self._shuffled = np.lexsort((rng.stream(seed, "unordered history").random(len(index)), viewers))
        self._place = np.empty_like(index)
        self._place[self._shuffled] = index

    def of(self, positions: Positions) -> ViewerPart:
        """The viewer of each interaction as known strictly before it (interactions of the same instant excluded)."""
        step = np.arange(1, self._schema.history_length + 1)
        begin = self._begin[positions][:, None]
        if self._log.ordered:
            found = self._tie[positions][:, None] - step
            return self._part(found, found >= begin, self._log.at[positions])
        num = self._num[positions][:, None]
        found = self._shuffled[begin + (self._place[positions][:, None] - begin + step) % num]
        return self._part(found, step < num, self._log.at[positions])

    def before(self, viewer_ids: NDArray[np.int64], at: NDArray[np.int64], *, with_seen: bool = False) -> ViewerPart:
        """Any viewers as known strictly before `at`; unknown ones have no history. `with_seen` adds all seen by then."""
        rows = lookup(self._log.viewer_ids, viewer_ids)
        begin = np.where(rows >= 0, self._log.offsets[rows], 0)
        stop = np.where(rows >= 0, self._log.offsets[rows + 1], 0)
        if self._log.ordered:
            spans = zip(begin, stop, at, strict=True)
            stop = np.array([b + np.searchsorted(self._log.at[b:e], t) for b, e, t in spans], dtype=np.int64)
        found = stop[:, None] - np.arange(1, self._schema.history_length + 1)
        seen = tuple(self._log.video_rows[b:e] for b, e in zip(begin, stop, strict=True)) if with_seen else ()
        return self._part(found, found >= begin[:, None], at, seen)

    def _part(
        self, found_BL: Positions, filled_BL: NDArray[np.bool_], at: NDArray[np.int64], seen: tuple[Rows, ...] = ()
    ) -> ViewerPart:
        found_BL = np.where(filled_BL, found_BL, 0)
        rows, times = self._log.video_rows, self._log.at
        if not len(rows):
            rows, times = np.zeros(1, dtype=np.int32), np.zeros(1, dtype=np.int64)
        hours = (at[:, None] - times[found_BL]) / _HOUR_MS if self._log.ordered else 0.0
        return ViewerPart(
            dense_BF=np.zeros((len(at), len(self._schema.viewer_dense)), dtype=np.float32),
            codes_BC=np.zeros((len(at), len(self._schema.viewer_codes)), dtype=np.int32),
            history_BL=np.where(filled_BL, rows[found_BL], -1).astype(np.int32),
            history_age_BL=np.where(filled_BL, hours, 0).astype(np.float32),
            seen=seen,
        )


def from_interactions(
    interactions: Interactions, schema: FeatureSchema, *, since: int | None = None, seed: int = 0
) -> RetrievalExamples:
    """Every interaction as an example; with `since`, only those at or after it (histories still reach back further)."""
    positions = np.arange(len(interactions)) if since is None else np.flatnonzero(interactions.at >= since)
    parts = InteractionParts(interactions, schema, seed)
    return RetrievalExamples(
        viewer_part=lambda rows: parts.of(positions[rows]),
        video_rows=interactions.video_rows[positions],
        at=interactions.at[positions],
        viewer_ids=interactions.viewer_ids[interactions.viewer_rows[positions]],
    )


def history_part(histories: Sequence[Rows], schema: FeatureSchema) -> ViewerPart:
    """Viewers given by their watched rows, oldest first; nothing else is known of them."""
    history = np.full((len(histories), schema.history_length), -1, dtype=np.int32)
    for line, rows in zip(history, histories, strict=True):
        latest = np.asarray(rows)[::-1][: len(line)]
        line[: len(latest)] = latest
    return ViewerPart(
        dense_BF=np.zeros((len(histories), len(schema.viewer_dense)), dtype=np.float32),
        codes_BC=np.zeros((len(histories), len(schema.viewer_codes)), dtype=np.int32),
        history_BL=history,
        history_age_BL=np.zeros(history.shape, dtype=np.float32),
        seen=tuple(np.asarray(rows, dtype=np.int32) for rows in histories),
    )
