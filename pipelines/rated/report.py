"""How good scores of shown videos are, head by head, and how sure one can be that one model orders them better than another.

auc      over all rows; gauc: within viewers who have both labels, weighted by their rows (Zhu et al., KDD 2017)
logloss, ece   after Platt's line from rows before the held-out ones (`ranking.calibrate`)
mae      of watched seconds against the predicted median: exp(a + b·log mean), a and b from the same rows
gain     AUC of one model minus the other's on the same rows; percentile interval, whole viewers resampled
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

from core import metrics
from core.inference import Interval
from pipelines.rated.log import WATCH
from ranking import calibrate

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Calibration = Callable[[Floats], Floats]
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
    gain: Mapping[str, Interval]
    """AUC gained over the baseline by both together, by binary head."""
    gain_alone: Mapping[str, Interval]
    """By the ranker alone."""
    omitted: Mapping[str, str]
    """Head → reason in plain words."""
    facts: Mapping[str, Any]
    """Rows, settings and whatever else belongs to the result."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        heads = {"heads": self.heads, "alone": self.alone, "baseline": self.baseline}
        gains = {"gain": _plain(self.gain), "gain_alone": _plain(self.gain_alone)}
        return {**heads, **gains, "omitted": self.omitted, **self.facts}

    def to_table(self) -> Table:
        """For a terminal."""
        title = "ranker and tuned LightGBM together / LightGBM, same features, held-out rows"
        table = Table(box=SIMPLE, title=title)
        names = ("auc", "gauc", "logloss", "ece", "mae")
        for name in ("head", *names, "AUC gained", "by the ranker alone"):
            table.add_column(name, justify="left" if name == "head" else "right")
        for head, found in self.heads.items():
            cells = [_pair(found.get(name), self.baseline[head].get(name)) for name in names]
            table.add_row(head, *cells, _interval(self.gain.get(head)), _interval(self.gain_alone.get(head)))
        for head, reason in self.omitted.items():
            table.add_row(head, reason, style="dim")
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


def _pair(first: float | None, second: float | None) -> str:
    return "" if first is None or second is None else f"{first:.4f} / {second:.4f}"


def _interval(gain: Interval | None) -> str:
    return rf"{gain.mean:+.4f} \[{gain.low:+.4f}, {gain.high:+.4f}]" if gain else ""


def _plain(gain: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    return {head: {"auc": found.mean, "low": found.low, "high": found.high} for head, found in gain.items()}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
