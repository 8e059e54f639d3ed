"""Two rankings on one page: every viewer compares them, so far fewer pages are needed than with two arms.

- **Team draft** (Radlinski, Kurup & Joachims, CIKM 2008): in each round a coin decides which ranking picks first; each
  picks its best video that is not on the page yet. A click counts for the team that picked the video.
- **Balanced** (Joachims 2002): one coin per page, then merged so that the page's top always holds nearly equal parts of both.
  Biased: on shifted lists it prefers one ranking under random clicks. Kept as the standard to compare with; `audit` shows it.

    Δ = (wins + ½ ties) / pages − ½         above 0: the first ranking is better       (Chapelle et al., TOIS 2012)

All functions are batched and draw nothing: coins come in, so that a page replays from its request id.

Shape legend: B pages, K slots of the page, L length of a ranking, R rounds (one coin each). −1 is an empty slot.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from core import rng
from core.inference import Interval, cluster_interval

FIRST, SECOND, NOBODY = 0, 1, -1
TEAMS = ("a", "b")
"""What the log's `team` column says for FIRST and SECOND."""

Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Interleaved:
    """Merged pages."""

    video_BK: Ids
    """−1 where both rankings were exhausted."""
    team_BK: NDArray[np.int8]
    """FIRST, SECOND, or NOBODY on empty slots."""


@dataclass(frozen=True)
class Method:
    """A way to merge two rankings, and the way to read clicks that belongs to it."""

    merge: Callable[[Ids, Ids, int, Flags], Interleaved]
    """(first_BL, second_BL, k, coins_BR) → pages."""
    credit: Callable[[Ids, Ids, Interleaved, Flags], NDArray[np.int8]]
    """(first_BL, second_BL, pages, clicked_BK) → [B] +1 first preferred, −1 second, 0 tie."""


def coins(seed: int, request_ids: Sequence[str], rounds: int) -> Flags:
    """[B, R] fair coins, each page's from its own stream; True lets the first ranking pick first."""
    return np.stack([rng.stream(seed, "interleaving", request).random(rounds) < 0.5 for request in request_ids])


def team_draft(first_BL: Ids, second_BL: Ids, k: int, coins_BR: Flags) -> Interleaved:
    """Merge by team draft; a team whose ranking is exhausted passes. Needs ⌈k/2⌉ coins a page, or more if teams pass."""
    num_pages = len(first_BL)
    page, team = _empty(num_pages, k)
    picks_B2 = np.zeros((num_pages, 2), dtype=np.int64)
    for slot in range(k):
        coin = coins_BR[:, min(slot // 2, coins_BR.shape[1] - 1)]
        even = picks_B2[:, FIRST] == picks_B2[:, SECOND]
        turn = np.where(even, np.where(coin, FIRST, SECOND), picks_B2.argmin(axis=1))
        best_2B = np.stack([_best(ranking, page) for ranking in (first_BL, second_BL)])
        here = np.arange(num_pages)
        turn = np.where(best_2B[turn, here] < 0, 1 - turn, turn)
        page[:, slot] = best_2B[turn, here]
        team[:, slot] = np.where(page[:, slot] >= 0, turn, NOBODY)
        picks_B2[here, turn] += page[:, slot] >= 0
    return Interleaved(page, team)


def balanced(first_BL: Ids, second_BL: Ids, k: int, coins_BR: Flags) -> Interleaved:
    """Merge by balanced interleaving; the first coin of a page says who leads. Teams say who put a video there."""
    num_pages = len(first_BL)
    page, team = _empty(num_pages, k)
    filled, read_B2 = np.zeros(num_pages, dtype=np.int64), np.zeros((num_pages, 2), dtype=np.int64)
    here, lengths = np.arange(num_pages), np.array([first_BL.shape[1], second_BL.shape[1]])
    for _ in range(int(lengths.sum())):
        level = read_B2[:, FIRST] == read_B2[:, SECOND]
        turn = np.where(level, np.where(coins_BR[:, 0], FIRST, SECOND), read_B2.argmin(axis=1))
        turn = np.where(read_B2[here, turn] >= lengths[turn], 1 - turn, turn)
        place = np.minimum(read_B2[here, turn], lengths[turn] - 1)
        drawn = np.where(turn == FIRST, *(r[here, np.minimum(place, r.shape[1] - 1)] for r in (first_BL, second_BL)))
        fresh = (drawn >= 0) & (filled < k) & ~(page == drawn[:, None]).any(axis=1)
        page[here[fresh], filled[fresh]], team[here[fresh], filled[fresh]] = drawn[fresh], turn[fresh]
        filled += fresh
        read_B2[here, turn] += 1
    return Interleaved(page, team)


def credit(team_BK: NDArray[np.int8], clicked_BK: Flags) -> NDArray[np.int8]:
    """[B] +1 where the first ranking's team got more clicks, −1 the second's, 0 a tie."""
    clicks = [(clicked_BK & (team_BK == team)).sum(axis=1) for team in (FIRST, SECOND)]
    return np.sign(clicks[FIRST] - clicks[SECOND]).astype(np.int8)


def whole_rounds(team_BK: NDArray[np.int8]) -> NDArray[np.int8]:
    """Teams of the slots in rounds where both picked, NOBODY elsewhere: the last slot of an odd page is one team's alone."""
    fair = np.full_like(team_BK, NOBODY)
    paired = team_BK.shape[1] // 2 * 2
    rounds = team_BK[:, :paired].reshape(len(team_BK), -1, 2)
    both = (rounds.min(axis=2) == FIRST) & (rounds.max(axis=2) == SECOND)
    fair[:, :paired] = np.where(both[:, :, None], rounds, NOBODY).reshape(len(team_BK), paired)
    return fair


def depth_credit(first_BL: Ids, second_BL: Ids, video_BK: Ids, clicked_BK: Flags) -> NDArray[np.int8]:
    """[B] Joachims' rule for balanced pages: whose top j holds more of the clicks, j as deep as the lowest click needs."""
    ranks = [_ranks(ranking, video_BK) for ranking in (first_BL, second_BL)]
    slots = np.arange(clicked_BK.shape[1])
    lowest = np.where(clicked_BK, slots, -1).max(axis=1)
    at_lowest = np.minimum(*(rank[np.arange(len(rank)), np.maximum(lowest, 0)] for rank in ranks))
    wins = [(clicked_BK & (rank <= at_lowest[:, None])).sum(axis=1) for rank in ranks]
    return np.sign(wins[FIRST] - wins[SECOND]).astype(np.int8)


@dataclass(frozen=True)
class Outcome:
    """What the pages said together."""

    wins: int
    """Pages that preferred the first ranking."""
    losses: int
    ties: int
    delta: Interval
    """Δ; its interval treats viewers as the independent unit."""
    sign_p: float
    """Exact binomial sign test over pages without ties; assumes independent pages."""

    @property
    def pages(self) -> int:
        """All of them."""
        return self.wins + self.losses + self.ties


def outcome(preferences: ArrayLike, viewer_ids: ArrayLike, level: float = 0.95) -> Outcome:
    """Summarise `credit` of many pages."""
    said = np.asarray(preferences)
    wins, losses = int((said > 0).sum()), int((said < 0).sum())
    p = scipy.stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    return Outcome(wins, losses, len(said) - wins - losses, cluster_interval(said / 2, viewer_ids, level), float(p))


def pages_needed(win_rate: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Pages without ties for the sign test to see `win_rate`: ((½·z_{1−α/2} + √(p(1−p))·z_{1−β}) / (p − ½))²."""
    deviation = np.sqrt(win_rate * (1 - win_rate))
    root = (0.5 * scipy.stats.norm.ppf(1 - alpha / 2) + deviation * scipy.stats.norm.ppf(power)) / (win_rate - 0.5)
    return int(np.ceil(root**2))


@dataclass(frozen=True)
class Audit:
    """Exact chances of each answer when one shown video is clicked at random: an unbiased method has `first` = `second`."""

    first: float
    second: float
    tie: float


def enumerate_pages(method: Method, first: Sequence[int], second: Sequence[int], k: int) -> Interleaved:
    """The pages of all 2^k coin sequences, each equally likely."""
    flips = np.array(list(itertools.product([True, False], repeat=k)))
    return method.merge(*_repeated(first, second, len(flips)), k, flips)


def audit(method: Method, first: Sequence[int], second: Sequence[int], k: int) -> Audit:
    """Bias of a method on one pair of rankings, by enumeration of every coin and every click."""
    pages = enumerate_pages(method, first, second, k)
    shown_BK = pages.video_BK >= 0
    rankings = _repeated(first, second, len(shown_BK))
    chance_B = 1.0 / len(shown_BK) / np.maximum(shown_BK.sum(axis=1), 1)
    totals = {1: 0.0, -1: 0.0, 0: 0.0}
    for slot in range(k):
        clicked_BK = shown_BK & (np.arange(k) == slot)
        said_B = method.credit(*rankings, pages, clicked_BK)
        for answer in totals:
            totals[answer] += float(chance_B[(said_B == answer) & shown_BK[:, slot]].sum())
    return Audit(totals[1], totals[-1], totals[0])


def _repeated(first: Sequence[int], second: Sequence[int], times: int) -> tuple[Ids, Ids]:
    return tuple(np.tile(np.asarray(ranking, dtype=np.int64), (times, 1)) for ranking in (first, second))  # type: ignore[return-value]


def _empty(num_pages: int, k: int) -> tuple[Ids, NDArray[np.int8]]:
    return np.full((num_pages, k), -1, dtype=np.int64), np.full((num_pages, k), NOBODY, dtype=np.int8)


def _best(ranking_BL: Ids, page_BK: Ids) -> Ids:
    """[B] first video of each ranking that is not on the page; −1 when there is none."""
    free = (ranking_BL >= 0) & ~(ranking_BL[:, :, None] == page_BK[:, None, :]).any(axis=2)
    best = ranking_BL[np.arange(len(ranking_BL)), free.argmax(axis=1)]
    return np.where(free.any(axis=1), best, -1)


def _ranks(ranking_BL: Ids, video_BK: Ids) -> Ids:
    """[B, K] place of each video in the ranking; its length when it is not there."""
    same = video_BK[:, :, None] == ranking_BL[:, None, :]
    return np.where(same.any(axis=2), same.argmax(axis=2), ranking_BL.shape[1])


TEAM_DRAFT = Method(team_draft, lambda first, second, pages, clicked: credit(pages.team_BK, clicked))
BALANCED = Method(balanced, lambda first, second, pages, clicked: depth_credit(first, second, pages.video_BK, clicked))
