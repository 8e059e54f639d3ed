"""Interactions → for every video, the videos that are watched next to it.

    weight(i → j) = Σ over pairs at distance d ≤ window of one viewer's sequence  1/d · (1 if j came later else `backward`)
    similarity(i → j) = weight / (√(n_i · n_j) + shrink),  n = interactions of each video

that is cosine-normalised co-occurrence (Linden et al., Amazon 2003) leaning towards what comes next. The shrinkage keeps
pairs seen once from looking certain. A log without order counts all pairs of a viewer instead. Knows nothing of requests.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from core import tensors
from core.errors import BadInput
from data.interactions import Interactions

if TYPE_CHECKING:
    from scipy import sparse

FILE = "cowatch.safetensors"


@dataclass(frozen=True)
class CoWatchConfig:
    """How neighbours are counted."""

    window: int = 5
    """How many places apart two watches may be."""
    backward: float = 0.5
    """What a pair counts for the later video, relative to the earlier one."""
    shrink: float = 5.0
    """Added to √(n_i · n_j)."""
    top: int = 20
    """Neighbours kept per video."""


@dataclass(frozen=True)
class CoWatch:
    """Neighbours of V videos, best first."""

    rows_VN: NDArray[np.int32]
    """[V, top] catalogue rows, −1 padding."""
    weights_VN: NDArray[np.float32]
    """[V, top] similarities > 0; 0 at padding."""

    def __len__(self) -> int:
        return len(self.rows_VN)

    def save(self, directory: Path) -> None:
        """Write `cowatch.safetensors`."""
        save_file({"rows": self.rows_VN, "weights": self.weights_VN}, directory / FILE)

    @staticmethod
    def load(directory: Path) -> "CoWatch":
        """The inverse of `save`. Raises BadInput when the file is not one."""
        found = tensors.mapped(directory / FILE)
        if set(found) != {"rows", "weights"} or found["rows"].shape != found["weights"].shape:
            raise BadInput(f"{directory / FILE} does not hold neighbours; publish the release again")
        return CoWatch(found["rows"], found["weights"])


def build(interactions: Interactions, config: CoWatchConfig | None = None) -> CoWatch:
    """Neighbours of every video of the catalogue; videos nobody watched have none."""
    config = config or CoWatchConfig()
    weights = _in_sequence(interactions, config) if interactions.ordered else _in_sets(interactions)
    weights.setdiag(0)
    weights.eliminate_zeros()
    counts = interactions.counts().astype(np.float64)
    coo = weights.tocoo()
    similarity = coo.data / (np.sqrt(counts[coo.row] * counts[coo.col]) + config.shrink)
    return _top(coo.row, coo.col, similarity, interactions.num_videos, config.top)


def _in_sequence(interactions: Interactions, config: CoWatchConfig) -> "sparse.csr_matrix":
    from scipy import sparse  # slow to import, and the service only reads neighbours

    size = interactions.num_videos
    viewer, video = interactions.viewer_rows, interactions.video_rows
    total = sparse.csr_matrix((size, size), dtype=np.float64)
    for distance in range(1, config.window + 1):
        same = viewer[distance:] == viewer[:-distance]
        pair = (video[:-distance][same], video[distance:][same])
        forward = sparse.csr_matrix((np.full(len(pair[0]), 1.0 / distance), pair), shape=(size, size))
        total = total + forward + config.backward * forward.T.tocsr()
    return total


def _in_sets(interactions: Interactions) -> "sparse.csr_matrix":
    from scipy import sparse

    shape = (len(interactions.viewer_ids), interactions.num_videos)
    watched = sparse.csr_matrix((np.ones(len(interactions)), (interactions.viewer_rows, interactions.video_rows)), shape=shape)
    watched.data[:] = 1.0
    return (watched.T @ watched).tocsr()


def _top(source: NDArray, target: NDArray, similarity: NDArray[np.float64], num_videos: int, top: int) -> CoWatch:
    """The best `top` targets of each source; ties go to the lower row."""
    order = np.lexsort((target, -similarity, source))
    source, target, similarity = source[order], target[order], similarity[order]
    rank = np.arange(len(source)) - np.searchsorted(source, source)
    kept = rank < top
    rows = np.full((num_videos, top), -1, dtype=np.int32)
    weights = np.zeros((num_videos, top), dtype=np.float32)
    rows[source[kept], rank[kept]] = target[kept]
    weights[source[kept], rank[kept]] = similarity[kept]
    return CoWatch(rows, weights)
