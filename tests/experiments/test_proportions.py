import pytest

from experiments import proportions


def test_z_test_and_wald_interval():
    found = proportions.rates(1_000, 10_000, 1_100, 10_000)
    assert (found.z, found.p) == pytest.approx((2.3066347738, 0.0210751893))
    assert (found.low, found.high) == pytest.approx((0.0015040591, 0.0184959409))


def test_many_at_once():
    found = proportions.rates([10, 1_000], [100, 10_000], [10, 1_100], [100, 10_000])
    assert found.difference == pytest.approx([0.0, 0.01])
    assert found.p == pytest.approx([1.0, 0.0210751893])


def test_chance_that_one_rate_is_above_the_other():
    assert proportions.chance_above((11, 91), (16, 86)) == pytest.approx(0.85328379, abs=1e-8)
    assert proportions.chance_above((1, 2), (2, 1)) == pytest.approx(5 / 6)
