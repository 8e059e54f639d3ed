"""From runs of clicks to the tensors of one training step of towers that read the history in order.

One pass over a run of n clicks trains n moments: the state after l clicks is compared with click l + 1. All moments of a batch
share their candidates: some drawn uniformly from the catalogue and some from the batch's own clicks, or the whole catalogue
where as many are asked for as there are videos. Every distinct video of a step is read once, as in `retrieval.batches`.
Of several processes (`retrieval.parallel`) each makes the part of the step that it computes: its share of the runs and of the
candidates. Shapes: S runs, L the longest history of the batch, B moments, C candidates, U distinct videos.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.catalogue import Catalogue
from embeddings.jagged import KeyedJaggedTensor
from retrieval.batches import video_features, viewer_features
from retrieval.encoder import log_age
from retrieval.examples import Positions, RetrievalExamples, Rows
from retrieval.losses import Shared, shared_softmax
from retrieval.parallel import ALONE, Peers
from retrieval.runs import Runs
from retrieval.towers import TwoTower


@dataclass(frozen=True)
class SequenceBatch:
    """Tensors of one step: of this process's share of the runs, unless something else is said."""

    videos: KeyedJaggedTensor
    """U distinct videos of the whole step, as in `batches.StepBatch`."""
    content_UC: Tensor
    history_SL: Tensor
    """Index into U, oldest first; padding holds any video."""
    moment_B: Tensor
    """Which of the S · (L + 1) states the moments are."""
    moments: slice
    """Which of all moments are this process's."""
    num_moments: int
    """All of them."""
    codes: KeyedJaggedTensor | None
    """At all moments."""
    dense_BF: Tensor
    clicked_B: Tensor
    """Index into U."""
    clicked_row_B: Tensor
    """Catalogue rows."""
    candidate_C: Tensor
    """Index into U, of this process's share of the candidates."""
    log_age_BC: Tensor
    """[B + C] of the clicked videos, then of the same candidates."""
    candidate_row_C: Tensor
    """Of all candidates."""
    log_chance_C: Tensor
    at_B: Tensor | None
    uploaded_at_C: Tensor | None


class SequenceBatcher:
    """Makes SequenceBatches for one tower and catalogue."""

    def __init__(self, tower: TwoTower, catalogue: Catalogue, examples: RetrievalExamples, peers: Peers = ALONE) -> None:
        self._tower, self._catalogue, self._examples, self._peers = tower, catalogue, examples, peers
        counts = np.bincount(examples.video_rows, minlength=len(catalogue))
        self._share_V = counts / max(len(examples.video_rows), 1)
        self._timed = bool((catalogue.uploaded_at > 0).any())
        self._place_V = np.zeros(len(catalogue), dtype=np.int64)

    def step(self, runs: Runs, random: np.random.Generator) -> SequenceBatch:
        """The batch of some runs, with fresh candidates and id dropout from `random`."""
        history_SL, moment_B, chosen_B = _moments(runs, self._examples.video_rows)
        clicked, at = self._examples.video_rows[chosen_B], self._examples.at[chosen_B]
        candidates, log_chance = self._candidates(clicked, random)
        unique_U = self._index(history_SL, clicked, candidates)
        kept_U = self._tower.known_V[unique_U] & (random.random(len(unique_U)) >= self._tower.config.id_dropout)
        uploaded_at = self._catalogue.uploaded_at
        shown_at = np.concatenate([at, random.choice(at, size=len(candidates))])
        ages = log_age(shown_at, uploaded_at[np.concatenate([clicked, candidates])])
        runs_S, candidates_C = self._peers.share(len(history_SL)), self._peers.share(len(candidates))
        states_before = np.array([runs_S.start, runs_S.stop]) * (history_SL.shape[1] + 1)
        moments = slice(*np.searchsorted(moment_B, states_before).tolist())
        codes, dense_BF = self._context(chosen_B, moments)
        place = self._tower.device

        def tensor(array: NDArray) -> Tensor:
            return torch.from_numpy(array).to(place)

        return SequenceBatch(
            videos=video_features(self._catalogue, unique_U, self._tower.id_row_VP, kept_U).to(place),
            content_UC=tensor(self._catalogue.content[unique_U]),
            history_SL=tensor(self._place_V[history_SL[runs_S]]),
            moment_B=tensor(moment_B[moments] - states_before[0]),
            moments=moments,
            num_moments=len(moment_B),
            codes=codes,
            dense_BF=dense_BF,
            clicked_B=tensor(self._place_V[clicked[moments]]),
            clicked_row_B=tensor(clicked[moments]),
            candidate_C=tensor(self._place_V[candidates[candidates_C]]),
            log_age_BC=tensor(np.concatenate([ages[: len(clicked)][moments], ages[len(clicked) :][candidates_C]])),
            candidate_row_C=tensor(candidates),
            log_chance_C=tensor(log_chance),
            at_B=tensor(at[moments]) if self._timed else None,
            uploaded_at_C=tensor(uploaded_at[candidates]) if self._timed else None,
        )

    def _candidates(self, clicked_B: Rows, random: np.random.Generator) -> tuple[Rows, NDArray[np.float32]]:
        """Sorted rows and the log of each one's chance to be among them."""
        config, num_videos = self._tower.config, len(self._catalogue)
        if config.uniform_negatives >= num_videos:
            return np.arange(num_videos, dtype=np.int32), np.zeros(num_videos, dtype=np.float32)
        uniform = random.integers(0, num_videos, size=config.uniform_negatives, dtype=np.int32)
        drawn = np.unique(np.concatenate([uniform, random.choice(clicked_B, size=config.batch_negatives)]))
        missed = config.uniform_negatives * np.log1p(-1 / num_videos) + config.batch_negatives * np.log1p(-self._share_V[drawn])
        return drawn, np.log(-np.expm1(missed)).astype(np.float32)

    def _context(self, chosen_B: Positions, moments: slice) -> tuple[KeyedJaggedTensor | None, Tensor]:
        """Codes at all moments and numbers at this process's; nothing is read where the schema has none."""
        schema, place = self._tower.schema, self._tower.device
        if not schema.viewer_codes and not schema.viewer_dense:
            return None, torch.zeros(moments.stop - moments.start, 0, device=place)
        part = self._examples.viewer_part(chosen_B[moments])
        codes_BC = self._peers.all_of(part.codes_BC, moments, len(chosen_B), place)
        return viewer_features(schema, codes_BC, place), torch.from_numpy(part.dense_BF).to(place)

    def _index(self, *rows: Rows) -> Rows:
        """The distinct rows, sorted; `_place_V` then maps each to its place."""
        present = np.zeros(len(self._place_V), dtype=np.bool_)
        for array in rows:
            present[array] = True
        unique_U = np.flatnonzero(present).astype(np.int32)
        self._place_V[unique_U] = np.arange(len(unique_U))
        return unique_U


def _moments(runs: Runs, video_rows: Rows) -> tuple[Rows, Positions, Positions]:
    """Histories [S, L] (the first video of the batch at padding), flat state of each moment, and its example. [B] each

    The first click of a run that is not whole is no moment: what led to it is missing.
    """
    longest = int(runs.lengths.max())
    step = np.concatenate([np.arange(n) for n in runs.lengths])
    run = np.repeat(np.arange(len(runs.lengths)), runs.lengths)
    history_SL = np.full((len(runs.lengths), longest), video_rows[runs.positions[0]], dtype=np.int32)
    history_SL[run, step] = video_rows[runs.positions]
    known = (step > 0) | runs.whole[run]
    return history_SL[:, : longest - 1], (run * longest + step)[known], runs.positions[known]


def sequence_loss(tower: TwoTower, batch: SequenceBatch, peers: Peers = ALONE) -> Tensor:
    """This process's part of the batch's loss, differentiable. []"""
    raw_UD = peers.shared(tower.raw(batch.videos, batch.content_UC))
    code_BX = tower.code_vectors(batch.codes)
    with tower.autocast():
        state_BD = tower.states(raw_UD, batch.history_SL).flatten(0, 1)[batch.moment_B]
        code_BX = None if code_BX is None else peers.shared(code_BX)[batch.moments]
        viewer_BD = tower.viewer_vectors(state_BD, code_BX, batch.dense_BF).float()
        raw_BCD = torch.nn.functional.embedding(torch.cat([batch.clicked_B, batch.candidate_C]), raw_UD)
        video_BCD = tower.video_vectors(raw_BCD, batch.log_age_BC).float()
    clicked_BD, part_CD = video_BCD.split([len(viewer_BD), len(batch.candidate_C)])
    num = len(batch.candidate_row_C)
    candidate_CD = peers.gathered(part_CD, peers.share(num), num)
    shared = Shared(candidate_CD, batch.candidate_row_C, batch.log_chance_C, batch.uploaded_at_C)
    return shared_softmax(
        viewer_BD, clicked_BD, batch.clicked_row_B, shared, tower.config.temperature, batch.at_B, batch.num_moments
    )
