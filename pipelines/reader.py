"""Features read from the log, point in time, for the recommender that serves: the FeatureReader of evaluation."""

import numpy as np
from numpy.typing import NDArray

from features.offline import OfflineFeatures
from features.schema import FeatureBatch, ViewerPart


class OfflineReader:
    """Answers for the (viewer, instant) pairs that `features` was built for, and no others."""

    def __init__(self, features: OfflineFeatures, viewer_ids: NDArray[np.int64], at: NDArray[np.int64]) -> None:
        self._features = features
        self._rows = {pair: row for row, pair in enumerate(zip(viewer_ids.tolist(), at.tolist(), strict=True))}

    def viewer_part(self, viewer_ids: NDArray[np.int64], at: NDArray[np.int64]) -> ViewerPart:
        """The viewers as known strictly before `at`. Raises KeyError for a pair that was not announced."""
        pairs = zip(viewer_ids.tolist(), at.tolist(), strict=True)
        return self._features.viewer_part(np.array([self._rows[pair] for pair in pairs], dtype=np.int64))

    blank_part = viewer_part

    def assemble(self, part: ViewerPart, video_BK: NDArray[np.int32], at: NDArray[np.int64]) -> FeatureBatch:
        """The part with K candidates each."""
        return self._features.assemble(part, video_BK, at)
