import dataclasses
import itertools

import numpy as np
import pytest

from core import columns as c
from core.policy import Request, Slate
from experiments.config import ArmConfig, ExperimentConfig, ExperimentsConfig
from serving import fakes
from serving.arms import ArmRecommender, Base
from serving.config import ServingConfig
from serving.impressions import to_table
from serving.interleaved import merge
from serving.recommender import Recommender

TEAM_DRAFT = ExperimentConfig("duel", interleaving="team_draft")
BALANCED = ExperimentConfig("duel", interleaving="balanced")


def slate(videos, release_id="a", score=1.0):
    n = len(videos)
    return Slate(
        "r", np.array(videos, dtype=np.int64), np.ones(n), np.zeros(n, dtype=bool), tuple(f"{release_id}{v}" for v in videos),
        {"utility": np.full(n, score, dtype=np.float32)}, release_id, stage_ms={"ranker": 2.0}, degraded=("late",),
    )  # fmt: skip


def pages(experiment, first, second, k, n=400):
    requests = [Request(f"r{i}", 1, 0, k=k) for i in range(n)]
    return [merge(experiment, request, [slate(first), slate(second, "b", 2.0)]) for request in requests]


@pytest.mark.parametrize(
    ("first", "second", "k", "wanted"),
    [
        ([1, 2], [2, 3], 3, {(1, 2, 3): 0.5, (2, 1, 3): 0.5}),
        ([1, 2], [3, 4], 3, {(1, 3, 2): 0.25, (1, 3, 4): 0.25, (3, 1, 2): 0.25, (3, 1, 4): 0.25}),
    ],
)
def test_propensities_multiply_to_the_chance_of_a_page_under_team_draft(first, second, k, wanted):
    found = {tuple(page.video_ids.tolist()): page.propensities for page in pages(TEAM_DRAFT, first, second, k)}
    assert {page: pytest.approx(chance.prod()) for page, chance in found.items()} == wanted


def test_propensities_agree_with_every_sequence_of_coins():
    first, second, k = [1, 2, 3, 4, 5, 6], [3, 1, 7, 8, 2, 9], 6
    from experiments.interleaving import enumerate_pages
    from serving.interleaved import METHODS

    for experiment in (TEAM_DRAFT, BALANCED):
        everything = enumerate_pages(METHODS[experiment.interleaving], first, second, k).video_BK
        for page in pages(experiment, first, second, k, n=60):
            agree = [
                len(everything),
                *((everything[:, : j + 1] == page.video_ids[: j + 1]).all(axis=1).sum() for j in range(k)),
            ]
            assert page.propensities == pytest.approx([after / before for before, after in itertools.pairwise(agree)])


def test_a_slot_is_its_teams():
    for page in pages(TEAM_DRAFT, [1, 2, 3, 4], [3, 5, 1, 6], 4, n=50):
        assert [(s[0], u) for s, u in zip(page.sources, page.scores["utility"], strict=True)] == [
            (team, 1.0 if team == "a" else 2.0) for team in page.teams
        ]
        assert sorted(page.teams) == ["a", "a", "b", "b"]
        places = [[1, 2, 3, 4], [3, 5, 1, 6]]
        for name, ranking in zip(("rank_a", "rank_b"), places, strict=True):
            told = page.scores[name]
            assert [v for v, rank in zip(page.video_ids, told, strict=True) if rank == rank] == [
                v for v in page.video_ids if v in ranking
            ]
            assert all(ranking[int(rank)] == v for v, rank in zip(page.video_ids, told, strict=True) if rank == rank)


def test_both_sides_count():
    page = pages(TEAM_DRAFT, [1, 2], [3, 4], 4, n=1)[0]
    assert page.release_id == "a+b"
    assert page.stage_ms == {"ranker": 4.0}
    assert page.degraded == ("late",)
    assert page.feature_hash is None
    assert pages(TEAM_DRAFT, [], [], 4, n=1)[0].video_ids.tolist() == []
    assert pages(BALANCED, [], [5], 4, n=1)[0].video_ids.tolist() == [5]


DUEL = ExperimentsConfig(
    (
        ExperimentConfig(
            "duel", (ArmConfig("v1"), ArmConfig("v2", release="b2")), interleaving="team_draft", overrides={"3": "v2"}
        ),
    )
)


def base(release_id, histories=None):
    parts = dataclasses.replace(fakes.parts(histories=histories), release_id=release_id)
    return Base(ServingConfig(), lambda chosen: Recommender(dataclasses.replace(parts, config=chosen)))


def test_through_the_arms_into_the_log():
    policy = ArmRecommender(DUEL, base("a1"), {"b2": base("b2", {1: [4, 8]})})
    requests = [Request(f"r{viewer}", viewer, fakes.NOW, k=6) for viewer in (1, 2, 3)]
    slates = policy.recommend(requests, explain=True)
    assert [s.arm for s in slates] == ["duel:interleaved", "duel:interleaved", "control"]
    assert [s.release_id for s in slates] == ["a1+b2", "a1+b2", "b2"]
    assert len(slates[0].explanation["slots"]) == 6
    table = to_table(requests, slates, fakes.NOW)
    assert table[c.TEAM].to_pylist() == [*slates[0].teams, *slates[1].teams, *[None] * 6]
    assert set(slates[0].teams) == {"a", "b"}
    assert '"rank_a"' in table[c.DETAIL][0].as_py()
    assert [s.video_ids.tolist() for s in policy.recommend(requests)] == [s.video_ids.tolist() for s in slates]
    assert policy.of(requests[0]) is None
    assert policy.of(requests[2]).parts.release_id == "b2"


def test_interleaved_pages_have_no_exploration_and_exact_propensities():
    slates = ArmRecommender(DUEL, base("a1"), {"b2": base("b2", {1: [4, 8]})}).recommend(
        [Request(f"r{i}", 1, fakes.NOW, k=6) for i in range(50)]
    )
    assert not any(s.exploration.any() for s in slates)
    assert {float(p) for s in slates for p in s.propensities} <= {0.25, 0.5, 0.75, 1.0}
