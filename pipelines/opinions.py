"""What simple models think of retrieved candidates, as numbers for the ranker.

A ranker that sees only the towers can do no better than the towers know. Markov chains, EASE, factorisation and neighbours each
know something else, so their scores are its features. Scales differ between models and viewers; what is comparable is how a
candidate stands among the others of its list, so each model gives two columns:

    standing   (score − mean of the list) / deviation of the list, clipped
    place      log(1 + rank in the list)

Lists used for training are scored by models that were fitted without the clicks to be found, like the towers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.interactions import Interactions
from pipelines.evaluation.cases import Cases
from retrieval.baselines import Baseline, Scorer
from retrieval.factorisation import Ials
from retrieval.neighbours import Ease, ItemKnn, Markov

_CLIP = 6.0
_FLAT = 1e-9
_LONG_MEMORY = 0.97
TOWERS = "two_tower"


def panel(
    *, ordered: bool, max_ease_videos: int, tuned: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
) -> dict[str, Baseline]:
    """The models that are asked.

    Where order means something, some look at the latest videos and some at all of them, with settings that need no tuning: the
    ranker learns what to make of them. In a set they decide beside the ranker, so they have the settings in `tuned`, by name.
    """
    ease = Ease(max_videos=max_ease_videos)
    if not ordered:
        models = (replace(ease, decay=1.0), Ials(decay=1.0), ItemKnn(decay=1.0))
        return {model.name: replace(model, **tuned.get(model.name, {})) for model in models}
    return {
        "markov": Markov(),
        "next": Markov(window=1, decay=0.5),
        "ease": ease,
        "ease_all": replace(ease, decay=_LONG_MEMORY),
        "ials": Ials(dim=64, sweeps=8),
        "item_knn": ItemKnn(),
    }


@dataclass(frozen=True)
class Opinions:
    """Fitted models, asked together."""

    scorers: Mapping[str, Scorer]

    @staticmethod
    def fit(models: Mapping[str, Baseline], interactions: Interactions) -> "Opinions":
        """Every model of the panel on the same interactions."""
        return Opinions({name: model.fit(interactions) for name, model in models.items()})

    def of(
        self, cases: Cases, rows: slice, found_BK: NDArray[np.int32], affinity_BK: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """[B, K, F] for the retrieved candidates of the cases in `rows`; −1 is padding and takes no part."""
        histories, video_BK = cases.histories.take(rows), np.maximum(found_BK, 0)
        scores = [np.take_along_axis(scorer.scores(histories), video_BK, axis=1) for scorer in self.scorers.values()]
        columns = [column for one in (affinity_BK, *scores) for column in _columns(one, found_BK >= 0)]
        return np.stack(columns, axis=-1, dtype=np.float32)


def columns(models: Mapping[str, Baseline]) -> tuple[str, ...]:
    """Names of what `Opinions.of` returns; the towers come first."""
    return tuple(f"{name}_{what}" for name in (TOWERS, *models) for what in ("standing", "place"))


def standing(score_BK: NDArray[np.float32], there_BK: NDArray[np.bool_]) -> NDArray:
    """Of each candidate among those of its list. [B, K], 0 at padding"""
    score = np.where(there_BK, score_BK, np.nan).astype(np.float64)
    count = np.maximum(there_BK.sum(axis=1, keepdims=True), 1)
    apart = np.nan_to_num(score - np.nansum(score, axis=1, keepdims=True) / count)
    spread = np.sqrt((apart**2).sum(axis=1, keepdims=True) / count)
    return np.clip(apart / (spread + _FLAT), -_CLIP, _CLIP)


def _columns(score_BK: NDArray[np.float32], there_BK: NDArray[np.bool_]) -> tuple[NDArray, NDArray]:
    """Standing and place of each candidate. Two of [B, K], 0 at padding"""
    order = np.argsort(np.where(there_BK, -score_BK, np.inf), axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(order.shape[1]), order.shape), axis=1)
    return standing(score_BK, there_BK), np.where(there_BK, np.log1p(rank), 0.0)
