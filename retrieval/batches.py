"""From clicks to the tensors of one training step of towers that pool the history.

`Batcher` adds uniform negatives and reads every distinct video of a step once: histories, clicked videos and negatives refer to
U rows, so a step costs the same whatever the size of the catalogue. Of several processes (`retrieval.parallel`) each makes
the part of the step that it computes: its share of the clicks and of the candidates.
Shapes as in `retrieval.towers`; H history entries of the batch, C = B + N candidates.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.catalogue import Catalogue
from embeddings.jagged import KeyedJaggedTensor
from features.schema import FeatureSchema
from retrieval.config import TwoTowerConfig
from retrieval.encoder import VIDEO_CODES, log_age, pool_weights
from retrieval.examples import Positions, RetrievalExamples, Rows
from retrieval.losses import log_sampling_probability
from retrieval.parallel import ALONE, Peers
from retrieval.towers import VIDEO_ID, Bags, TwoTower


@dataclass(frozen=True)
class StepBatch:
    """Tensors of one step: of this process's share of the clicks, unless something else is said."""

    videos: KeyedJaggedTensor
    """U distinct videos of the whole step: id (an empty bag where it is unknown or dropped) and codes."""
    content_UC: Tensor
    bags: Bags
    weights_PH: Tensor
    codes: KeyedJaggedTensor | None
    """Of all clicks."""
    dense_BF: Tensor
    clicks: slice
    """Which of all clicks are this process's."""
    num_clicks: int
    """All of them."""
    candidate_C: Tensor
    """Index into U: all clicked videos, then the negatives; of these, this process's share."""
    log_age_C: Tensor
    """Of the same."""
    video_C: Tensor
    """Catalogue rows of all candidates."""
    log_q_C: Tensor | None
    at_B: Tensor | None
    uploaded_at_C: Tensor | None


class Batcher:
    """Makes StepBatches for one tower and catalogue."""

    def __init__(self, tower: TwoTower, catalogue: Catalogue, examples: RetrievalExamples, peers: Peers = ALONE) -> None:
        self._config: TwoTowerConfig = tower.config
        self._peers = peers
        self._tower, self._catalogue, self._examples = tower, catalogue, examples
        counts = np.bincount(examples.video_rows, minlength=len(catalogue))
        self._share_V = (counts / max(len(examples.video_rows), 1)).astype(np.float32)
        self._timed = bool((catalogue.uploaded_at > 0).any())
        self._place_V = np.zeros(len(catalogue), dtype=np.int64)

    def step(self, chosen: Positions, random: np.random.Generator) -> StepBatch:
        """The batch of the chosen examples, with fresh negatives and id dropout from `random`."""
        place, clicks, at = self._tower.device, self._peers.share(len(chosen)), self._examples.at[chosen]
        part = self._examples.viewer_part(chosen[clicks])
        num_uniform = self._config.uniform_negatives
        negatives = random.integers(0, len(self._catalogue), size=num_uniform, dtype=np.int32)
        candidates = np.concatenate([self._examples.video_rows[chosen], negatives])
        shown_at = np.concatenate([at, random.choice(at, size=num_uniform)])
        history = part.history_BL[:, : self._config.history_length]
        unique_U, candidate_C, bags, weights = self._index(history, candidates)
        kept_U = self._tower.known_V[unique_U] & (random.random(len(unique_U)) >= self._config.id_dropout)
        share = torch.from_numpy(self._share_V[candidates])
        log_q = log_sampling_probability(share, len(chosen), num_uniform, len(self._catalogue)) if self._config.logq else None
        uploaded_at, mine = self._catalogue.uploaded_at[candidates], self._peers.share(len(candidates))
        codes_BC = self._peers.all_of(part.codes_BC, clicks, len(chosen), place)
        return StepBatch(
            videos=video_features(self._catalogue, unique_U, self._tower.id_row_VP, kept_U).to(place),
            content_UC=torch.from_numpy(self._catalogue.content[unique_U]).to(place),
            bags=Bags(*(torch.from_numpy(array).to(place) for array in bags)),
            weights_PH=torch.from_numpy(weights).to(place),
            codes=viewer_features(self._tower.schema, codes_BC, place),
            dense_BF=torch.from_numpy(part.dense_BF).to(place),
            clicks=clicks,
            num_clicks=len(chosen),
            candidate_C=torch.from_numpy(candidate_C[mine]).to(place),
            log_age_C=torch.from_numpy(log_age(shown_at[mine], uploaded_at[mine])).to(place),
            video_C=torch.from_numpy(candidates).to(place),
            log_q_C=None if log_q is None else log_q.to(place),
            at_B=torch.from_numpy(at[clicks]).to(place) if self._timed else None,
            uploaded_at_C=torch.from_numpy(uploaded_at).to(place) if self._timed else None,
        )

    def _index(
        self, history_BL: Rows, candidate_rows: Rows
    ) -> tuple[Rows, Positions, tuple[NDArray, ...], NDArray[np.float32]]:
        filled = history_BL >= 0
        watched_H = history_BL[filled]
        present = np.zeros(len(self._place_V), dtype=np.bool_)
        present[watched_H] = present[candidate_rows] = True
        unique_U = np.flatnonzero(self._peers.any_of(present, self._tower.device)).astype(np.int32)
        self._place_V[unique_U] = np.arange(len(unique_U))
        bags = bags_of(self._place_V[watched_H], filled.sum(axis=1), len(unique_U))
        weights_BPL = pool_weights(history_BL, self._config.decay, self._config.recent)
        weights_PH = np.ascontiguousarray(weights_BPL.transpose(1, 0, 2)[:, filled])
        return unique_U, self._place_V[candidate_rows], bags, weights_PH


def bags_of(video_H: Positions, lengths_B: Positions, num_distinct: int) -> tuple[NDArray, ...]:
    """The arrays of `Bags`, from the videos of one history after the other."""
    return (
        video_H,
        np.repeat(np.arange(len(lengths_B)), lengths_B),
        np.cumsum(lengths_B) - lengths_B,
        np.argsort(video_H, kind="stable"),
        np.cumsum(counts := np.bincount(video_H, minlength=num_distinct)) - counts,
    )


def video_features(catalogue: Catalogue, rows: Rows, id_row_VP: Positions, with_id: NDArray[np.bool_]) -> KeyedJaggedTensor:
    """Bags of U videos: the rows of the id where `with_id`, an empty bag otherwise; one code of each kind."""
    codes, id_rows = catalogue.codes[rows].T.reshape(-1), id_row_VP[rows[with_id]]
    lengths = np.concatenate([with_id * id_rows.shape[1], np.ones(len(codes), dtype=np.int64)]).astype(np.int32)
    values = np.concatenate([id_rows.reshape(-1), codes]).astype(np.int64)
    return KeyedJaggedTensor(keys=[VIDEO_ID, *VIDEO_CODES], values=torch.from_numpy(values), lengths=torch.from_numpy(lengths))


def viewer_features(schema: FeatureSchema, codes_BC: Rows, device: torch.device) -> KeyedJaggedTensor | None:
    """Bags of one code per viewer and column; None when the schema has no codes."""
    if not schema.viewer_codes:
        return None
    values = np.ascontiguousarray(codes_BC.T).reshape(-1).astype(np.int64)
    lengths = torch.ones(len(values), dtype=torch.int32)
    return KeyedJaggedTensor(keys=list(schema.viewer_codes), values=torch.from_numpy(values), lengths=lengths).to(device)
