"""One training step of towers for logs without order: some viewers, each a bag of videos to be rebuilt from half of it.

A viewer's vector is made from a random part of the videos that it watched and must give all of them a high share of a softmax
over the candidates: the denoising auto-encoder with multinomial likelihood (Liang et al., "Variational Autoencoders for
Collaborative Filtering", WWW 2018), whose decoder here is the video tower. Candidates are the batch's videos and some drawn
uniformly, or the whole catalogue where as many are asked for as there are videos.
Shapes: S viewers, T watched videos of all of them, C candidates, U = C distinct videos.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.ragged import Ragged
from data.catalogue import Catalogue
from embeddings.jagged import KeyedJaggedTensor
from retrieval.batches import bags_of, video_features
from retrieval.encoder import bag_weights
from retrieval.examples import Positions, RetrievalExamples
from retrieval.losses import multinomial
from retrieval.towers import Bags, TwoTower, pool


@dataclass(frozen=True)
class BagBatch:
    """Tensors of one step; every index is into the candidates."""

    videos: KeyedJaggedTensor
    content_CX: Tensor
    bags: Bags
    """What is left of each viewer's videos."""
    weight_H: Tensor
    owner_T: Tensor
    """Whose the watched video is."""
    watched_T: Tensor
    log_chance_C: Tensor


class BagBatcher:
    """Makes BagBatches for one tower and catalogue."""

    def __init__(self, tower: TwoTower, catalogue: Catalogue, examples: RetrievalExamples) -> None:
        self._tower, self._catalogue = tower, catalogue
        pairs = np.unique(np.stack([examples.viewer_ids, examples.video_rows.astype(np.int64)]), axis=1)
        _, counts = np.unique(pairs[0], return_counts=True)
        self._watched = Ragged(np.concatenate([[0], np.cumsum(counts)]), pairs[1].astype(np.int32))
        self._share_V = np.bincount(self._watched.values, minlength=len(catalogue)) / len(self._watched)
        self._place_V = np.zeros(len(catalogue), dtype=np.int64)

    @property
    def num_viewers(self) -> int:
        """How many bags there are."""
        return len(self._watched)

    def step(self, viewers: Positions, random: np.random.Generator) -> BagBatch:
        """The batch of some viewers, with fresh dropout and candidates from `random`."""
        watched, config, place = self._watched.take(viewers), self._tower.config, self._tower.device
        candidates, log_chance = self._candidates(watched, random)
        self._place_V[candidates] = np.arange(len(candidates))
        kept = random.random(len(watched.values)) >= config.bag.dropout
        lengths = np.bincount(watched.owners[kept], minlength=len(watched))
        known = self._tower.known_V[candidates] & (random.random(len(candidates)) >= config.id_dropout)
        bags = bags_of(self._place_V[watched.values[kept]], lengths, len(candidates))

        def tensor(array: NDArray) -> Tensor:
            return torch.from_numpy(array).to(place)

        return BagBatch(
            videos=video_features(self._catalogue, candidates, known).to(place),
            content_CX=tensor(self._catalogue.content[candidates]),
            bags=Bags(*(tensor(array) for array in bags)),
            weight_H=tensor(np.repeat(bag_weights(lengths), lengths)),
            owner_T=tensor(watched.owners),
            watched_T=tensor(self._place_V[watched.values]),
            log_chance_C=tensor(log_chance),
        )

    def _candidates(self, watched: Ragged, random: np.random.Generator) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Sorted rows, and the log of the chance that a video of another batch's viewers would be among them."""
        num_uniform, num_videos = self._tower.config.uniform_negatives, len(self._catalogue)
        if num_uniform >= num_videos:
            return np.arange(num_videos, dtype=np.int32), np.zeros(num_videos, dtype=np.float32)
        uniform = random.integers(0, num_videos, size=num_uniform, dtype=np.int32)
        drawn = np.unique(np.concatenate([uniform, watched.values]))
        share = np.minimum(self._share_V[drawn], 1.0 - 1e-9)
        missed = num_uniform * np.log1p(-1 / num_videos) + len(watched) * np.log1p(-share)
        return drawn, np.log(-np.expm1(missed)).astype(np.float32)


def bag_loss(tower: TwoTower, batch: BagBatch) -> Tensor:
    """The batch's loss, differentiable. []"""
    raw_CD = tower.raw(batch.videos, batch.content_CX)
    empty = raw_CD.new_zeros(len(batch.bags.starts_B), 0)
    viewer_SD = tower.viewer_vectors(pool(raw_CD, batch.weight_H[None], batch.bags), None, empty)
    video_CD = tower.video_vectors(raw_CD, raw_CD.new_zeros(len(raw_CD)))
    return multinomial(viewer_SD, video_CD, batch.log_chance_C, batch.owner_T, batch.watched_T, tower.config.temperature)
