"""The label model against closed forms, and against votes whose truth is known."""

import numpy as np
import pytest

from core import rng
from core.errors import BadInput
from data.labels import label_model
from data.labels.label_model import LabelModel


def votes(accuracies, copies=0, num=20_000, share=0.3, coverage=0.8, seed=0):
    """Truth and the votes of independent functions; the first one is copied with 2 % changes."""
    random = rng.stream(seed, "votes")
    truth = random.random(num) < share
    said = [np.where(random.random(num) < a, truth, ~truth) for a in accuracies]
    said += [said[0] ^ (random.random(num) < 0.02) for _ in range(copies)]
    found = np.where(np.stack(said, axis=1), 1, -1).astype(np.int8)
    found[random.random(found.shape) > coverage] = 0
    return truth, found


def right(probability, truth):
    return float(((probability > 0.5) == truth).mean())


def test_posterior_closed_forms():
    one = LabelModel.symmetric(np.array([0.9, 0.6, 0.6])).probability(np.array([[1, -1, -1]], dtype=np.int8))
    assert one == pytest.approx([0.8])  # ln 9 − 2 ln 1.5 = ln 4
    three = LabelModel.symmetric(np.full(3, 0.8))
    found = three.probability(np.array([[1, 1, 1], [1, 1, -1], [0, 0, 0], [0, 1, 0]], dtype=np.int8))
    assert found == pytest.approx([0.9846153846, 0.8, 0.5, 0.8])
    skewed = LabelModel.symmetric(np.full(3, 0.8), prior=0.2).probability(np.array([[0, 1, 0], [0, 0, 0]], dtype=np.int8))
    assert skewed == pytest.approx([0.5, 0.2])


@pytest.mark.parametrize(("num", "accuracy", "wanted"), [(3, 0.8, 0.896), (5, 0.7, 0.83692)])
def test_majority_vote_closed_forms(num, accuracy, wanted):
    truth, said = votes([accuracy] * num, num=200_000, coverage=1.0, share=0.5)
    assert right(label_model.majority(said), truth) == pytest.approx(wanted, abs=0.003)
    assert label_model.majority(np.array([[1, -1, 1, 0], [0, 0, 0, 0]], dtype=np.int8)) == pytest.approx([2 / 3, 0.5])


def test_rates_are_found_without_a_label():
    truth, said = votes([0.9, 0.6, 0.75, 0.8])
    model = label_model.fit(said)
    assert model.given_positive_F == pytest.approx([0.9, 0.6, 0.75, 0.8], abs=0.03)
    assert 1 - model.given_negative_F == pytest.approx([0.9, 0.6, 0.75, 0.8], abs=0.03)
    assert (model.prior, model.pairs) == (pytest.approx(0.3, abs=0.02), [])
    assert model.accuracy_F == pytest.approx([0.9, 0.6, 0.75, 0.8], abs=0.02)
    best_possible = right(LabelModel.symmetric(np.array([0.9, 0.6, 0.75, 0.8]), 0.3).probability(said), truth)
    assert right(model.probability(said), truth) == pytest.approx(best_possible, abs=0.003)
    assert best_possible > right(label_model.majority(said), truth) + 0.02


def test_a_function_that_contradicts_the_others_is_turned_around():
    _, said = votes([0.9, 0.8, 0.8, 0.2])
    model = label_model.fit(said)
    assert model.given_positive_F[3] < 0.25 < 0.75 < model.given_negative_F[3]


@pytest.mark.parametrize("seed", [0, 1])
def test_copies_become_the_class_unless_they_are_weighted_down(seed):
    truth, said = votes([0.65, 0.8, 0.8, 0.75], copies=1, seed=seed)
    unaware, aware = (label_model.fit(said, prior=0.3, dependencies=flag) for flag in (False, True))
    assert [pair[:2] for pair in aware.pairs] == [(0, 4)]
    assert aware.pairs[0][2] == pytest.approx(0.96, abs=0.02)
    alone = right(label_model.fit(said[:, :4], prior=0.3).probability(said[:, :4]), truth)
    assert right(aware.probability(said), truth) == pytest.approx(alone, abs=0.005)
    assert right(unaware.probability(said), truth) < alone - 0.15


def test_a_perfect_copy_counts_once_and_only_where_both_vote():
    excess = np.array([[0.0, 1.0], [1.0, 0.0]])
    model = LabelModel(0.5, np.full(2, 0.8), np.full(2, 0.2), excess)
    assert model.probability(np.array([[1, 1], [1, 0]], dtype=np.int8)) == pytest.approx([0.8, 0.8])


def test_what_is_no_vote_matrix_is_refused():
    with pytest.raises(BadInput, match="no function voted"):
        label_model.fit(np.zeros((3, 2), dtype=np.int8))
    with pytest.raises(BadInput, match=r"\+1, −1 or 0"):
        label_model.fit(np.full((3, 2), 2, dtype=np.int8))
    with pytest.raises(BadInput, match="at most 39"):
        label_model.fit(np.ones((3, 40), dtype=np.int8))
