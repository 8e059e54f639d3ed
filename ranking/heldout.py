"""What the held-out rows say: calibration of every head, and how good each one is.

`like` and `dislike` are calibrated given a click, `click` at a typical position (`ranking.calibrate`), `watch` by one factor.
Knows nothing of training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core import metrics
from ranking import calibrate
from ranking.batches import Rows
from ranking.calibrate import Curve
from ranking.model import RankerModel

Indices = NDArray[np.int64]
_CHUNK = 16_384
"""Candidates per forward pass."""


@dataclass(frozen=True)
class Held:
    """Calibration and figures by head."""

    curves: Mapping[str, Curve]
    watch_scale: float
    metrics: Mapping[str, Any]


@torch.no_grad()
def predict(model: RankerModel, rows: Rows, index: Indices) -> Tensor:
    """Raw logits [len(index), K, H], in pieces."""
    step = max(_CHUNK // rows.mask_NK.shape[1], 1)
    return torch.cat([model(rows.inputs(index[i : i + step])) for i in range(0, len(index), step)])


@torch.no_grad()
def assess(model: RankerModel, heads: tuple[str, ...], parts: Sequence[tuple[Rows, Indices]]) -> Held:
    """Calibrate and measure on the held-out rows of each part."""
    curves: dict[str, Curve] = {}
    figures: dict[str, Any] = {}
    watch_scale = 1.0
    logits = [predict(model, rows, index) for rows, index in parts]
    for column, head in enumerate(heads):
        if head == "relevance":
            figures[head] = _relevance(logits, parts, column)
            continue
        raw, labels, offsets = _known(model, logits, parts, head, column)
        if head == "watch":
            watch_scale = calibrate.scale(labels, np.exp(raw))
            figures[head] = {"rows": len(labels), "scale": watch_scale, "mean_s": float(labels.mean()) if len(labels) else None}
        else:
            fit = calibrate.fit(raw, labels, offsets)
            curves[head] = fit.curve
            figures[head] = _binary(raw, labels, fit)
    return Held(curves, watch_scale, figures)


def _known(
    model: RankerModel, logits: list[Tensor], parts: Sequence[tuple[Rows, Indices]], head: str, column: int
) -> tuple[NDArray, NDArray, NDArray]:
    """Raw logits, labels and position offsets of the rows that have the label."""
    raw, labels, offsets = [], [], []
    for (rows, index), found in zip(parts, logits, strict=True):
        outcomes = rows.outcomes(index)
        if head == "click" and rows.listed:
            continue
        raw.append(found[:, 0, column])
        labels.append(outcomes.clicked if head == "click" else outcomes.given_click(head))
        offsets.append(model.position(*rows.position(index)) if head == "click" else torch.zeros(len(index)))
    z, y, shift = (torch.cat(values).double().numpy() for values in (raw, labels, offsets))
    known = ~np.isnan(y)
    return z[known], y[known], shift[known]


def _binary(raw: NDArray, labels: NDArray, fit: calibrate.Fit) -> dict[str, Any]:
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


def _relevance(logits: list[Tensor], parts: Sequence[tuple[Rows, Indices]], column: int) -> dict[str, Any]:
    """Mean reciprocal rank of the clicked video in its list, by the head and by affinity alone."""
    for (rows, index), found in zip(parts, logits, strict=True):
        if rows.listed:
            mask, affinity = rows.mask_NK[index], rows.numbers_NKF[index, :, 0]
            head = _reciprocal_rank(found[..., column].numpy(), mask)
            return {"rows": len(index), "mrr": head, "mrr_affinity": _reciprocal_rank(affinity, mask)}
    return {}


def _reciprocal_rank(scores: NDArray, mask: NDArray[np.bool_]) -> float:
    """Ties count against the clicked video."""
    rank = (mask & (scores >= scores[:, :1])).sum(axis=1)
    return float(np.mean(1.0 / rank))
