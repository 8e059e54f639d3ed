"""How good scores of shown videos are, head by head, and how sure one can be that one model orders them better than another.

auc      over all rows; gauc: within viewers who have both labels, weighted by their rows (Zhu et al., KDD 2017)
logloss, ece   after Platt's line from rows before the held-out ones (`ranking.calibrate`)
mae      of watched seconds against the predicted median: exp(a + b·log mean), a and b from the same rows
gain     AUC of one model minus the other's on the same rows; percentile interval, whole viewers resampled
calibration   log loss and ECE of one model minus the other's, in the same way: below zero is better
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.table import Table
from scipy.optimize import minimize
from scipy.special import expit

from core import inference, metrics
from core.inference import Interval
from pipelines.rated.log import WATCH
from ranking import calibrate

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Calibration = Callable[[Floats], Floats]
_NAMES = ("auc", "gauc", "logloss", "ece", "mae")
_DRAWS = 1_000
_BLOCK = 1 << 22


def calibration(head: str, labels: Floats, raw: Floats) -> Calibration:
    """From raw scores to probabilities (for watch: to median seconds), by rows with known labels."""
    if head == WATCH:
        slope, intercept = _median_line(raw, labels)
        return lambda scores: np.exp(slope * scores + intercept)
    slope, intercept = calibrate.platt(raw, labels, np.zeros_like(raw))
    return lambda scores: expit(slope * scores + intercept)


@dataclass(frozen=True)
class RankingReport:
    """The ranker with its baseline's say, the ranker alone and the baseline on the same rows."""

    heads: Mapping[str, Mapping[str, Any]]
    """Figures by head, of ranker and baseline together."""
    alone: Mapping[str, Mapping[str, Any]]
    """Of the ranker by itself."""
    baseline: Mapping[str, Mapping[str, Any]]
    averaged: Mapping[str, Mapping[str, Any]]
    """Of the baseline with several settings averaged."""
    gain: Mapping[str, Interval]
    """AUC gained over the baseline by both together, by binary head."""
    gain_alone: Mapping[str, Interval]
    """By the ranker alone."""
    gain_over_averaged: Mapping[str, Interval]
    """By both together over the averaged baseline: what the ranker adds to it."""
    calibration: Mapping[str, Mapping[str, Interval]]
    """Log loss and ECE of both together minus the baseline's, by binary head."""
    omitted: Mapping[str, str]
    """Head → reason in plain words."""
    facts: Mapping[str, Any]
    """Rows, settings and whatever else belongs to the result."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        heads = {"heads": self.heads, "alone": self.alone, "baseline": self.baseline, "averaged": self.averaged}
        gains = {
            "gain": _plain(self.gain),
            "gain_alone": _plain(self.gain_alone),
            "gain_over_averaged": _plain(self.gain_over_averaged),
        }
        calibration = {head: _plain(found, "difference") for head, found in self.calibration.items()}
        return {**heads, **gains, "calibration": calibration, "omitted": self.omitted, **self.facts}

    def metrics(self) -> dict[str, float]:
        """model.head_figure → value, as runs are recorded; undefined figures are left out."""
        models = {"together": self.heads, "ranker": self.alone, "lightgbm": self.baseline, "lightgbm_averaged": self.averaged}
        return {
            f"{model}.{head}_{name}": float(value)
            for model, heads in models.items()
            for head, found in heads.items()
            for name, value in found.items()
            if name in _NAMES and value is not None
        }

    def to_table(self) -> Table:
        """Figures of every model on every head, for a terminal of 80 columns."""
        table = Table(box=SIMPLE, title="same features, held-out rows; together: ranker and averaged LightGBM")
        for name in ("head", "model", *_NAMES):
            table.add_column(name, justify="left" if name in ("head", "model") else "right")
        models = {"together": self.heads, "ranker": self.alone, "LightGBM": self.baseline, "averaged": self.averaged}
        for head in self.heads:
            for model, found in models.items():
                cells = ("" if found[head].get(name) is None else f"{found[head][name]:.4f}" for name in _NAMES)
                table.add_row(head if model == "together" else "", model, *cells)
        for head, reason in self.omitted.items():
            table.add_row(head, reason, style="dim")
        return table

    def differences_table(self) -> Table:
        """What is gained on each binary head, with intervals over viewers."""
        table = Table(box=SIMPLE, title="differences to tuned LightGBM, paired, 95 % over viewers")
        for name in ("head", "of", "in", "difference", "interval"):
            table.add_column(name, justify="right" if name in ("difference", "interval") else "left")
        for head in self.gain:
            rows = (
                ("together", "auc", self.gain[head]),
                ("ranker", "auc", self.gain_alone[head]),
                ("together, to averaged", "auc", self.gain_over_averaged[head]),
                *(("together", name, found) for name, found in self.calibration[head].items()),
            )
            for number, (model, name, found) in enumerate(rows):
                interval = rf"\[{found.low:+.4f}, {found.high:+.4f}]"
                table.add_row("" if number else head, model, name, f"{found.mean:+.4f}", interval)
        return table


def figures(head: str, labels: Floats, predicted: Floats, viewers: Ids) -> dict[str, Any]:
    """Of one head on N rows with known labels; null where a figure needs both labels."""
    if head == WATCH:
        return {"mae": float(np.abs(labels - predicted).mean()), "rows": len(labels), "mean_s": float(labels.mean())}
    return {
        "auc": _number(metrics.auc(labels, predicted)),
        "gauc": _number(gauc(labels, predicted, viewers)),
        "logloss": metrics.log_loss(labels, predicted),
        "ece": metrics.ece(labels, predicted),
        "rows": len(labels),
        "positive_rate": float(labels.mean()),
    }


def gauc(labels: Floats, scores: Floats, viewers: Ids) -> float:
    """Mean AUC of viewers with both labels, weighted by rows; nan without such viewers."""
    order = np.argsort(viewers, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(viewers[order])) + 1)
    both = [group for group in groups if 0 < labels[group].sum() < len(group)]
    if not both:
        return float("nan")
    return float(np.average([metrics.auc(labels[g], scores[g]) for g in both], weights=[len(g) for g in both]))


def auc_gain(labels: Floats, first: Floats, second: Floats, viewers: Ids, random: np.random.Generator) -> Interval:
    """AUC of `first` minus AUC of `second`, with a 95 % interval over viewers."""
    _, rows = np.unique(viewers, return_inverse=True)
    num = int(rows.max()) + 1
    step = max(1, _BLOCK // len(labels))
    gains = []
    for begin in range(0, _DRAWS, step):
        draws = min(step, _DRAWS - begin)
        weights = random.multinomial(num, np.full(num, 1 / num), size=draws)[:, rows]
        gains.append(weighted_auc(labels, first, weights) - weighted_auc(labels, second, weights))
    low, high = np.nanquantile(np.concatenate(gains), [0.025, 0.975])
    return Interval(metrics.auc(labels, first) - metrics.auc(labels, second), float(low), float(high))


def loss_gain(labels: Floats, first: Floats, second: Floats, viewers: Ids, random: np.random.Generator) -> dict[str, Interval]:
    """Log loss and ECE of the probabilities `first` minus those of `second`, with 95 % intervals over viewers."""
    logloss = inference.paired_bootstrap(metrics.log_losses(labels, first), metrics.log_losses(labels, second), viewers, random)
    _, rows = np.unique(viewers, return_inverse=True)
    counts = np.bincount(rows)
    weights = random.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=_DRAWS)
    gaps = [np.abs(weights @ _gaps(labels, each, rows, len(counts))).sum(axis=1) for each in (first, second)]
    low, high = np.quantile((gaps[0] - gaps[1]) / (weights @ counts), [0.025, 0.975])
    ece = Interval(metrics.ece(labels, first) - metrics.ece(labels, second), float(low), float(high))
    return {"logloss": logloss, "ece": ece}


def _gaps(labels: Floats, probabilities: Floats, rows: Ids, num: int) -> Floats:
    """Σ (p − y) of each viewer in each bin of `metrics.ece`. [V, bins]"""
    bins = metrics.ECE_BINS
    place = rows * bins + np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(place, weights=probabilities - labels, minlength=num * bins)
    return np.asarray(gaps.reshape(num, bins), dtype=np.float64)


def weighted_auc(labels: Floats, scores: Floats, weights_DN: NDArray) -> Floats:
    """AUC when row n counts weights[d, n] times, ties ½; nan where a class has no weight. [D]"""
    order = np.argsort(scores, kind="stable")
    sorted_scores, positive = scores[order], labels[order] > 0
    weights = weights_DN[:, order].astype(np.float64)
    negatives = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(np.where(positive, 0.0, weights), axis=1)], axis=1)
    below = negatives[:, np.searchsorted(sorted_scores, sorted_scores, side="left")]
    up_to = negatives[:, np.searchsorted(sorted_scores, sorted_scores, side="right")]
    positives = np.where(positive, weights, 0.0)
    pairs = positives.sum(axis=1) * negatives[:, -1]
    return np.divide((positives * (below + up_to) / 2).sum(axis=1), pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def _median_line(raw: Floats, labels: Floats) -> tuple[float, float]:
    """Slope and intercept in logs with the least absolute error in seconds."""

    def error(line: Floats) -> float:
        return float(np.abs(labels - np.exp(np.clip(line[0] * raw + line[1], -20, 20))).mean())

    found = minimize(error, np.array([1.0, 0.0]), method="Nelder-Mead").x
    return float(found[0]), float(found[1])


def _plain(gain: Mapping[str, Interval], of: str = "auc") -> dict[str, dict[str, float]]:
    return {head: {of: found.mean, "low": found.low, "high": found.high} for head, found in gain.items()}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
