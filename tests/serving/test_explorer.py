from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ConfigError
from serving.config import ExplorationConfig
from serving.explorer import distribution, explore, pool


def test_epsilon_zero_is_greedy_with_certainty():
    page = explore(np.array([4, 2, 7]), np.arange(10), ExplorationConfig(epsilon=0.0), "r")
    assert page.chosen.tolist() == [4, 2, 7]
    assert page.propensities.tolist() == [1.0, 1.0, 1.0]
    assert not page.exploration.any()


def test_the_closed_form_for_the_first_slot():
    chances = distribution(4, np.array([4, 5, 6, 7]), 0.2)
    assert chances == pytest.approx({4: 0.8 + 0.05, 5: 0.05, 6: 0.05, 7: 0.05})
    assert distribution(4, np.array([5, 6]), 0.2) == pytest.approx({4: 0.8, 5: 0.1, 6: 0.1})
    assert distribution(4, np.array([], dtype=int), 0.2) == {4: 1.0}


@settings(max_examples=100, deadline=None)
@given(st.permutations(range(8)), st.sets(st.integers(0, 11), max_size=12), st.floats(0, 1), st.integers(0, 10_000))
def test_propensities_are_those_of_the_stated_model(order, members, epsilon, request_number):
    ranked, left = list(order)[:5], sorted(members)
    page = explore(np.array(ranked), np.array(left, dtype=np.int64), ExplorationConfig(epsilon=epsilon), str(request_number))
    assert len(set(page.chosen.tolist())) == 5
    for choice, propensity in zip(page.chosen.tolist(), page.propensities, strict=True):
        chances = distribution(ranked[0], np.array(left, dtype=np.int64), epsilon)
        assert sum(chances.values()) == pytest.approx(1.0)
        assert propensity == pytest.approx(chances[choice])
        ranked = [i for i in ranked if i != choice]
        left = [i for i in left if i != choice]


def test_frequencies_of_whole_pages_match_the_product_of_propensities():
    ranked, members, config, n = np.array([0, 1]), np.array([0, 2, 3]), ExplorationConfig(epsilon=0.5), 20_000
    seen: dict[tuple[int, ...], int] = {}
    stated: dict[tuple[int, ...], float] = {}
    for i in range(n):
        page = explore(ranked, members, config, str(i))
        key = tuple(page.chosen.tolist())
        seen[key] = seen.get(key, 0) + 1
        stated[key] = float(np.prod(page.propensities))
    possible = [pair for pair in product(range(4), repeat=2) if pair in stated]
    assert sum(stated[pair] for pair in possible) == pytest.approx(1.0)
    for pair in possible:
        p = stated[pair]
        assert abs(seen[pair] / n - p) < 4.5 * np.sqrt(p * (1 - p) / n)


def test_only_the_named_slots_are_explored():
    config = ExplorationConfig(epsilon=1.0, slots=(1,))
    page = explore(np.arange(4), np.arange(10, 20), config, "r")
    assert page.exploration.tolist() == [False, True, False, False]
    assert page.propensities.tolist() == pytest.approx([1.0, 0.1, 1.0, 1.0])
    assert page.chosen[[0, 2, 3]].tolist() == [0, 1, 2]


def test_the_same_request_replays_exactly_and_another_seed_does_not():
    pages = [explore(np.arange(20), np.arange(50), ExplorationConfig(epsilon=0.5, seed=seed), "r") for seed in (0, 0, 1)]
    assert pages[0].chosen.tolist() == pages[1].chosen.tolist() != pages[2].chosen.tolist()


def test_the_pool_takes_fresh_ones_first_then_the_best():
    utility = np.array([5, 4, 3, 2, -np.inf], dtype=np.float32)
    fresh = np.array([False, False, False, True, True])
    assert pool(utility, fresh, 3).tolist() == [3, 4, 0]
    assert pool(utility, fresh, 0).tolist() == []


def test_an_impossible_epsilon_is_refused():
    with pytest.raises(ConfigError, match="epsilon"):
        ExplorationConfig(epsilon=1.5)
