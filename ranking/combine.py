"""Scores of several heads → one utility per candidate.

    utility = relevance·r + click·logit P(click) + watch·log(1 + E[watch s]) + like·logit P(like) − dislike·logit P(dislike)

Every term is on a logarithmic scale, so heads of very different size can be weighed against one another. A head that is absent
is skipped; without a relevance head the two-tower cosine, where the caller adds it as "affinity", stands in for it with its own
weight. Knows nothing of the model.
"""

from collections.abc import Mapping
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from ranking.config import CombineConfig

Floats = NDArray[np.float32]


def combine(scores: Mapping[str, Floats], config: CombineConfig) -> Floats:
    """Utility, f32[B, K] (any shape that all scores share).

    Args:
        scores: `relevance` (logit), `affinity` (cosine), `click`, `like`, `dislike` (probabilities), `watch` (seconds).

    Raises:
        BadInput: none of these heads is present.
    """
    terms = [np.float32(weight) * _logarithmic(head, scores[head]) for head, weight in _weights(scores, config).items()]
    if not terms:
        raise BadInput("there is no score to rank by: pass at least one of relevance, affinity, click, watch, like, dislike")
    return reduce(np.add, terms)


def _weights(scores: Mapping[str, Floats], config: CombineConfig) -> dict[str, float]:
    """Signed weight of each head that is there."""
    weights = {"click": config.click, "watch": config.watch, "like": config.like, "dislike": -config.dislike}
    first = {"relevance": config.relevance} if "relevance" in scores else {"affinity": config.affinity}
    return {head: weight for head, weight in (first | weights).items() if head in scores}


def _logarithmic(head: str, score: Floats) -> Floats:
    if head in ("relevance", "affinity"):
        return score
    if head == "watch":
        return np.log1p(np.maximum(score, 0))
    p = np.clip(score, 1e-6, 1 - 1e-6)
    return np.log(p) - np.log1p(-p)
