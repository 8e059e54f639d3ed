from itertools import permutations, product

import numpy as np
import pytest

from experiments import estimators
from experiments.estimators import Rows
from experiments.reward_model import fit

REWARD, WEIGHT = np.array([1.0, 0, 1, 0]), np.array([0.25, 0.5, 0.5, 0.25]) / np.array([0.5, 0.25, 0.25, 0.5])
ROWS = Rows(REWARD, WEIGHT, np.array([0.4, 0.2, 0.6, 0.1]), np.array([0.3, 0.35, 0.4, 0.25]))


@pytest.mark.parametrize(
    ("terms", "value"),
    [
        (estimators.ips(REWARD, WEIGHT), 0.625),
        (estimators.snips(REWARD, WEIGHT), 0.5),
        (estimators.dm(ROWS.expected_N), 0.325),
        (estimators.dr(ROWS), 0.4875),
        (estimators.sndr(ROWS), 0.455),
        (estimators.switch_dr(ROWS, 1.0), 0.3875),
        (estimators.clipped(REWARD, WEIGHT, 1.0), (0.5 + 1.0) / 4),
    ],
)
def test_the_hand_computed_case(terms, value):
    assert terms.value == pytest.approx(value, abs=1e-12)


def test_every_has_all_of_them_with_tau_at_the_root_of_n():
    found = {name: terms.value for name, terms in estimators.every(ROWS).items()}
    assert found == pytest.approx(
        {"ips": 0.625, "snips": 0.5, "clipped": 0.625, "dm": 0.325, "dr": 0.4875, "sndr": 0.455, "switch_dr": 0.4875}
    ), "τ = √4 = 2 is the largest weight"


def test_dr_is_exact_with_a_perfect_model_whatever_the_weights():
    perfect = ROWS._replace(predicted_N=REWARD)
    assert estimators.dr(perfect).value == pytest.approx(estimators.dm(perfect.expected_N).value)


def test_a_self_normalised_estimate_without_weight_is_not_a_number():
    assert np.isnan(estimators.snips(REWARD, np.zeros(4)).value)
    assert estimators.ips(REWARD, np.zeros(4)).value == 0.0


def slates(interaction):
    """All pages of two of three videos under two policies: probabilities, conditional and marginal ratios, mean rewards."""
    behaviour, target = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
    pages = np.array(list(permutations(range(3), 2)))
    both = []
    for policy in (behaviour, target):
        both.append(np.stack([policy[pages[:, 0]], policy[pages[:, 1]] / (1 - policy[pages[:, 0]])], axis=1))
    marginal = [
        np.stack([np.bincount(pages[:, s], p.prod(axis=1), minlength=3)[pages[:, s]] for s in range(2)], axis=1) for p in both
    ]
    reward = np.array([0.1, 0.4, 0.8])[pages] * np.array([1.0, 0.5])
    if interaction:
        reward[:, 1] *= 1.0 - np.array([0.1, 0.4, 0.8])[pages[:, 0]]
    return both[0].prod(axis=1), both[1].prod(axis=1), both[1] / both[0], marginal[1] / marginal[0], reward


def expectation(terms, chance):
    """The mean over pages that come with these probabilities."""
    return chance @ terms.residual_NK.sum(axis=1)


@pytest.mark.parametrize("interaction", [False, True])
def test_slate_estimators_are_unbiased_exactly_where_their_assumption_holds(interaction):
    chance, wanted, conditional, marginal, reward = slates(interaction)
    truth = wanted @ reward.sum(axis=1)
    assert expectation(estimators.sips(reward, conditional), chance) == pytest.approx(truth)
    assert expectation(estimators.rips(reward, conditional), chance) == pytest.approx(truth)
    independent = expectation(estimators.iips(reward, marginal), chance)
    assert (independent == pytest.approx(truth)) is not interaction
    assert expectation(estimators.iips(reward, conditional), chance) != pytest.approx(truth), "IIPS wants marginal ratios"


def test_slate_estimators_by_hand():
    reward, weight = np.array([[1.0, 1.0], [0.0, 2.0]]), np.array([[2.0, 0.5], [0.5, 3.0]])
    assert estimators.sips(reward, weight).value == pytest.approx((1 + 1 + 1.5 * 2) / 2)
    assert estimators.iips(reward, weight).value == pytest.approx((2 + 0.5 + 6) / 2)
    assert estimators.rips(reward, weight).value == pytest.approx((2 + 1 + 3) / 2)
    assert estimators.rips(reward, weight, normalised=True).value == pytest.approx(2 / 2.5 + (1 + 3) / 2.5)


def test_one_slot_makes_all_slate_estimators_the_same():
    pages = (REWARD[:, None], WEIGHT[:, None])
    assert {f(*pages).value for f in (estimators.sips, estimators.iips, estimators.rips)} == {0.625}


def test_the_reward_model_never_sees_the_row_it_predicts():
    action, position = np.zeros(50, dtype=int), np.zeros(50, dtype=int)
    reward = np.zeros(50)
    reward[7] = 1.0
    model = fit(action, position, reward, (1, 1), np.random.default_rng(0))
    alone = model.fold_N == model.fold_N[7]
    assert (model.predicted_N[alone] == 0.0).all()
    assert model.predicted_N[~alone] == pytest.approx(1 / 40)


def test_the_reward_model_shrinks_as_far_as_chance_explains():
    random, rate = np.random.default_rng(1), np.array([0.1, 0.5, 0.9])
    action, position = random.integers(0, 3, 30_000), random.integers(0, 2, 30_000)
    same = fit(action, position, (random.random(30_000) < 0.3).astype(float), (3, 2), random)
    differs = fit(action, position, (random.random(30_000) < rate[action]).astype(float), (3, 2), random)
    assert np.ptp(same.value_FAP, axis=1).mean() < 0.006, "chance alone makes about 0.011"
    assert np.abs(differs.value_FAP - rate[None, :, None]).max() < 0.03
    target = np.array([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    assert differs.expected_N(target) == pytest.approx(np.where(position == 0, 0.9, 0.1), abs=0.03)
    assert differs.every_NA[:, 1] == pytest.approx(0.5, abs=0.03)


def test_a_video_without_rows_is_predicted_by_its_position():
    cells = np.array(list(product([0, 1], [0, 1]))).repeat(20, axis=0)
    reward = np.tile([0.0, 1.0], 40) * cells[:, 1]
    model = fit(cells[:, 0], cells[:, 1], reward, (3, 2), np.random.default_rng(0))
    elsewhere = [reward[(model.fold_N != fold) & (cells[:, 1] == 1)].mean() for fold in range(5)]
    assert model.value_FAP[:, 2, 0] == pytest.approx(0.0)
    assert model.value_FAP[:, 2, 1] == pytest.approx(elsewhere)
