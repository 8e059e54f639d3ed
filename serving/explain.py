"""Why this video: what the request path knew about each slot of a page, as plain JSON values.

Only made when asked for; nothing here changes a page.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import columns as c
from core.policy import Slate
from data.catalogue import Catalogue
from features.schema import FeatureBatch, FeatureSchema
from serving.candidates import CandidateSet

_IMPERSONAL = {
    "trending": "many people are watching it right now",
    "fresh": "it was uploaded recently and few people have seen it",
    "any": "nothing else was left to show",
}


@dataclass(frozen=True)
class Explained:
    """One request's share of a batch."""

    index: int
    chosen: NDArray[np.int64]
    candidates: CandidateSet
    batch: FeatureBatch | None
    schema: FeatureSchema | None
    catalogue: Catalogue
    video_VD: NDArray[np.float32]

    @property
    def rows(self) -> NDArray[np.int32]:
        """Catalogue rows of the page."""
        return self.candidates.rows_BK[self.index, self.chosen]

    @property
    def history(self) -> NDArray[np.int32]:
        """Rows of the viewer's latest clicks, most recent first."""
        history = self.candidates.query.part.history_BL[self.index]
        return history[history >= 0]


def explain_page(slate: Slate, facts: Explained) -> dict[str, Any]:
    """`viewer`: feature values; `candidates`: number by source; `removed`: number by reason; `slots`: one entry per video.

    A slot has `source`, `why`, `scores`, `features`, `propensity` and `exploration`.
    """
    sources = facts.candidates.source_BK[facts.index]
    return {
        "viewer": _viewer(facts),
        "candidates": {name: int((sources == code).sum()) for code, name in enumerate(facts.candidates.names)},
        "removed": {reason: int(counts[facts.index]) for reason, counts in facts.candidates.removed.items()},
        "slots": [_slot(slate, facts, position) for position in range(len(slate.video_ids))],
    }


def _slot(slate: Slate, facts: Explained, position: int) -> dict[str, Any]:
    return {
        "source": slate.sources[position],
        "why": _why(slate, facts, position),
        "scores": {head: float(values[position]) for head, values in slate.scores.items() if np.isfinite(values[position])},
        "features": _features(facts, position),
        "propensity": float(slate.propensities[position]),
        "exploration": bool(slate.exploration[position]),
    }


def _why(slate: Slate, facts: Explained, position: int) -> str:
    if slate.exploration[position]:
        return "chosen by chance, so that videos few have seen get a first audience"
    source = slate.sources[position]
    if source in _IMPERSONAL or not len(facts.history):
        return _IMPERSONAL.get(source, "it fits what is known about this viewer")
    likeness = facts.video_VD[facts.history] @ facts.video_VD[facts.rows[position]]
    title = facts.catalogue.frame[c.TITLE][int(facts.history[int(likeness.argmax())])]
    if source == "cowatch":
        return f"often watched together with videos like “{title}”"
    return f"close to “{title}”, which this viewer watched"


def _viewer(facts: Explained) -> dict[str, float]:
    part = facts.candidates.query.part
    names = facts.schema.viewer_dense if facts.schema else ()
    return {name: float(value) for name, value in zip(names, part.dense_BF[facts.index], strict=False)}


def _features(facts: Explained, position: int) -> dict[str, float]:
    if facts.batch is None or facts.schema is None:
        return {}
    where = (facts.index, int(facts.chosen[position]))
    video = zip(facts.schema.video_dense, facts.batch.video_dense_BKF[where], strict=False)
    cross = zip(facts.schema.cross_dense, facts.batch.cross_dense_BKF[where], strict=False)
    return {name: float(value) for name, value in (*video, *cross)}
