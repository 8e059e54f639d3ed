"""Is a model good only at videos that it has seen often? Recall of targets by how often they were watched in training.

    never seen · 1 to 5 times · 6 to 20 times · more often

Each class is measured on the cases that have a target in it; one that the catalogue lacks was never seen. Such slices condition
on the answer: they say where a model finds what, and content vectors should show in the first ones. Knows nothing of models.
"""

import numpy as np
from numpy.typing import NDArray

from core.ragged import Ragged

K = 20
CLASSES = ("never seen", "1 to 5 times", "6 to 20 times", "more often")
METRICS = tuple(f"recall@{K}, {name}" for name in CLASSES)
_EDGES = (1, 6, 21)


def class_of(sightings: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place in CLASSES of a video watched so often in training."""
    return np.searchsorted(np.array(_EDGES), sightings, side="right").astype(np.int64)


def recalls(
    ranked_NK: NDArray[np.int32], hits_NK: NDArray[np.bool_], targets: Ragged, sightings_V: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Recall@20 of each class of targets by its name in METRICS; NaN where a case has none of it. [N] each"""
    class_V = np.append(class_of(sightings_V), 0)  # row −1: what the catalogue lacks
    wanted, found = (np.zeros((len(ranked_NK), len(CLASSES))) for _ in range(2))
    np.add.at(wanted, (targets.owners, class_V[targets.values]), 1.0)
    case, place = np.nonzero(hits_NK[:, :K])
    np.add.at(found, (case, class_V[ranked_NK[case, place]]), 1.0)
    shares = np.divide(found, wanted, out=np.full_like(found, np.nan), where=wanted > 0)
    return dict(zip(METRICS, shares.T, strict=True))
