import numpy as np
import pytest
from scipy.special import expit, logit

from core import metrics
from pipelines.rated import trees as rated_trees
from pipelines.rated.trees import Labelled


def rows(num, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(num, 3)).astype(np.float32)
    return values, rng


def test_rows_without_the_label_are_left_out():
    known = Labelled.of(np.arange(6.0).reshape(3, 2), np.array([1.0, np.nan, 0.0]))
    assert known.values_RF.tolist() == [[0, 1], [4, 5]]
    assert known.labels_R.tolist() == [1.0, 0.0]


def test_tuning_finds_the_planted_order_and_stops_early():
    values, rng = rows(3_000, 0)
    labels = (rng.random(3_000) < expit(2 * values[:, 0])).astype(float)
    train, held = Labelled(values[:2_000], labels[:2_000]), Labelled(values[2_000:], labels[2_000:])
    tried = []
    best, other = rated_trees.tune("click", train, held, 2, 0, tried.append)
    settings, raw = best.settings, rated_trees.raw_scores(best.model, held.values_RF)
    assert tried == [0, 1]
    assert best.score == pytest.approx(metrics.auc(held.labels_R, raw), abs=1e-3)
    assert best.score >= other.score
    both = rated_trees.mean_scores([best.model, other.model], held.values_RF)
    assert both == pytest.approx((raw + rated_trees.raw_scores(other.model, held.values_RF)) / 2)
    assert 0 < settings.trees < 1_000
    assert metrics.auc(held.labels_R, raw) > metrics.auc(held.labels_R, held.values_RF[:, 0]) - 0.02
    again = rated_trees.fit("click", settings, train, 0)
    assert rated_trees.raw_scores(again, held.values_RF) == pytest.approx(raw)


def test_watch_scores_are_log_means():
    values, rng = rows(4_000, 1)
    seconds = rng.gamma(2.0, 10.0 * np.where(values[:, 0] > 0, 3.0, 1.0) / 2.0)
    model = rated_trees.fit("watch", rated_trees.TreeSettings(0.1, 3, 100, 1.0, 1.0, 0.0, 60), Labelled(values, seconds), 0)
    raw = rated_trees.raw_scores(model, values)
    assert np.exp(raw[values[:, 0] > 0.1]).mean() == pytest.approx(30, rel=0.1)
    assert np.exp(raw[values[:, 0] < -0.1]).mean() == pytest.approx(10, rel=0.1)


def test_raw_scores_are_log_odds():
    values, rng = rows(4_000, 2)
    labels = (rng.random(4_000) < 0.2).astype(float)
    settings = rated_trees.TreeSettings(0.05, 3, 500, 1.0, 1.0, 0.0, 5)
    raw = rated_trees.raw_scores(rated_trees.fit("like", settings, Labelled(values, labels), 0), values)
    assert raw.mean() == pytest.approx(logit(labels.mean()), abs=0.05)
