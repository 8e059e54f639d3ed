from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.config import RerankConfig
from ranking.rerank import rerank

PLAIN = RerankConfig(diversity=0.0, channel_cap=0, freshness=0.0)


def page(utility, config, k, vectors=None, channel=None, age=None):
    num = len(utility)
    return rerank(
        np.asarray(utility, dtype=np.float32),
        np.zeros((num, 2), dtype=np.float32) if vectors is None else np.asarray(vectors, dtype=np.float32),
        np.arange(num, dtype=np.int32),
        np.zeros(num, dtype=np.int32) if channel is None else np.asarray(channel, dtype=np.int32),
        np.zeros(num, dtype=np.float32) if age is None else np.asarray(age, dtype=np.float32),
        config,
        k,
    ).tolist()


@given(
    st.lists(st.floats(-50, 50, width=32), max_size=150),
    st.integers(0, 200),
    st.integers(1, 120),
)
def test_without_diversity_and_cap_the_order_is_the_utility_order(utility, k, pool):
    vectors = np.tile([1.0, 0.0], (len(utility), 1))
    expected = np.argsort(-np.asarray(utility, dtype=np.float32), kind="stable")[:k].tolist()
    assert page(utility, replace(PLAIN, pool=pool), k, vectors=vectors.reshape(-1, 2)) == expected


@given(
    st.lists(st.tuples(st.floats(-5, 5, width=32), st.integers(0, 4)), max_size=60),
    st.integers(0, 70),
    st.integers(1, 5),
    st.floats(0, 1),
    st.integers(1, 70),
)
def test_a_page_is_full_without_repeats_and_keeps_the_cap_while_it_can(candidates, k, cap, diversity, pool):
    utility, channel = [u for u, _ in candidates], np.array([c for _, c in candidates], dtype=np.int32)
    angle = np.arange(len(utility))
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    config = RerankConfig(diversity=diversity, channel_cap=cap, pool=pool)
    chosen = page(utility, config, k, vectors=vectors, channel=channel)
    assert len(chosen) == min(k, len(utility)) == len(set(chosen))
    counts = np.bincount(channel[np.array(chosen, dtype=int)], minlength=5)[1:]
    available = np.minimum(np.bincount(channel, minlength=5)[1:], cap).sum() + (channel == 0).sum()
    if len(chosen) <= available:
        assert (counts <= cap).all()


def test_mmr_by_hand():
    # Standardised utilities of [3, 2, 1] are 1.2247 apart. After the first, the second is its copy (cos 1) and the third is
    # orthogonal: −1.2247·(1 − d) − d against −2.4495·(1 − d), equal at d = 1.2247 / 2.2247 = 0.5505.
    vectors = [[1, 0], [1, 0], [0, 1]]
    assert page([3, 2, 1], replace(PLAIN, diversity=0.54), 3, vectors=vectors) == [0, 1, 2]
    assert page([3, 2, 1], replace(PLAIN, diversity=0.56), 3, vectors=vectors) == [0, 2, 1]


def test_diversity_does_not_depend_on_the_scale_of_utility():
    rng = np.random.default_rng(0)
    utility, vectors = rng.normal(size=50), rng.normal(size=(50, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    config = replace(PLAIN, diversity=0.4)
    assert page(utility, config, 20, vectors=vectors) == page(utility * 100 - 7, config, 20, vectors=vectors)


def test_more_diversity_brings_in_the_other_cluster():
    vectors = np.repeat(np.eye(2), 10, axis=0)
    utility = np.concatenate([np.linspace(2.0, 1.5, 10), np.linspace(1.0, 0.5, 10)])

    def others(diversity):
        return sum(i >= 10 for i in page(utility, replace(PLAIN, diversity=diversity), 6, vectors=vectors))

    assert [others(d) for d in (0.0, 0.3, 0.7, 0.9)] == [0, 0, 1, 1]
    alternating = replace(PLAIN, diversity=1.0)
    assert page(utility, alternating, 2, vectors=vectors) == [0, 10]


def test_channel_cap_passes_over_known_channels_only():
    config = replace(PLAIN, channel_cap=2)
    assert page([5, 4, 3, 2, 1], config, 3, channel=[7, 7, 7, 8, 8]) == [0, 1, 3]
    assert page([5, 4, 3, 2, 1], config, 3, channel=[0, 0, 0, 8, 8]) == [0, 1, 2]
    assert page([5, 4, 3], config, 3, channel=[7, 7, 7]) == [0, 1, 2], "a full page beats the cap"


def test_the_cap_reaches_past_the_pool():
    config = replace(PLAIN, channel_cap=1, pool=3)
    assert page([9, 8, 7, 3, 2, 1], config, 3, channel=[4, 4, 4, 4, 5, 5]) == [0, 4, 1]


def test_freshness_halves_with_age():
    config = replace(PLAIN, freshness=1.0, freshness_half_life_days=2.0)
    assert page([0.0, 0.49], config, 1, age=[2.0, np.inf]) == [0]
    assert page([0.0, 0.51], config, 1, age=[2.0, -1.0]) == [1]


def test_a_broken_utility_ranks_last():
    assert page([np.nan, 1.0, np.inf, -3.0], replace(PLAIN, diversity=0.2), 4)[:2] == [1, 3]


@pytest.mark.parametrize("k", [0, 1, 5, -1])
def test_nothing_and_one(k):
    assert page([], RerankConfig(), k) == []
    assert page([1.0], RerankConfig(), k) == ([0] if k > 0 else [])


def test_vectors_may_be_empty():
    assert page([1, 2], RerankConfig(), 2, vectors=np.empty((2, 0))) == [1, 0]
