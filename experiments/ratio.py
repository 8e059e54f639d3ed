"""A ratio of sums as one number per viewer, so that everything for means works for ratios.

    R = Σ y / Σ n,    L_v = R + (y_v − R · n_v) / n̄        mean L = R,   var(L)/viewers = delta-method variance of R

(Deng, Knoblich & Lu, "Applying the delta method in metric analytics", KDD 2018.) Click-through rate over impressions is such a
ratio: impressions of one viewer resemble each other, so the viewer, not the impression, is the independent unit.
"""

import numpy as np
from numpy.typing import ArrayLike

from experiments.effects import Floats


def linearised(numerator: ArrayLike, denominator: ArrayLike) -> Floats:
    """[n] L_v of one arm's viewers; zeros when nobody has a denominator."""
    y, n = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    if not n.sum() > 0:
        return np.zeros(len(y))
    ratio = y.sum() / n.sum()
    return ratio + (y - ratio * n) / n.mean()
