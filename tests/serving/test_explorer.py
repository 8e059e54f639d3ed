from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import DAY_MS
from core.errors import ConfigError
from serving import explorer
from serving.config import ExplorationConfig
from serving.explorer import DailyCap, Page, pool, weights


def explore(ranked: np.ndarray, members: np.ndarray, config: ExplorationConfig, request_id: str, weight=None) -> Page:
    return explorer.explore(ranked, members, np.ones(len(members)) if weight is None else weight, config, request_id)


def distribution(next_ranked: int, weight: dict[int, float], epsilon: float) -> dict[int, float]:
    """The stated model: probability of every possible choice for an explored slot, by candidate."""
    if not weight:
        return {next_ranked: 1.0}
    chances = {candidate: epsilon * w / sum(weight.values()) for candidate, w in weight.items()}
    chances[next_ranked] = chances.get(next_ranked, 0.0) + 1.0 - epsilon
    return chances


def test_epsilon_zero_is_greedy_with_certainty():
    page = explore(np.array([4, 2, 7]), np.arange(10), ExplorationConfig(epsilon=0.0), "r")
    assert page.chosen.tolist() == [4, 2, 7]
    assert page.propensities.tolist() == [1.0, 1.0, 1.0]
    assert not page.exploration.any()


@settings(max_examples=100, deadline=None)
@given(
    st.permutations(range(8)), st.dictionaries(st.integers(0, 11), st.floats(0.01, 10), max_size=12),
    st.floats(0, 1), st.integers(0, 10_000),
)  # fmt: skip
def test_propensities_are_those_of_the_stated_model(order, weight, epsilon, request_number):
    ranked = list(order)[:5]
    members, values = np.array(list(weight), dtype=np.int64), np.array(list(weight.values()))
    page = explore(np.array(ranked), members, ExplorationConfig(epsilon=epsilon), str(request_number), values)
    assert len(set(page.chosen.tolist())) == 5
    for choice, propensity in zip(page.chosen.tolist(), page.propensities, strict=True):
        chances = distribution(ranked[0], weight, epsilon)
        assert sum(chances.values()) == pytest.approx(1.0)
        assert propensity == pytest.approx(chances[choice])
        ranked = [i for i in ranked if i != choice]
        weight = {i: w for i, w in weight.items() if i != choice}


def test_frequencies_of_whole_pages_match_the_product_of_propensities():
    ranked, members, config, n = np.array([0, 1]), np.array([0, 2, 3]), ExplorationConfig(epsilon=0.5), 20_000
    weight = np.array([1.0, 0.5, 3.0])
    seen: dict[tuple[int, ...], int] = {}
    stated: dict[tuple[int, ...], float] = {}
    for i in range(n):
        page = explore(ranked, members, config, str(i), weight)
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


@pytest.mark.parametrize("wrong", [{"epsilon": 1.5}, {"fresh_boost": 0.0}, {"temperature": 0.0}, {"daily_cap": -1}])
def test_an_impossible_number_is_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ExplorationConfig(**wrong)


def test_chance_favours_fresh_uploads_and_what_is_useful():
    utility, fresh = np.log(np.array([4, 2, 1], dtype=np.float32)), np.array([False, True, False])
    assert weights(utility, fresh, ExplorationConfig()).tolist() == [1, 1, 1]
    assert weights(utility, fresh, ExplorationConfig(fresh_boost=3)).tolist() == [1, 3, 1]
    luce = ExplorationConfig(kind="plackett_luce")
    assert weights(utility, fresh, luce) == pytest.approx([1, 0.5, 0.25])
    assert weights(utility, ~fresh, ExplorationConfig(kind="plackett_luce", temperature=0.5, fresh_boost=2)) == pytest.approx(
        [2, 0.25, 0.125]
    )
    assert weights(np.array([0, -1e9, -np.inf], dtype=np.float32), fresh, luce).tolist() == [1, 0.01, 0.01]
    assert weights(np.full(2, -np.inf, dtype=np.float32), fresh[:2], luce).tolist() == [1, 1]
    assert weights(np.empty(0, dtype=np.float32), fresh[:0], luce).tolist() == []


def test_the_daily_cap_counts_per_viewer_and_day():
    cap, noon = DailyCap(3), DAY_MS // 2
    cap.spend(1, noon, 2)
    assert not cap.reached(1, noon)
    cap.spend(1, noon + 1, 1)
    assert cap.reached(1, noon + 2)
    assert not cap.reached(2, noon + 2)
    assert not cap.reached(1, noon + DAY_MS)
    cap.spend(1, noon + DAY_MS, 1)
    assert not cap.reached(1, noon + DAY_MS)


def test_without_a_cap_nothing_is_counted_and_with_one_the_oldest_is_forgotten():
    free, small = DailyCap(0), DailyCap(1, num_viewers=2)
    free.spend(1, 0, 100)
    assert not free.reached(1, 0)
    for viewer in (1, 2, 3):
        small.spend(viewer, 0, 1)
    assert [small.reached(viewer, 0) for viewer in (1, 2, 3)] == [False, True, True]
