"""Softmax regression with soft targets: the small model that active learning and delayed labels are studied with.

    p(c | x) ∝ exp(offset_c + W_c · (1, x))
    loss = −Σ_n weight_n Σ_c target_nc ln p(c | x_n) + (penalty / 2) · ‖W without intercepts‖²

An offset is what was believed before, as ln p per class: the weights then learn a correction of it, none without rows.

Targets need not be one-hot nor lie in [0, 1], only sum to 1 per row: corrected labels may not (`delay`). The loss is convex
whatever they are. Knows nothing of what features mean; standardise them first.

Shape legend: N rows, D features, C classes.
"""

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Numbers = NDArray[np.floating]


@dataclass(frozen=True)
class Softmax:
    """A fitted model."""

    weights_CD: Floats
    """[C, 1 + D] intercept first."""

    def probability(self, x_ND: Numbers, offset_NC: Floats | float = 0.0) -> Floats:
        """[N, C] rows sum to 1."""
        return np.asarray(scipy.special.softmax(_with_one(x_ND) @ self.weights_CD.T + offset_NC, axis=1))


def fit(
    x_ND: Numbers,
    target_NC: Floats,
    *,
    weight_N: Floats | None = None,
    penalty: float = 1.0,
    offset_NC: Floats | float = 0.0,
    free_intercept: bool = True,
) -> Softmax:
    """The minimum of the loss, by L-BFGS. `penalty` is in units of one row's loss; it pulls intercepts unless they are free."""
    x, target = _with_one(x_ND), np.asarray(target_NC, dtype=np.float64)
    if weight_N is not None:
        target = target * np.asarray(weight_N)[:, None]
    total, shape = target.sum(axis=1, keepdims=True), (target.shape[1], x.shape[1])

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(shape)
        log_p = scipy.special.log_softmax(x @ weights.T + offset_NC, axis=1)
        pulled = weights.copy()
        if free_intercept:
            pulled[:, 0] = 0.0
        gradient = (np.exp(log_p) * total - target).T @ x + penalty * pulled
        return float(-(target * log_p).sum() + penalty / 2 * (pulled**2).sum()), gradient.ravel()

    found = scipy.optimize.minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return Softmax(found.x.reshape(shape))


def one_hot(labels_N: NDArray[np.int64], num_classes: int) -> Floats:
    """[N, C]"""
    return np.eye(num_classes)[labels_N]


def two_classes(positive_N: Floats) -> Floats:
    """[N, 2] targets from the share of the positive class: columns no, yes."""
    positive = np.asarray(positive_N, dtype=np.float64)
    return np.stack([1.0 - positive, positive], axis=1)


def _with_one(x_ND: Numbers) -> Floats:
    return np.concatenate([np.ones((len(x_ND), 1)), x_ND], axis=1)
