from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadInput
from experiments import estimators, policies, posteriors
from experiments.diagnostics import check

KINDS = ("epsilon_greedy", "plackett_luce", "thompson")


def policy(kind, seed, shape=(3, 6), epsilon=0.2, explore=None):
    random = np.random.default_rng(seed)
    if kind == "thompson":
        return policies.thompson(random.normal(size=(policies.NUM_SAMPLES, *shape)), epsilon, explore)
    if kind == "plackett_luce":
        return policies.plackett_luce(random.normal(size=shape), 0.7, epsilon, explore)
    return policies.epsilon_greedy(random.normal(size=shape), epsilon, explore)


def everyone(shape=(3, 6)):
    return np.ones(shape, dtype=bool)


def test_epsilon_greedy_gives_the_best_one_91_percent_and_the_others_1():
    chances = policies.epsilon_greedy(np.arange(10.0)[None, :], 0.1)(everyone((1, 10)))
    assert chances[0] == pytest.approx([0.01] * 9 + [0.91])


def test_plackett_luce_is_a_softmax_over_what_is_left():
    chances = policies.plackett_luce(np.log([[1.0, 2.0, 3.0, 4.0]]))
    assert chances(everyone((1, 4)))[0] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert chances(np.array([[True, False, True, False]]))[0] == pytest.approx([0.25, 0, 0.75, 0])
    cooler = policies.plackett_luce(np.log([[1.0, 2.0]]), temperature=0.5)
    assert cooler(everyone((1, 2)))[0] == pytest.approx([0.2, 0.8])
    assert policies.plackett_luce([[1e6, 0.0]])(everyone((1, 2)))[0] == pytest.approx([1, 0]), "no overflow"


def test_thompson_propensity_is_a_count_of_stored_samples_mixed_with_epsilon():
    sample = posteriors.beta_samples([30, 25, 2], [100, 80, 10], seed=3)[:, None, :]
    counts = np.bincount(sample[:, 0].argmax(axis=1), minlength=3)
    assert counts.sum() == 64
    assert (counts > 0).all()
    chances = policies.thompson(sample, 0.1)
    assert chances(everyone((1, 3)))[0] == pytest.approx(0.9 * counts / 64 + 0.1 / 3)
    ids = [f"r{i}" for i in range(4_000)]
    many = policies.thompson(np.broadcast_to(sample, (64, len(ids), 3)), 0.1)
    drawn = policies.draw(many, everyone((len(ids), 3)), 1, 0, ids)
    share = np.bincount(drawn.chosen_BS[:, 0], minlength=3) / len(ids)
    expected = 0.9 * counts / 64 + 0.1 / 3
    assert np.abs(share - expected).max() < 4.5 * np.sqrt(0.25 / len(ids))
    assert drawn.propensity_BS[:, 0] == pytest.approx(expected[drawn.chosen_BS[:, 0]])


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(KINDS), st.integers(0, 10_000), st.floats(0, 1),
    st.lists(st.booleans(), min_size=18, max_size=18), st.sampled_from([None, "new", "nothing"]),
)  # fmt: skip
def test_probabilities_of_a_slot_sum_to_one_over_what_is_left(kind, seed, epsilon, left, boost):
    explore = {None: None, "new": np.array([5.0, 1, 1, 1, 1, 0]), "nothing": np.zeros(6)}[boost]
    left_BK = np.array(left).reshape(3, 6)
    chances = policy(kind, seed, epsilon=epsilon, explore=explore)(left_BK)
    assert (chances >= 0).all()
    assert (chances[~left_BK] == 0).all()
    assert chances.sum(axis=1) == pytest.approx(left_BK.any(axis=1).astype(float), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_of_all_pages_sum_to_one_and_match_how_often_they_come(kind):
    one, count, pages = policy(kind, 4, (1, 4)), 4_000, np.array(list(permutations(range(4), 2)))

    def many(left):
        """The same request over and over; after one slot only four states are possible."""
        state, where = np.unique(left, axis=0, return_inverse=True)
        return np.concatenate([one(row[None]) for row in state])[where]

    stated = policies.propensities(many, everyone((len(pages), 4)), pages).prod(axis=1)
    assert stated.sum() == pytest.approx(1.0)
    drawn = policies.draw(many, everyone((count, 4)), 2, 0, [str(i) for i in range(count)])
    seen = np.array([(drawn.chosen_BS == page).all(axis=1).mean() for page in pages])
    assert (np.abs(seen - stated) < 4.5 * np.sqrt(stated * (1 - stated) / count) + 1e-12).all()


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 1_000))
def test_a_policy_against_itself_has_weight_exactly_one(kind, seed):
    ids = ["a", "b", "c"]
    drawn = policies.draw(policy(kind, seed), everyone(), 4, seed, ids)
    weight = policies.propensities(policy(kind, seed), everyone(), drawn.chosen_BS) / drawn.propensity_BS
    assert (weight == 1.0).all()
    assert check(weight.ravel()).mean_weight == 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_replays_whatever_its_batch(kind):
    ids, chances = ["a", "b", "c"], policy(kind, 1, epsilon=0.9)
    batch = policies.draw(chances, everyone(), 6, 7, ids)
    again = policies.draw(chances, everyone(), 6, 7, ids)
    assert (batch.chosen_BS == again.chosen_BS).all()
    alone = policies.draw(lambda left: chances(np.repeat(left, 3, axis=0))[1:2], everyone((1, 6)), 6, 7, ["b"])
    assert (alone.chosen_BS[0] == batch.chosen_BS[1]).all()
    assert (alone.propensity_BS[0] == batch.propensity_BS[1]).all()
    others = policies.draw(chances, everyone(), 6, 8, ids).chosen_BS
    assert (batch.chosen_BS != others).any()
    assert [sorted(page) for page in batch.chosen_BS.tolist()] == [list(range(6))] * 3


def test_padding_is_never_drawn_and_pages_may_be_short():
    left = np.array([[True, True, False], [False, False, False]])
    drawn = policies.draw(policies.epsilon_greedy([[1.0, 2, 3], [1, 2, 3]], 0.5), left, 3, 0, ["a", "b"])
    assert sorted(drawn.chosen_BS[0].tolist()) == [-1, 0, 1]
    assert drawn.chosen_BS[1].tolist() == [-1, -1, -1]
    assert (drawn.propensity_BS[1] == 1).all()
    again = policies.propensities(policies.epsilon_greedy([[1.0, 2, 3], [1, 2, 3]], 0.5), left, drawn.chosen_BS)
    assert (again == drawn.propensity_BS).all()


def test_new_videos_can_have_more_of_the_exploration():
    chances = policies.epsilon_greedy([[3.0, 2, 1]], 0.3, explore_BK=[[1.0, 1.0, 4.0]])(everyone((1, 3)))
    assert chances[0] == pytest.approx([0.7 + 0.05, 0.05, 0.2])


def test_logged_propensities_make_another_policys_value_come_out():
    ids, reward = [str(i) for i in range(4_000)], np.array([0.1, 0.3, 0.7])
    behaviour = policies.plackett_luce(np.zeros((len(ids), 3)))
    target = policies.epsilon_greedy(np.broadcast_to([1.0, 0.0, 2.0], (len(ids), 3)), 0.3)
    drawn = policies.draw(behaviour, everyone((len(ids), 3)), 2, 0, ids)
    weight = policies.propensities(target, everyone((len(ids), 3)), drawn.chosen_BS) / drawn.propensity_BS
    found = estimators.rips(reward[drawn.chosen_BS], weight).value
    first = np.array([0.1, 0.1, 0.8])
    second = [0.15 * 0 + 0.15 * 0.3 + 0.85 * 0.7, 0.15 * 0.1 + 0.85 * 0.7, 0.85 * 0.1 + 0.15 * 0.3]
    assert found == pytest.approx(first @ (reward + second), abs=0.05)


def test_impossible_numbers_are_refused():
    with pytest.raises(BadInput, match="probability"):
        policies.epsilon_greedy([[1.0]], 1.5)
    with pytest.raises(BadInput, match="temperature"):
        policies.plackett_luce([[1.0]], 0.0)
    with pytest.raises(BadInput, match="arm 1 has more successes"):
        posteriors.beta_samples([1, 3], [2, 2], 0)


def test_beta_samples_have_the_posteriors_mean_and_replay():
    sample = posteriors.beta_samples([10, 0], [20, 0], 0, num=20_000)
    assert sample.mean(axis=0) == pytest.approx([11 / 22, 0.5], abs=0.01)
    assert sample.var(axis=0) == pytest.approx([11 * 11 / (22**2 * 23), 1 / 12], rel=0.05)
    assert (posteriors.beta_samples([1], [2], 5) == posteriors.beta_samples([1], [2], 5)).all()
    assert posteriors.beta_samples([1], [2], 5).shape == (64, 1)


def test_the_linear_posterior_in_closed_form():
    features, reward = np.array([[1.0, 0], [1, 0], [0, 2]]), np.array([1.0, 3, 4])
    found = posteriors.LinearPosterior.fit(features, reward, prior_precision=1.0, noise=0.5)
    assert found.mean_D == pytest.approx([4 / 3, 8 / 5])
    assert found.factor_DD @ found.factor_DD.T == pytest.approx(0.25 * np.diag([1 / 3, 1 / 5]))
    sample = found.samples(0, num=20_000)
    assert sample.mean(axis=0) == pytest.approx([4 / 3, 8 / 5], abs=0.01)
    assert np.cov(sample.T) == pytest.approx(0.25 * np.diag([1 / 3, 1 / 5]), abs=0.002)
    assert (found.samples(1) == found.samples(1)).all()
