"""From clicks to the tensors of one training step.

`RetrievalExamples` is what training wants to know: n clicks, each with the viewer's features just before it. They come from
`features.offline`, or from a bare log of interactions (`InteractionParts`), where history is all there is.
`Batcher` adds uniform negatives and reads every distinct video of a step once: histories, clicked videos and negatives refer to
U rows, so a step costs the same whatever the size of the catalogue.
Shapes as in `retrieval.towers`; H history entries of the batch, C = B + N candidates.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from core import rng
from data.catalogue import Catalogue, lookup
from data.interactions import Interactions
from features.schema import FeatureSchema, ViewerPart
from retrieval.config import TwoTowerConfig
from retrieval.encoder import VIDEO_CODES, log_age, pool_weights
from retrieval.losses import log_sampling_probability
from retrieval.towers import VIDEO_ID, Bags, TwoTower

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
    num: int


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
        num=len(positions),
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


@dataclass(frozen=True)
class StepBatch:
    """Tensors of one step."""

    videos: KeyedJaggedTensor
    """U distinct videos: id (an empty bag where it is unknown or dropped) and codes."""
    content_UC: Tensor
    bags: Bags
    weights_PH: Tensor
    codes: KeyedJaggedTensor | None
    dense_BF: Tensor
    candidate_C: Tensor
    """Index into U: the B clicked videos, then the negatives."""
    video_C: Tensor
    """Catalogue rows of the candidates."""
    log_age_C: Tensor
    log_q_C: Tensor | None
    at_B: Tensor | None
    uploaded_at_C: Tensor | None


class Batcher:
    """Makes StepBatches for one tower and catalogue."""

    def __init__(self, tower: TwoTower, catalogue: Catalogue, examples: RetrievalExamples) -> None:
        self._config: TwoTowerConfig = tower.config
        self._tower, self._catalogue, self._examples = tower, catalogue, examples
        counts = np.bincount(examples.video_rows, minlength=len(catalogue))
        self._share_V = (counts / max(len(examples.video_rows), 1)).astype(np.float32)
        self._timed = bool((catalogue.uploaded_at > 0).any())
        self._place_V = np.zeros(len(catalogue), dtype=np.int64)

    def step(self, chosen: Positions, random: np.random.Generator) -> StepBatch:
        """The batch of the chosen examples, with fresh negatives and id dropout from `random`."""
        part, at = self._examples.viewer_part(chosen), self._examples.at[chosen]
        num_uniform = self._config.uniform_negatives
        negatives = random.integers(0, len(self._catalogue), size=num_uniform, dtype=np.int32)
        candidates = np.concatenate([self._examples.video_rows[chosen], negatives])
        shown_at = np.concatenate([at, random.choice(at, size=num_uniform)])
        history = part.history_BL[:, : self._config.history_length]
        unique_U, candidate_C, bags, weights = self._index(history, candidates)
        kept_U = self._tower.known_V[unique_U] & (random.random(len(unique_U)) >= self._config.id_dropout)
        share = torch.from_numpy(self._share_V[candidates])
        log_q = log_sampling_probability(share, len(chosen), num_uniform, len(self._catalogue)) if self._config.logq else None
        uploaded_at = self._catalogue.uploaded_at[candidates]
        place = self._tower.device
        return StepBatch(
            videos=video_features(self._catalogue, unique_U, kept_U).to(place),
            content_UC=torch.from_numpy(self._catalogue.content[unique_U]).to(place),
            bags=Bags(*(torch.from_numpy(array).to(place) for array in bags)),
            weights_PH=torch.from_numpy(weights).to(place),
            codes=viewer_features(self._tower.schema, part, place),
            dense_BF=torch.from_numpy(part.dense_BF).to(place),
            candidate_C=torch.from_numpy(candidate_C).to(place),
            video_C=torch.from_numpy(candidates).to(place),
            log_age_C=torch.from_numpy(log_age(shown_at, uploaded_at)).to(place),
            log_q_C=None if log_q is None else log_q.to(place),
            at_B=torch.from_numpy(at).to(place) if self._timed else None,
            uploaded_at_C=torch.from_numpy(uploaded_at).to(place) if self._timed else None,
        )

    def _index(
        self, history_BL: Rows, candidate_rows: Rows
    ) -> tuple[Rows, Positions, tuple[NDArray, ...], NDArray[np.float32]]:
        filled = history_BL >= 0
        watched_H = history_BL[filled]
        present = np.zeros(len(self._place_V), dtype=np.bool_)
        present[watched_H] = present[candidate_rows] = True
        unique_U = np.flatnonzero(present).astype(np.int32)
        self._place_V[unique_U] = np.arange(len(unique_U))
        video_H = self._place_V[watched_H]
        lengths_B = filled.sum(axis=1)
        bags = (
            video_H,
            np.repeat(np.arange(len(history_BL)), lengths_B),
            np.cumsum(lengths_B) - lengths_B,
            np.argsort(video_H, kind="stable"),
            np.cumsum(counts := np.bincount(video_H, minlength=len(unique_U))) - counts,
        )
        weights_BPL = pool_weights(history_BL, self._config.decay, self._config.recent)
        weights_PH = np.ascontiguousarray(weights_BPL.transpose(1, 0, 2)[:, filled])
        return unique_U, self._place_V[candidate_rows], bags, weights_PH


def video_features(catalogue: Catalogue, rows: Rows, with_id: NDArray[np.bool_]) -> KeyedJaggedTensor:
    """Bags of U videos: the id where `with_id`, an empty bag otherwise; one code of each kind."""
    codes = catalogue.codes[rows].T.reshape(-1)
    lengths = np.concatenate([with_id, np.ones(len(codes), dtype=np.bool_)]).astype(np.int32)
    values = np.concatenate([rows[with_id], codes]).astype(np.int64)
    return KeyedJaggedTensor(keys=[VIDEO_ID, *VIDEO_CODES], values=torch.from_numpy(values), lengths=torch.from_numpy(lengths))


def viewer_features(schema: FeatureSchema, part: ViewerPart, device: torch.device) -> KeyedJaggedTensor | None:
    """Bags of one code per viewer and column; None when the schema has no codes."""
    if not schema.viewer_codes:
        return None
    values = np.ascontiguousarray(part.codes_BC.T).reshape(-1).astype(np.int64)
    lengths = torch.ones(len(values), dtype=torch.int32)
    return KeyedJaggedTensor(keys=list(schema.viewer_codes), values=torch.from_numpy(values), lengths=lengths).to(device)
