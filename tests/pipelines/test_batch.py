import pytest

from pipelines.batch import limit


def test_the_limit_is_that_of_a_fixed_and_an_arithmetic_cost():
    fixed, arithmetic = 6.0, 2.0
    for size in (2, 8, 64):
        ratio = (fixed + arithmetic) / (fixed / size + arithmetic)
        assert limit(ratio, size) == pytest.approx(1 + fixed / arithmetic)
    assert limit(1.3, 1) == 1.3
    assert limit(64.0, 64) == float("inf")
