"""Who puts the best candidates of a set of videos in order: some models' standing, the ranker, or both together.

    score = mean standing of some models + w · standing of the ranker         (standing: see `pipelines.opinions`)

Where viewers have few videos there are few lists to learn from, and a ranker is worse than the models that it hears; where
there are many it is better. Models and w are chosen by nDCG@20 on viewers from whom the ranker has not learned.

Shape legend: B cases, K candidates, F opinions, two of each model.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from pipelines.opinions import standing

_WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
_CUT = 20
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Blend:
    """One way to decide."""

    voters: tuple[int, ...]
    """Places of models among the opinions; the towers are the first."""
    weight: float
    """w, of the ranker."""

    def scores(self, opinion_BKF: Floats, relevance_BK: Floats, there_BK: NDArray[np.bool_]) -> Floats:
        """Higher is better. [B, K]"""
        votes = opinion_BKF[:, :, [2 * voter for voter in self.voters]].mean(axis=2)
        return (votes + self.weight * standing(relevance_BK, there_BK)).astype(np.float32)


@dataclass(frozen=True)
class Judged:
    """Candidates of some cases, and which of them are targets."""

    opinion_BKF: Floats
    relevance_BK: Floats
    there_BK: NDArray[np.bool_]
    hit_BK: NDArray[np.bool_]


def choose(num_models: int, judged: Iterable[Judged]) -> Blend:
    """The best blend of the ranker with any of the models that have opinions."""
    voters = [some for size in range(1, num_models + 1) for some in combinations(range(num_models), size)]
    blends = [Blend(*one) for one in product(voters, _WEIGHTS)]
    gains = np.zeros(len(blends))
    for each in judged:
        gains += [_gain(blend, each) for blend in blends]
    return blends[int(np.argmax(gains))]


def _gain(blend: Blend, judged: Judged) -> float:
    """Sum over cases of nDCG@20 among their candidates."""
    scores = np.where(judged.there_BK, blend.scores(judged.opinion_BKF, judged.relevance_BK, judged.there_BK), -np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :_CUT]
    discount = 1 / np.log2(np.arange(2, order.shape[1] + 2))
    best = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(judged.hit_BK.sum(axis=1), order.shape[1])]
    found = (np.take_along_axis(judged.hit_BK, order, axis=1) * discount).sum(axis=1)
    return float((found / np.where(best > 0, best, 1.0)).sum())


def split(num_cases: int, share: int = 5) -> Sequence[NDArray[np.int64]]:
    """Cases to learn from, and every `share`-th one to judge by."""
    every = np.arange(num_cases)
    return every[every % share > 0], every[every % share == 0]
