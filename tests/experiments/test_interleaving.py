import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from core import rng
from experiments import interleaving
from experiments.interleaving import BALANCED, FIRST, NOBODY, SECOND, TEAM_DRAFT, audit, enumerate_pages, team_draft


def shares(first, second, k):
    pages = enumerate_pages(TEAM_DRAFT, first, second, k)
    found = Counter(zip(map(tuple, pages.video_BK.tolist()), map(tuple, pages.team_BK.tolist()), strict=True))
    return {page: count / len(pages.video_BK) for page, count in found.items()}


def test_team_draft_with_a_shared_video():
    assert shares([1, 2], [2, 3], 3) == {((1, 2, 3), (0, 1, 1)): 0.5, ((2, 1, 3), (1, 0, 1)): 0.5}


def test_team_draft_of_disjoint_rankings():
    pages = {page: share for (page, _), share in shares([1, 2], [3, 4], 3).items()}
    assert pages == {(1, 3, 2): 0.25, (1, 3, 4): 0.25, (3, 1, 2): 0.25, (3, 1, 4): 0.25}


def test_team_draft_when_both_are_exhausted():
    assert shares([1], [1], 3) == {((1, -1, -1), (0, -1, -1)): 0.5, ((1, -1, -1), (1, -1, -1)): 0.5}


@pytest.mark.parametrize(("clicks", "said"), [([0, 2], 0), ([1], -1), ([2], -1), ([0, 1, 2], -1), ([0], 1), ([], 0)])
def test_credit(clicks, said):
    clicked = np.isin(np.arange(3), clicks)[None, :]
    assert interleaving.credit(np.array([[FIRST, SECOND, SECOND]], dtype=np.int8), clicked).tolist() == [said]


@pytest.mark.parametrize(("num_videos", "prefers_second"), [(3, 2 / 3), (4, 3 / 4)])
def test_balanced_is_biased_on_shifted_lists_and_team_draft_is_not(num_videos, prefers_second):
    first = list(range(num_videos))
    second = [*first[1:], first[0]]
    found = audit(BALANCED, first, second, num_videos)
    assert (found.first, found.second, found.tie) == pytest.approx((1 - prefers_second, prefers_second, 0))
    fair = audit(TEAM_DRAFT, first, second, num_videos)
    assert (fair.first, fair.second) == pytest.approx((0.5, 0.5))


def test_the_last_slot_of_an_odd_page_favours_one_team_unless_it_is_left_out():
    odd = audit(TEAM_DRAFT, [1, 2], [2, 3], 3)
    assert (odd.first, odd.second) == pytest.approx((1 / 3, 2 / 3))
    pages = enumerate_pages(TEAM_DRAFT, [1, 2], [2, 3], 3)
    fair = interleaving.whole_rounds(pages.team_BK)
    assert (fair == FIRST).sum() == (fair == SECOND).sum() == len(fair)
    assert (fair[:, 2] == NOBODY).all()


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(itertools.permutations(range(4)), 2))[::29])
def test_team_draft_is_unbiased_on_any_permutations(first, second):
    found = audit(TEAM_DRAFT, first, second, 4)
    assert (found.first, found.second, found.tie) == pytest.approx((0.5, 0.5, 0))


@given(st.permutations(range(8)), st.permutations(range(8)), st.integers(1, 8), st.integers(0, 1_000))
def test_pages_hold_each_video_once_and_teams_differ_by_one(first, second, k, seed):
    coins = interleaving.coins(seed, ["a", "b"], k)
    for method in (TEAM_DRAFT, BALANCED):
        pages = method.merge(np.array([first] * 2), np.array([second] * 2), k, coins)
        assert all(len(set(page)) == k for page in pages.video_BK.tolist())
        assert {page[0] for page in pages.video_BK.tolist()} <= {first[0], second[0]}
    counts = [(team_draft(np.array([first] * 2), np.array([second] * 2), k, coins).team_BK == t).sum(axis=1) for t in (0, 1)]
    assert (np.abs(counts[0] - counts[1]) <= 1).all()


def test_a_team_picks_in_the_order_of_its_ranking():
    first, second = np.array([[1, 2, 3, 4]]), np.array([[5, 6, 7, 8]])
    pages = team_draft(first, second, 6, np.array([[True, False, True]]))
    assert pages.video_BK.tolist() == [[1, 5, 6, 2, 3, 7]]
    assert pages.team_BK.tolist() == [[0, 1, 1, 0, 0, 1]]


def test_coins_replay_from_the_request_and_are_fair():
    many = interleaving.coins(1, [f"r{i}" for i in range(2_000)], 5)
    assert (interleaving.coins(1, ["r7"], 5)[0] == many[7]).all()
    assert stats.binomtest(int(many.sum()), many.size).pvalue > 1e-4


def test_outcome():
    found = interleaving.outcome([1] * 60 + [-1] * 40 + [0] * 20, np.arange(120))
    assert (found.wins, found.losses, found.ties) == (60, 40, 20)
    assert found.delta.mean == pytest.approx(60 / 120 + 10 / 120 - 0.5)
    assert found.sign_p == pytest.approx(0.0568879, abs=1e-7)


@pytest.mark.parametrize(("wins", "losses", "p"), [(560, 440, 0.0001650), (5_200, 4_800, 6.59e-05)])
def test_sign_test(wins, losses, p):
    said = np.repeat([1, -1], [wins, losses])
    assert interleaving.outcome(said, np.arange(len(said))).sign_p == pytest.approx(p, rel=1e-3)


def test_pages_of_one_viewer_are_not_independent():
    said = rng.stream(0, "said").choice([-1, 1], 50)
    once = interleaving.outcome(said, np.arange(50)).delta
    often = interleaving.outcome(np.repeat(said, 20), np.repeat(np.arange(50), 20)).delta
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


def test_only_ties_say_nothing():
    assert interleaving.outcome([0, 0], [1, 2]).sign_p == 1.0


def test_pages_needed():
    assert interleaving.pages_needed(0.52) == 4_904
    assert interleaving.pages_needed(0.55) == 783
