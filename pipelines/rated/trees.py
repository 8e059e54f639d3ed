"""LightGBM on the same features: the bar that the ranker is held against (Ke et al., NeurIPS 2017).

Forests of one head at a time: log-loss for the binary heads, gamma deviance for watched seconds, like the ranker's. The number
of trees is found by early stopping on the rows that settings are chosen on; the final models are fitted on all rows with that
many. The best setting by itself is the bar; the best few, averaged, are what the ranker's answer is mixed with.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from core.rng import stream, torch_seed
from pipelines.rated.log import WATCH

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]
_MOST_TREES = 1_000
_PATIENCE = 40
_LEAST_SECONDS = 1e-3
"""The gamma deviance has no zero."""


@dataclass(frozen=True)
class TreeSettings:
    """What is searched, for each head by itself."""

    learning_rate: float
    num_leaves: int
    min_data_in_leaf: int
    feature_fraction: float
    bagging_fraction: float
    lambda_l2: float
    trees: int = _MOST_TREES


@dataclass(frozen=True)
class Labelled:
    """Rows with a known label of one head."""

    values_RF: Matrix
    labels_R: Floats

    @staticmethod
    def of(values_RF: Matrix, labels_R: Floats) -> "Labelled":
        """Without the rows whose label is NaN."""
        known = ~np.isnan(labels_R)
        return Labelled(values_RF[known], labels_R[known])


def draw(seed: int, trial: int) -> TreeSettings:
    """A random setting; trial 0 is a usual one."""
    if trial == 0:
        return TreeSettings(0.03, 15, 60, 0.4, 0.6, 10.0)
    random = stream(seed, "trees", trial)
    return TreeSettings(
        learning_rate=float(np.exp(random.uniform(np.log(0.01), np.log(0.08)))),
        num_leaves=int(random.choice([5, 7, 11, 15, 23, 31, 63])),
        min_data_in_leaf=int(random.choice([20, 40, 60, 100, 200])),
        feature_fraction=float(random.uniform(0.2, 0.9)),
        bagging_fraction=float(random.uniform(0.4, 0.95)),
        lambda_l2=float(np.exp(random.uniform(np.log(0.3), np.log(50.0)))),
    )


@dataclass(frozen=True)
class Tried:
    """A setting, with as many trees as were best, and its model."""

    score: float
    """AUC on the held rows, or for watch minus the gamma deviance."""
    settings: TreeSettings
    model: lgb.Booster


def tune(head: str, train: Labelled, held: Labelled, trials: int, seed: int, done: Callable[[int], None]) -> list[Tried]:
    """Every setting tried, the best on the held rows first.

    `done` is called with each trial that has been made.
    """
    metric = "gamma" if head == WATCH else "auc"
    data = _dataset(head, train)
    valid = lgb.Dataset(held.values_RF, _labels(head, held), reference=data)
    tried = []
    for trial in range(trials):
        settings = draw(seed, trial)
        stop = lgb.early_stopping(_PATIENCE, verbose=False)
        parameters = _parameters(head, settings, seed) | {"metric": metric}
        model = lgb.train(parameters, data, settings.trees, [valid], callbacks=[stop])
        score = float(model.best_score["valid_0"][metric]) * (-1 if head == WATCH else 1)
        tried.append(Tried(score, replace(settings, trees=model.best_iteration), model))
        done(trial)
    return sorted(tried, key=lambda each: -each.score)


def fit(head: str, settings: TreeSettings, train: Labelled, seed: int) -> lgb.Booster:
    """A model with that many trees."""
    return lgb.train(_parameters(head, settings, seed), _dataset(head, train), settings.trees)


def raw_scores(model: lgb.Booster, values_RF: Matrix) -> Floats:
    """Log-odds, or log seconds for watch. [R]"""
    return np.asarray(model.predict(values_RF, raw_score=True), dtype=np.float64)


def mean_scores(models: Sequence[lgb.Booster], values_RF: Matrix) -> Floats:
    """Mean of their raw scores. [R]"""
    return np.mean([raw_scores(model, values_RF) for model in models], axis=0, dtype=np.float64)


def _dataset(head: str, rows: Labelled) -> lgb.Dataset:
    return lgb.Dataset(rows.values_RF, _labels(head, rows), params={"feature_pre_filter": False, "verbosity": -1})


def _labels(head: str, rows: Labelled) -> Floats:
    return np.maximum(rows.labels_R, _LEAST_SECONDS) if head == WATCH else rows.labels_R


def _parameters(head: str, settings: TreeSettings, seed: int) -> dict[str, Any]:
    values = asdict(settings)
    values.pop("trees")
    return values | {
        "objective": "gamma" if head == WATCH else "binary",
        "bagging_freq": 1,
        "feature_pre_filter": False,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
        "seed": torch_seed(seed, f"trees of {head}"),
    }
