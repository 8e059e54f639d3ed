import numpy as np
import pytest

from core.inference import t_interval
from experiments import estimators
from experiments.bootstrap import intervals


def test_without_weights_it_is_the_interval_of_a_mean():
    reward = np.random.default_rng(0).normal(3.0, 2.0, 2_000)
    found = intervals({"ips": estimators.ips(reward, np.ones(2_000))}, np.random.default_rng(1), draws=4_000)["ips"]
    exact = t_interval(reward)
    assert found.mean == pytest.approx(reward.mean())
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.01)


def test_a_constant_reward_is_certain_for_self_normalised_estimators_only():
    weight = np.random.default_rng(0).exponential(1.0, 500)
    terms = {"ips": estimators.ips(np.ones(500), weight), "snips": estimators.snips(np.ones(500), weight)}
    found = intervals(terms, np.random.default_rng(1), draws=300)
    assert (found["snips"].low, found["snips"].high) == pytest.approx((1.0, 1.0))
    assert found["ips"].high - found["ips"].low > 0.1


def test_slates_and_single_rows_can_share_the_resamples():
    reward, weight = np.random.default_rng(0).random((400, 3)), np.random.default_rng(1).exponential(1.0, (400, 3))
    first = estimators.rips(reward, weight, normalised=True)
    together = intervals(
        {"rips": first, "ips": estimators.ips(reward[:, 0], weight[:, 0])}, np.random.default_rng(2), draws=200
    )
    alone = intervals({"rips": first}, np.random.default_rng(2), draws=200)
    assert together["rips"] == alone["rips"]
    assert together["rips"].low < first.value < together["rips"].high


def test_blocks_do_not_change_the_number_of_draws(monkeypatch):
    monkeypatch.setattr("experiments.bootstrap._BLOCK", 1_000)
    terms = {"dm": estimators.dm(np.random.default_rng(0).random(300))}
    found = intervals(terms, np.random.default_rng(2), draws=401)["dm"]
    assert found.low < found.mean < found.high


def test_no_weight_at_all_gives_no_interval():
    found = intervals({"snips": estimators.snips(np.ones(10), np.zeros(10))}, np.random.default_rng(0), draws=50)["snips"]
    assert np.isnan([found.mean, found.low, found.high]).all()


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    random, held = np.random.default_rng(5), 0
    for _ in range(100):
        weight = random.choice([0.5, 3.0], 300, p=[0.8, 0.2])
        reward = random.random(300) < 0.2 * weight
        found = intervals({"snips": estimators.snips(reward, weight)}, random, draws=200)["snips"]
        held += found.low <= (0.8 * 0.5 * 0.1 + 0.2 * 3 * 0.6) <= found.high
    assert 88 <= held <= 100
