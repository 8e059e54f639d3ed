"""Raw outputs of the network → probabilities that mean what they say, and expected seconds that add up.

Platt scaling (Platt 1999): p = σ(a·z + b + offset), with a and b by maximum likelihood on held-out rows and Platt's smoothed
targets. `offset` is the position bias under which a label was observed. Served scores have no position, so the click curve
averages over the offsets of the held-out rows: "P(click) at a typical position of the log, whatever video stands there".
A curve is saved as knots in log-odds, where Platt's line is a line, and read by linear interpolation.
Watch is scaled by Σ watched / Σ predicted. Knows nothing of the model, of heads, or of features.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core import metrics

Floats = NDArray[np.float64]
_KNOTS = np.linspace(-16.0, 16.0, 65)
_FEW = 10
"""Below this many positives or negatives the slope is not estimated."""


@dataclass(frozen=True)
class Curve:
    """A monotone map from raw logits to probabilities, as knots in log-odds. Flat beyond the outer knots."""

    raw: tuple[float, ...]
    calibrated: tuple[float, ...]

    def __call__(self, logits: NDArray[np.floating]) -> NDArray[np.float32]:
        """Probabilities, same shape as `logits`."""
        flat = np.interp(logits.ravel(), *self._knots)
        return np.asarray(1 / (1 + np.exp(-flat)), dtype=np.float32).reshape(logits.shape)  # knots are far from overflow

    @cached_property
    def _knots(self) -> tuple[Floats, Floats]:
        """Both as arrays: making these takes longer than reading a page's logits off them."""
        return np.asarray(self.raw, dtype=np.float64), np.asarray(self.calibrated, dtype=np.float64)


@dataclass(frozen=True)
class Fit:
    """A curve and what it changed on rows that it was not fitted on."""

    curve: Curve
    slope: float
    intercept: float
    ece_before: float
    ece_after: float


def fit(logits: ArrayLike, labels: ArrayLike, offsets: ArrayLike = 0.0) -> Fit:
    """Platt's curve for held-out rows.

    Args:
        logits: [N] raw outputs without position.
        labels: [N] 0 or 1.
        offsets: [N] or scalar, log-odds added by the position at which each row was shown.

    The calibration errors come from a fit on the even rows measured on the odd ones, both with offsets; the curve from all.
    """
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    shift = np.broadcast_to(np.asarray(offsets, dtype=np.float64), z.shape)
    slope, intercept = platt(z, y, shift)
    half_slope, half_intercept = platt(z[::2], y[::2], shift[::2])
    odd_z, odd_y, odd_shift = z[1::2], y[1::2], shift[1::2]
    return Fit(
        curve=marginal(slope, intercept, shift),
        slope=slope,
        intercept=intercept,
        ece_before=metrics.ece(odd_y, _sigmoid(odd_z + odd_shift)) if len(odd_y) else 0.0,
        ece_after=metrics.ece(odd_y, _sigmoid(half_slope * odd_z + half_intercept + odd_shift)) if len(odd_y) else 0.0,
    )


def platt(logits: Floats, labels: Floats, offsets: Floats) -> tuple[float, float]:
    """Slope and intercept. With few labels of a class the slope stays 1; with one class only, so does the intercept 0."""
    from scipy.optimize import minimize  # half a second to import, and the service only reads curves

    positives = float(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return 1.0, 0.0
    targets = np.where(labels > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    free_slope = min(positives, negatives) >= _FEW

    def objective(theta: Floats) -> tuple[float, Floats]:
        eta = (theta[1] if free_slope else 1.0) * logits + theta[0] + offsets
        error = _sigmoid(eta) - targets
        loss = np.logaddexp(0.0, eta) - targets * eta
        return float(loss.mean()), np.array([error.mean(), (error * logits).mean() * free_slope])

    bounds = [(None, None), (0.05, 20.0)]
    found = minimize(objective, np.array([0.0, 1.0]), jac=True, method="L-BFGS-B", bounds=bounds).x
    return (float(found[1]) if free_slope else 1.0), float(found[0])


def marginal(slope: float, intercept: float, offsets: ArrayLike) -> Curve:
    """raw ↦ logit of mean over offsets of σ(slope·raw + intercept + offset)."""
    values, counts = np.unique(np.atleast_1d(np.asarray(offsets, dtype=np.float64)), return_counts=True)
    shifted = slope * _KNOTS[:, None] + intercept + (values if len(values) else np.zeros(1))
    share = counts / counts.sum() if len(values) else np.ones(1)
    averaged = np.log(_sigmoid(shifted) @ share) - np.log(_sigmoid(-shifted) @ share)
    return Curve(tuple(_KNOTS.tolist()), tuple(averaged.tolist()))


def scale(watched_s: ArrayLike, predicted_s: ArrayLike) -> float:
    """Factor that makes predicted seconds add up to watched ones; 1 when there are none."""
    total = float(np.sum(predicted_s, dtype=np.float64))
    return float(np.sum(watched_s, dtype=np.float64)) / total if total > 0 and np.size(watched_s) else 1.0


def _sigmoid(x: ArrayLike) -> Floats:
    """1 / (1 + e^−x) without overflow. SciPy has it too, and would be a tenth of the time in which the service starts."""
    return np.exp(-np.logaddexp(0.0, np.negative(x)))
