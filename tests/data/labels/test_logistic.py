"""Softmax regression against closed forms."""

import numpy as np
import pytest

from core import rng
from data.labels import logistic


def test_without_features_it_learns_shares():
    targets = logistic.one_hot(np.array([0, 0, 0, 1, 2, 2]), 3)
    found = logistic.fit(np.zeros((6, 1)), targets).probability(np.zeros((1, 1)))
    assert found[0] == pytest.approx([3 / 6, 1 / 6, 2 / 6], abs=1e-4)


def test_weights_count_as_rows():
    x = rng.stream(1, "x").standard_normal((50, 2))
    labels = (x[:, 0] > 0.3).astype(np.int64)
    twice = np.where(labels == 1, 2.0, 1.0)
    copied = np.concatenate([np.arange(50), np.flatnonzero(labels == 1)])
    weighted = logistic.fit(x, logistic.one_hot(labels, 2), weight_N=twice)
    repeated = logistic.fit(x[copied], logistic.one_hot(labels[copied], 2))
    assert weighted.probability(x) == pytest.approx(repeated.probability(x), abs=1e-3)


def test_soft_targets_are_the_mean_of_hard_ones_even_beyond_one():
    x = rng.stream(2, "x").standard_normal((2_000, 1))
    share = 1 / (1 + np.exp(-x[:, 0]))
    soft = logistic.fit(x, logistic.two_classes(share), penalty=1e-9)
    assert soft.weights_CD[1] - soft.weights_CD[0] == pytest.approx([0.0, 1.0], abs=1e-3)
    spread = np.concatenate([share + 0.7, share - 0.7])
    beyond = logistic.fit(np.concatenate([x, x]), logistic.two_classes(spread), penalty=1e-9)
    assert beyond.probability(x) == pytest.approx(soft.probability(x), abs=1e-3)


def test_the_penalty_spares_the_intercept():
    labels = logistic.one_hot(np.array([0, 0, 0, 1]), 2)
    found = logistic.fit(np.array([[0.0], [1.0], [0.0], [1.0]]), labels, penalty=1e6)
    assert found.probability(np.array([[0.0], [1.0]]))[:, 1] == pytest.approx([0.25, 0.25], abs=1e-3)
