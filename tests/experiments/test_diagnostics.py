import numpy as np
import pytest

from experiments.diagnostics import check, unseen_share


def test_effective_sample_size_by_hand():
    found = check([0.5, 2.0, 2.0, 0.5])
    assert found.ess == pytest.approx(2.9411764706)
    assert (found.mean_weight, found.max_weight, found.max_share) == pytest.approx((1.25, 2.0, 0.4))


def test_a_policy_against_itself_is_in_order():
    propensity = np.random.default_rng(0).random(1_000)
    found = check(propensity / propensity)
    assert found.mean_weight == 1.0
    assert found.ess == 1_000
    assert found.refusals == ()


def test_rounding_is_not_a_reason_to_refuse():
    assert check(np.full(1_000, 0.1) * 10.000000000001).refusals == ()


def test_too_small_an_effective_sample_is_refused():
    weight = np.zeros(10_000)
    weight[:50] = 200.0
    found = check(weight)
    assert found.ess == pytest.approx(50)
    assert len(found.refusals) == 1
    assert "effective sample size 50.0 is below 1% of 10,000" in found.refusals[0]


def test_one_row_that_carries_everything_is_refused():
    weight = np.append(np.full(19, 0.7), 5.0)
    found = check(weight)
    assert found.max_share == pytest.approx(5 / 18.3)
    assert len(found.refusals) == 1
    assert "one row carries 27% of all weight" in found.refusals[0]


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_propensities_that_are_off_by_a_tenth_are_refused(factor):
    weight = factor * np.random.default_rng(0).choice([0.5, 1.5], 10_000)
    assert len(check(weight).refusals) == 1
    assert "propensities are wrong" in check(weight).refusals[0]


def test_no_overlap_is_refused():
    assert check(np.zeros(100)).refusals == ("no logged row has a video that the target policy would show there",)


def test_unseen_share_weighs_positions_as_they_were_logged():
    target = np.array([[0.5, 0.25], [0.5, 0.75]])
    assert unseen_share(target, [[3, 1], [3, 1]]) == 0.0
    assert unseen_share(target, [[3, 1], [0, 0]]) == pytest.approx(0.5 * 3 / 4 + 0.75 * 1 / 4)
