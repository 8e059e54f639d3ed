"""1,000 A/A tests. At α = .05, 73 false positives are the most that chance explains."""

import pytest

from core.errors import ConfigError
from experiments.aa import AaConfig, AaResult, simulate


@pytest.fixture(scope="module")
def thousand():
    return simulate(AaConfig(viewers=1_000))


def test_the_bound_is_the_binomial_one():
    assert AaResult(1_000, 0.05, 73, 73, 0, 0).holds
    assert not AaResult(1_000, 0.05, 74, 0, 0, 0).holds


def test_a_fixed_horizon_keeps_its_promise(thousand):
    assert 30 <= thousand.fixed <= 73


def test_continuous_peeking_at_the_confidence_sequence_keeps_its_promise(thousand):
    assert 1 <= thousand.always_valid <= 73


def test_peeking_at_a_fixed_horizon_test_does_not(thousand):
    assert thousand.peeking > 200


def test_forgetting_that_impressions_belong_to_viewers_does_not_either(thousand):
    assert thousand.per_impression > 120


def test_runs_are_reproducible_and_depend_on_the_seed():
    small = AaConfig(runs=60, viewers=300, burn_in=100)
    assert simulate(small) == simulate(small)
    assert simulate(small) != simulate(AaConfig(runs=60, viewers=300, burn_in=100, seed=2))


def test_senseless_settings_are_refused():
    with pytest.raises(ConfigError, match="more than 400 viewers"):
        AaConfig(viewers=200)
    with pytest.raises(ConfigError, match="alpha, click_rate and correlation"):
        AaConfig(alpha=1.0)
