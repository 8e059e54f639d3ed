"""What the request path asks of its parts: small protocols, so that offline evaluation and tests can put in their own.

Implementations: `features.online.OnlineFeatures` or a reader over offline features; `retrieval.encoder.ViewerEncoder`;
`ranking.scorer.Scorer`; `serving.filters`.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from features.schema import FeatureBatch, ViewerPart
from ranking.config import CombineConfig
from retrieval.sources import Query

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]
Instants = NDArray[np.int64]


class FeatureReader(Protocol):
    """Features of B requests at their instants."""

    def viewer_part(self, viewer_ids: NDArray[np.int64], at: Instants) -> ViewerPart:
        """Everything about the viewers, in one round trip. Raises StoreUnavailable."""
        ...

    def blank_part(self, viewer_ids: NDArray[np.int64], at: Instants) -> ViewerPart:
        """What is known while the store does not answer."""
        ...

    def assemble(self, part: ViewerPart, video_BK: Rows, at: Instants) -> FeatureBatch:
        """The part with features of K candidates each (rows, never −1)."""
        ...


class Encoder(Protocol):
    """Viewer features to unit vectors."""

    def encode(self, part: ViewerPart) -> Floats:
        """f32[B, D]"""
        ...


class Scorer(Protocol):
    """The ranker."""

    @property
    def combine(self) -> CombineConfig:
        """The utility formula released with these scores."""
        ...

    def score(self, batch: FeatureBatch, affinity_BK: Floats) -> Mapping[str, Floats]:
        """Scores by head, f32[B, K] each."""
        ...


class Filter(Protocol):
    """A rule about what may not be shown."""

    reason: str
    yields: bool
    """Whether the rule gives way when it would leave nothing to show."""

    def keep(self, query: Query, viewer_ids: NDArray[np.int64], rows_BS: Rows) -> NDArray[np.bool_]:
        """bool[B, S]; entries of −1 may come out either way."""
        ...
