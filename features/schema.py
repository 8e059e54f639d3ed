"""What a model sees: one batch of features, the same whether built offline for training or online for a request.

Shape legend: B requests (training rows), K candidates each (1 in training), L history length, Fv/Fd/Fx numeric features of
viewer / video / cross, Cv/Cx categorical ones.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Codes = NDArray[np.int32]


@dataclass(frozen=True)
class ViewerPart:
    """Everything about the viewers of B requests: one round trip to the store."""

    dense_BF: Floats
    """[B, Fv] numeric viewer features, columns as in FeatureSchema.viewer_dense."""
    codes_BC: Codes
    """[B, Cv] attribute and context codes, columns as in FeatureSchema.viewer_codes."""
    history_BL: Codes
    """[B, L] video rows of the latest clicks, most recent first, −1 padding."""
    history_age_BL: Floats
    """[B, L] hours since each of them; 0 at padding."""
    seen: tuple[Codes, ...]
    """Per request: rows of all remembered clicks (up to SEEN_LIMIT), for the seen filter. Empty in training."""

    def __len__(self) -> int:
        return len(self.dense_BF)

    def of(self, places: NDArray[np.int64]) -> "ViewerPart":
        """The same of some of the requests."""
        return ViewerPart(
            self.dense_BF[places],
            self.codes_BC[places],
            self.history_BL[places],
            self.history_age_BL[places],
            tuple(self.seen[place] for place in places),
        )


@dataclass(frozen=True)
class FeatureBatch:
    """Viewer part plus K candidates per request."""

    viewer: ViewerPart
    video_BK: Codes
    """[B, K] catalogue rows, never −1."""
    video_dense_BKF: Floats
    """[B, K, Fd] numeric video features at the request's time."""
    cross_dense_BKF: Floats
    """[B, K, Fx] numeric viewer × video features."""
    cross_codes_BKC: Codes
    """[B, K, Cx] viewer × video cross codes."""

    def fingerprint(self, request: int, candidates: "slice | NDArray[np.int64]" = slice(None)) -> str:
        """16 hex digits over every value of one request and these of its candidates, in order: what a log keeps of a page."""
        viewer, digest = self.viewer, hashlib.blake2b(digest_size=8)
        for values in (viewer.dense_BF, viewer.codes_BC, viewer.history_BL, viewer.history_age_BL):
            digest.update(np.ascontiguousarray(values[request]).tobytes())
        for values in (self.video_BK, self.video_dense_BKF, self.cross_dense_BKF, self.cross_codes_BKC):
            digest.update(np.ascontiguousarray(values[request][candidates]).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class FeatureSchema:
    """Column names of every matrix and the size of every vocabulary; its hash pins a release to the code that reads it."""

    viewer_dense: tuple[str, ...]
    viewer_codes: tuple[str, ...]
    viewer_code_sizes: tuple[int, ...]
    video_dense: tuple[str, ...]
    cross_dense: tuple[str, ...]
    cross_codes: tuple[str, ...]
    cross_code_sizes: tuple[int, ...]
    history_length: int
    content_size: int
    video_code_sizes: tuple[int, ...]
    """Sizes of category, channel and language vocabularies (the catalogue's codes)."""
