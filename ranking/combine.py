"""Scores of several heads → one utility per candidate.

    utility = click·logit P(click) + watch·log(1 + E[watch s]) + like·logit P(like) − dislike·logit P(dislike) + relevance·r

Every term is on a logarithmic scale, so heads of very different size can be weighed against one another. A head that is absent
is skipped. Where no log said what was shown there is no click head: the relevance logit stands in with its own weight, and
without that the two-tower cosine, where the caller adds it as "affinity". Knows nothing of the model.
"""

from collections.abc import Mapping
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from ranking.config import CombineConfig

Floats = NDArray[np.float32]


def combine(scores: Mapping[str, Floats], config: CombineConfig) -> Floats:
    """Utility, f32[B, K] (any shape that all scores share); nan where a score that counts is not finite.

    Args:
        scores: `relevance` (logit), `affinity` (cosine), `click`, `like`, `dislike` (probabilities), `watch` (seconds).

    Raises:
        BadInput: none of these heads is present.
    """
    weights = {head: weight for head, weight in _weights(scores, config).items() if head in scores}
    if not weights:
        raise BadInput("there is no score to rank by: pass at least one of relevance, affinity, click, watch, like, dislike")
    terms = [np.float32(weight) * _logarithmic(head, scores[head]) for head, weight in weights.items() if weight]
    return reduce(np.add, terms) if terms else np.zeros_like(scores[next(iter(weights))])


def _weights(scores: Mapping[str, Floats], config: CombineConfig) -> dict[str, float]:
    """Signed weight of each head, whether it is there or not."""
    relevance = config.relevance if "click" in scores else config.unshown
    first = {"relevance": relevance} if scores.keys() & {"click", "relevance"} else {"affinity": config.affinity}
    return first | {"click": config.click, "watch": config.watch, "like": config.like, "dislike": -config.dislike}


def _logarithmic(head: str, score: Floats) -> Floats:
    score = np.where(np.isfinite(score), score, np.float32(np.nan))  # an infinite probability is not certainty
    if head in ("relevance", "affinity"):
        return score
    if head == "watch":
        return np.log1p(np.maximum(score, 0))
    p = np.clip(score, 1e-6, 1 - 1e-6)
    return np.log(p) - np.log1p(-p)
