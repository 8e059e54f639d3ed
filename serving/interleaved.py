"""Two slates for one request → one page that holds both, and says of every slot which of the two is credited with a click.

The page's coins derive from (experiment, request id), so it replays. Both slates must come without exploration; then only the
coins are chance, and `propensities` are exact: the probability that this video comes into this slot given the slots before,
over all coins that agree with these. Under team draft, given j slots, all that the coins leave open is how many each team has
picked:

    P(v in slot j) = Σ_(a, b) P(a, b | slots before) · P(v next | a, b),      ½ each way where a = b, else the team behind

Scores of a slot are its team's; `rank_a` and `rank_b` say where each ranking had the video, which balanced credit needs. Knows
nothing of who is asked (`arms`) or of what a click means (`experiments.interleaving`).

Shape legend: B = 1 page, K slots, L length of a ranking. −1 is an empty slot.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.policy import Request, Slate
from experiments import interleaving
from experiments.config import ExperimentConfig
from experiments.interleaving import BALANCED, FIRST, SECOND, TEAM_DRAFT, TEAMS

METHODS = {"team_draft": TEAM_DRAFT, "balanced": BALANCED}
RANKS = tuple(f"rank_{team}" for team in TEAMS)
GREEDY = ("exploration.epsilon=0.0",)
"""Overrides of the serving config for both sides."""


def merge(experiment: ExperimentConfig, request: Request, slates: Sequence[Slate]) -> Slate:
    """The page of `request`, from the slates of the experiment's two arms."""
    first, second = (_padded(slate.video_ids, request.k) for slate in slates)
    coins = interleaving.coins(0, [f"{experiment.name}:{request.request_id}"], max((request.k + 1) // 2, 1))
    page = METHODS[experiment.interleaving].merge(first, second, request.k, coins)
    shown = page.team_BK[0] >= 0
    videos, teams = page.video_BK[0][shown], page.team_BK[0][shown].tolist()
    lists = [slate.video_ids.tolist() for slate in slates]
    # A video's slot in the slate of its team; the other ranking may have it elsewhere, or not at all.
    slots = [lists[team].index(video) for team, video in zip(teams, videos.tolist(), strict=True)]
    owners = list(zip(teams, slots, strict=True))
    return replace(
        slates[FIRST],
        video_ids=videos,
        propensities=_propensities(experiment, lists, videos.tolist()),
        exploration=np.zeros(len(videos), dtype=bool),
        sources=tuple(slates[team].sources[slot] for team, slot in owners),
        scores=_scores(slates, owners) | _ranks(lists, videos.tolist()),
        release_id="+".join(dict.fromkeys(slate.release_id for slate in slates)),
        teams=tuple(TEAMS[team] for team in teams),
        feature_hash=None,
        degraded=tuple(dict.fromkeys(reason for slate in slates for reason in slate.degraded)),
        stage_ms=_sums(slates),
        explanation=_explanation(slates, owners),
    )


def _propensities(experiment: ExperimentConfig, lists: Sequence[list[int]], shown: list[int]) -> NDArray[np.float64]:
    if experiment.interleaving == "team_draft":
        return _team_draft_chances(lists, shown)
    first, second = (np.tile(_padded(np.asarray(each, dtype=np.int64), len(each)), (2, 1)) for each in lists)
    pages = interleaving.balanced(first, second, len(shown), np.array([[True], [False]])).video_BK
    agree = np.cumprod(pages == np.asarray(shown), axis=1).sum(axis=0)
    return agree / np.concatenate([[2], agree[:-1]])


def _team_draft_chances(lists: Sequence[list[int]], shown: list[int]) -> NDArray[np.float64]:
    """[K] see the module's formula."""
    chances, picks = np.ones(len(shown)), {(0, 0): 1.0}
    for j, video in enumerate(shown):
        best = [next((v for v in ranking if v not in shown[:j]), None) for ranking in lists]
        then: dict[tuple[int, int], float] = {}
        for (a, b), p in picks.items():
            for turn in (FIRST, SECOND) if a == b else (FIRST if a < b else SECOND,):
                team = turn if best[turn] is not None else 1 - turn
                if best[team] == video:
                    after = (a + (team == FIRST), b + (team == SECOND))
                    then[after] = then.get(after, 0.0) + (p / 2 if a == b else p)
        chances[j] = sum(then.values())
        picks = {after: p / chances[j] for after, p in then.items()}
    return chances


def _scores(slates: Sequence[Slate], owners: Sequence[tuple[int, int]]) -> dict[str, NDArray[np.float32]]:
    heads = [head for head in slates[FIRST].scores if head in slates[SECOND].scores]
    return {head: np.array([slates[team].scores[head][slot] for team, slot in owners], dtype=np.float32) for head in heads}


def _ranks(lists: Sequence[list[int]], shown: list[int]) -> dict[str, NDArray[np.float32]]:
    """Place of each shown video in either ranking, nan where it is not there."""
    places = [{video: place for place, video in enumerate(ranking)} for ranking in lists]
    return {
        name: np.array([place.get(video, np.nan) for video in shown], dtype=np.float32)
        for name, place in zip(RANKS, places, strict=True)
    }


def _sums(slates: Sequence[Slate]) -> dict[str, float]:
    names = dict.fromkeys(name for slate in slates for name in slate.stage_ms)
    return {name: sum(slate.stage_ms.get(name, 0.0) for slate in slates) for name in names}


def _explanation(slates: Sequence[Slate], owners: Sequence[tuple[int, int]]) -> dict[str, object]:
    slots = [slate.explanation.get("slots", ()) for slate in slates]
    return {"slots": [slots[team][slot] for team, slot in owners]} if all(slots) else {}


def _padded(video_ids: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """[1, max(k, 1)]"""
    ranking = np.full((1, max(k, 1)), -1, dtype=np.int64)
    ranking[0, : len(video_ids)] = video_ids
    return ranking
