import numpy as np
import pytest

from core.clock import HOUR_MS
from data.world.catalogue import make_videos
from data.world.config import tiny
from data.world.memory import KeySet, Memory

NOW = tiny().start_at


@pytest.fixture
def memory() -> Memory:
    return Memory(make_videos(tiny()), 5, half_life_h=18.0)


def test_key_set_is_a_set():
    keys, random = KeySet(), np.random.default_rng(0)
    expected: set[int] = set()
    assert not keys.contains(np.array([[1, 2]])).any()
    for _ in range(10):
        drawn = random.integers(0, 200, 30)
        keys.add(drawn)
        expected |= set(drawn.tolist())
    assert keys.keys.tolist() == sorted(expected)
    assert keys.contains(np.arange(200)).tolist() == [i in expected for i in range(200)]


def test_fatigue_halves_every_half_life(memory):
    memory.record(np.array([2]), np.array([7]), np.array([NOW]))
    mixture = make_videos(tiny()).topics_VT[7]
    later = np.array([NOW, NOW + 18 * HOUR_MS, NOW + 36 * HOUR_MS, NOW - HOUR_MS])
    found = memory.fatigue(np.full(4, 2), later)
    np.testing.assert_allclose(found, np.array([[1], [0.5], [0.25], [1]]) * mixture, rtol=1e-5)
    assert not memory.fatigue(np.array([1]), later[:1]).any()


def test_fatigue_does_not_depend_on_the_grouping_of_clicks():
    random = np.random.default_rng(1)
    viewers, videos = random.integers(0, 5, 40), random.integers(0, 800, 40)
    at = NOW + np.sort(random.integers(0, 100 * HOUR_MS, 40))
    together, apart = (Memory(make_videos(tiny()), 5, 18.0) for _ in range(2))
    together.record(viewers, videos, at)
    for i in range(40):
        apart.record(viewers[i : i + 1], videos[i : i + 1], at[i : i + 1])
    end = np.full(5, NOW + 200 * HOUR_MS)
    np.testing.assert_allclose(together.fatigue(np.arange(5), end), apart.fatigue(np.arange(5), end), rtol=1e-4, atol=1e-7)


def test_watched_and_followed(memory):
    memory.record(np.array([1]), np.array([3]), np.array([NOW]))
    memory.follow(np.array([1, 1, 4]), np.array([9, 2, 0]))
    assert memory.has_watched(np.array([[1], [2]]), np.array([3, 4])).tolist() == [[True, False], [False, False]]
    assert memory.follows(np.array([1, 1, 4, 4]), np.array([9, 0, 0, 9])).tolist() == [True, False, True, False]
    channels, begin, end = memory.followed(np.array([0, 1, 4]))
    assert [channels[b:e].tolist() for b, e in zip(begin, end, strict=True)] == [[], [2, 9], [0]]
