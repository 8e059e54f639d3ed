from itertools import permutations

import numpy as np
import pytest

from core import rng
from core.policy import Request, Slate
from data.world.config import WorldConfig
from data.world.world import World
from pipelines.lab import measures


@pytest.fixture(scope="module")
def world() -> World:
    """Ten videos, two on a page."""
    return World(WorldConfig(num_viewers=30, num_videos=10, num_channels=3, slate_size=2, backlog_share=1.0, impressions=100))


def page(name: str, viewer_id: int, at: int, videos: list[int]) -> tuple[Request, Slate]:
    ones = np.ones(len(videos))
    slate = Slate(name, np.array(videos), ones, ones == 0, sources=("",) * len(videos))
    return Request(name, viewer_id, at, k=2), slate


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([0, 0, 0, 4], 0.75), ([1, 2, 3, 4], 0.25), ([3, 3, 3], 0.0), ([0, 0], 0.0), ([5, 10, 15, 20], 0.25)],
)
def test_gini(counts, expected):
    assert measures.gini(counts) == pytest.approx(expected)


def test_the_lorenz_curve_bends_as_gini_says():
    counts = rng.stream(1, "counts").pareto(1.5, 400)
    curve = measures.lorenz(counts, 401)
    area = np.trapezoid(curve, np.linspace(0, 1, 401))
    assert 1 - 2 * area == pytest.approx(measures.gini(counts), abs=1e-9)
    assert measures.lorenz([2, 2, 2, 2], 5).tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_coverage_and_top_share():
    assert measures.coverage([0, 1, 3, 0]) == 0.5
    assert measures.coverage([0, 1, 3, 0], at_least=3) == 0.25
    assert measures.coverage([]) == 0.0
    assert measures.top_share([1, 1, 6, 2], share=0.5) == 0.8
    assert measures.top_share([1] * 200) == pytest.approx(0.01)
    assert measures.top_share([0, 0]) == 0.0


def test_creators_live_above_a_tenth_of_an_equal_share():
    # 300 impressions: a tenth of an equal share is 15 of two channels, and 10 of three.
    assert measures.creators([140, 145, 14, 1], [7, 7, 9, 9], 0.1) == 1.0
    assert measures.creators([280, 11, 9], [1, 2, 3], 0.1) == pytest.approx(2 / 3)
    assert measures.creators([300, 0, 0], [1, 2, 3], 0.1) == pytest.approx(1 / 3)


def test_topic_entropy_is_a_mean_over_viewers():
    assert measures.topic_entropy([1, 1, 1, 1], [0, 1, 2, 3], 4) == pytest.approx(2.0)
    assert measures.topic_entropy([1, 1, 8, 8], [2, 2, 0, 3], 4) == pytest.approx(0.5)
    quarter = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    assert measures.topic_entropy([5, 5, 5, 5], [0, 0, 0, 1], 2) == pytest.approx(quarter)


def test_page_values_are_the_worlds(world):
    at = world.config.start_at
    pages = [page("a", 3, at, [1, 4]), page("b", 9, at, [7]), page("c", 9, at, [10, 2])]
    requests, slates = [r for r, _ in pages], [s for _, s in pages]

    class Fixed:
        def recommend(self, asked):
            return slates

    found = measures.page_values(world, requests, slates)
    assert found.mean() == pytest.approx(world.true_value(Fixed(), requests))
    assert found[1] == pytest.approx(float(world.expected_satisfaction(8, 6, at, 0)))


def test_the_best_page_is_the_best_of_all_pages(world):
    at = world.config.start_at
    every = [page("x", 5, at, [a + 1, b + 1]) for a, b in permutations(range(world.videos.num_available(at)), 2)]
    brute = measures.page_values(world, [r for r, _ in every], [s for _, s in every]).max()
    assert measures.best_values(world, [Request("x", 5, at, k=2)])[0] == pytest.approx(brute)


def test_appeal_divides_seconds_into_satisfied_and_regretted(world):
    rows, viewers, at = np.arange(10), np.arange(30)[:, None], world.config.start_at
    found = measures.appeal(world, rows, at)
    seconds = world.probability_of_click(viewers, rows, at) * world.expected_watch_s(viewers, rows, at)
    assert found.satisfied_s + found.regretted_s == pytest.approx(seconds.mean(axis=0))
    assert found.satisfied_s == pytest.approx(world.expected_satisfaction(viewers, rows, at).mean(axis=0))
    assert ((found.regret > 0) & (found.regret < 1)).all()
