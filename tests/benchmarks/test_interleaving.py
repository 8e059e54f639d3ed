import numpy as np
import pytest

from benchmarks import interleaving as benchmark
from benchmarks import pictures
from benchmarks.interleaving import AB, CUPED, INTERLEAVING, METHODS, Seen


def seen(between: float, within: float, viewers: int = 4_000) -> Seen:
    """Viewers whose clicks a page differ by `between`, pages of a viewer by `within`; the first ranking has .1 more."""
    random = np.random.default_rng(0)
    taste, pages = random.normal(0, between, viewers), benchmark.PAGES_PER_VIEWER
    clicks = 1 + np.repeat(taste, pages) + random.normal(0, within, (2, viewers * pages))
    mean = np.full(viewers * pages, 1.0)
    return Seen(
        viewer=np.repeat(np.arange(viewers), pages),
        before=1 + taste + random.normal(0, within / np.sqrt(benchmark.PAGES_BEFORE), viewers),
        expected=np.stack([mean + 0.1, mean]),
        clicks=clicks,
        preference=random.choice([-1.0, 1.0], viewers * pages),
        expected_preference=np.full(viewers * pages, 0.2),
    )


def test_pages_needed_in_closed_form():
    effort, pages = (1.959964 + 0.841621) ** 2, benchmark.PAGES_PER_VIEWER
    found = benchmark.pages_needed(seen(between=0.5, within=1.0))
    # v per page: pages of one viewer share their taste.
    assert found[AB] == pytest.approx(effort * 2 * 2 * (1.0 + pages * 0.25) / 0.1**2, rel=0.05)
    left = 0.25 - 0.25**2 / (0.25 + 1 / benchmark.PAGES_BEFORE)
    assert found[CUPED] == pytest.approx(effort * 2 * 2 * (1.0 + pages * left) / 0.1**2, rel=0.05)
    assert found[INTERLEAVING] == pytest.approx(effort / 0.2**2, rel=0.05)


def test_worlds_are_put_together_by_their_geometric_mean():
    point = {"noise": 2.0, "lift": 0.2, "clicks_per_page": 1.5, "preference": 0.2, "power": dict.fromkeys(METHODS, 0.8)}
    pages = [{AB: 400.0, CUPED: 300.0, INTERLEAVING: 100.0}, {AB: 1_600.0, CUPED: 1_200.0, INTERLEAVING: 100.0}]
    found = benchmark.over_worlds([{**point, "pages": each} for each in 4 * pages])
    assert (found["ab_pages"], found["interleaving_pages"]) == (800, 100)
    assert (found["times_fewer"], found["times_fewer_cuped"]) == (8.0, 6.0)
    assert found["times_fewer_95"][0] < 8.0 < found["times_fewer_95"][1]
    assert "than one with CUPED" in pictures.interleaving({"curve": [found, {**found, "lift": 0.1}]})
