import json

import numpy as np
import pytest

from core import rng
from experiments import shadow
from experiments.shadow import Answers


def answers(videos, *, ms=10.0, failed=None, scores=None):
    pages = np.array(videos)
    return Answers(
        pages,
        np.tile(np.linspace(1, 0, pages.shape[1]), (len(pages), 1)) if scores is None else scores,
        np.full(len(pages), ms),
        np.zeros(len(pages), dtype=bool) if failed is None else np.array(failed),
    )


def test_overlap():
    assert shadow.overlap(np.array([[1, 2, 3, 4], [1, 2, -1, -1]]), np.array([[4, 3, 9, 8], [2, 5, 6, -1]])) == pytest.approx(
        [0.5, 1 / 3]
    )
    assert shadow.overlap(np.array([[-1]]), np.array([[-1]])) == [1.0]


def test_rank_biased_overlap_by_hand():
    """(1, 2, 3) against (2, 1, 4): X = 0, 2, 2; p = .5: 2/3 · .125 + 1 · (.5·0 + .25·1 + .125·2/3) = 5/12."""
    assert shadow.rank_biased_overlap(np.array([[1, 2, 3]]), np.array([[2, 1, 4]]), 0.5) == pytest.approx([5 / 12])


def test_rank_biased_overlap_is_one_for_equal_and_zero_for_disjoint_pages():
    pages = np.array([[1, 2, 3], [4, 5, 6]])
    assert shadow.rank_biased_overlap(pages, pages) == pytest.approx([1, 1])
    assert shadow.rank_biased_overlap(pages, pages + 100) == pytest.approx([0, 0])


def test_shorter_pages_are_as_long_as_they_are():
    """Two slots of two agree as much as four of four; an empty slot beside a filled one agrees with nothing."""
    first = np.array([[1, 2, -1, -1], [1, 2, 3, 4], [1, 2, -1, -1], [-1, -1, -1, -1]])
    second = np.array([[1, 2, -1, -1], [1, 2, 3, 4], [1, -1, -1, -1], [-1, -1, -1, -1]])
    # (1, 2) against (1): X = 1, 1; p = .5: 1/2 · .25 + 1 · (.5·1 + .25·1/2) = 3/4.
    assert shadow.rank_biased_overlap(first, second, 0.5) == pytest.approx([1, 1, 3 / 4, 1])


def test_differences_at_the_top_weigh_more():
    page = np.array([[1, 2, 3, 4, 5]])
    top, bottom = np.array([[9, 2, 3, 4, 5]]), np.array([[1, 2, 3, 4, 9]])
    assert shadow.rank_biased_overlap(page, top) < shadow.rank_biased_overlap(page, bottom)


def test_slices_and_what_failed():
    live = answers([[1, 2], [3, 4], [5, 6], [7, 8]], ms=10)
    other = answers([[1, 2], [3, 9], [-1, -1], [8, 7]], ms=30, failed=[False, False, True, False])
    everything, home, rail = shadow.compare(live, other, np.array(["home", "home", "up_next", "up_next"]))
    assert (everything.slice, everything.requests, everything.shadow_failed, everything.live_failed) == ("all", 4, 0.25, 0.0)
    assert everything.overlap == pytest.approx((1 + 0.5 + 1) / 3)
    assert (home.slice, home.overlap, home.same) == ("home", 0.75, 0.5)
    assert (rail.slice, rail.overlap, rail.same, rail.shadow_ms_p99) == ("up_next", 1.0, 0.0, 30.0)


def test_score_distributions():
    scores = rng.stream(0, "scores").standard_normal((2, 500, 4))
    pages = np.tile(np.arange(4), (500, 1))
    same = shadow.compare(answers(pages, scores=scores[0]), answers(pages, scores=scores[1]))[0]
    moved = shadow.compare(answers(pages, scores=scores[0]), answers(pages, scores=scores[1] + 0.5))[0]
    assert same.score_p > 0.001
    assert moved.score_ks == pytest.approx(0.19741, abs=0.04)  # 2Φ(¼) − 1
    assert moved.score_p < 1e-6


def test_a_challenger_that_never_answers_is_still_a_report():
    found = shadow.compare(answers([[1, 2]]), answers([[-1, -1]], failed=[True], scores=np.full((1, 2), np.nan)))[0]
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["overlap"] is None
