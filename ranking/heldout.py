"""What the held-out rows say: calibration of every head, and how good each one is.

`click` is calibrated at a typical position (`ranking.calibrate`), `watch` by one factor.
Works on plain arrays of raw logits and labels; knows nothing of models or training.

Shape legend: N held-out rows, K candidates each (1 for impressions), H heads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import metrics
from ranking import calibrate
from ranking.calibrate import Curve
from ranking.config import OUTCOMES


@dataclass(frozen=True)
class Observed:
    """Predictions for held-out rows of one part beside what happened."""

    logits_NKH: NDArray
    labels_NO: NDArray
    """Of column 0, columns as in `config.OUTCOMES`, NaN where unknown."""
    offsets_N: NDArray
    """Log-odds of a click from the slot it was shown in."""
    mask_NK: NDArray[np.bool_]
    affinity_NK: NDArray
    listed: bool
    """True for lists, which have relevance."""


@dataclass(frozen=True)
class Held:
    """Calibration and figures by head."""

    curves: Mapping[str, Curve]
    watch_scale: float
    metrics: Mapping[str, Any]


def assess(heads: Sequence[str], parts: Sequence[Observed]) -> Held:
    """Calibrate and measure. Figures: see `_binary`, `_relevance`; for watch the rows, the scale and the mean seconds."""
    curves: dict[str, Curve] = {}
    figures: dict[str, Any] = {}
    watch_scale = 1.0
    for column, head in enumerate(heads):
        if head == "relevance":
            figures[head] = _relevance(parts, column)
            continue
        raw, labels, offsets = _known(parts, head, column)
        if head == "watch":
            watch_scale = calibrate.scale(labels, np.exp(raw))
            figures[head] = {"rows": len(labels), "scale": watch_scale, "mean_s": float(labels.mean()) if len(labels) else None}
        else:
            fit = calibrate.fit(raw, labels, offsets if head == "click" else 0.0)
            curves[head] = fit.curve
            figures[head] = _binary(raw, labels, fit)
    return Held(curves, watch_scale, figures)


def _known(parts: Sequence[Observed], head: str, column: int) -> tuple[NDArray, NDArray, NDArray]:
    """Raw logits, labels and offsets of the rows that have the label, each [n] float64."""
    raw = np.concatenate([part.logits_NKH[:, 0, column] for part in parts]).astype(np.float64)
    labels = np.concatenate([part.labels_NO[:, OUTCOMES.index(head)] for part in parts]).astype(np.float64)
    offsets = np.concatenate([part.offsets_N for part in parts]).astype(np.float64)
    known = ~np.isnan(labels)
    return raw[known], labels[known], offsets[known]


def _binary(raw: NDArray, labels: NDArray, fit: calibrate.Fit) -> dict[str, Any]:
    """AUC without position; calibration errors before and after; Platt's line."""
    both = len(np.unique(labels)) == 2
    return {
        "rows": len(labels),
        "positive_rate": float(labels.mean()) if len(labels) else None,
        "auc": metrics.auc(labels, raw) if both else None,
        "ece_before": fit.ece_before,
        "ece_after": fit.ece_after,
        "slope": fit.slope,
        "intercept": fit.intercept,
    }


def _relevance(parts: Sequence[Observed], column: int) -> dict[str, Any]:
    """Mean reciprocal rank of the clicked video within its list, by the head and by affinity alone."""
    part = next(part for part in parts if part.listed)
    head = _reciprocal_rank(part.logits_NKH[..., column], part.mask_NK)
    return {
        "rows": len(head),
        "mrr": float(head.mean()),
        "mrr_affinity": float(_reciprocal_rank(part.affinity_NK, part.mask_NK).mean()),
    }


def _reciprocal_rank(scores_NK: NDArray, mask_NK: NDArray[np.bool_]) -> NDArray:
    """[N]; ties count against the clicked video in column 0."""
    return 1.0 / (mask_NK & (scores_NK >= scores_NK[:, :1])).sum(axis=1)
