from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from core.policy import Request
from ranking.config import RerankConfig
from serving import fakes, odds
from serving.config import ExplorationConfig, ServingConfig
from serving.recommender import Recommender
from serving.witness import Note, again

KINDS = {
    "none": ExplorationConfig(epsilon=0.0),
    "epsilon": ExplorationConfig(epsilon=0.4, pool=4),
    "some slots": ExplorationConfig(epsilon=0.7, slots=(1,), fresh_boost=3.0),
    "plackett-luce": ExplorationConfig("plackett_luce", epsilon=0.9, temperature=0.5),
    "thompson": ExplorationConfig("thompson", epsilon=0.2, pool=3, slots=(0, 2)),
    "thompson without chance": ExplorationConfig("thompson", epsilon=0.0),
}
NOTE = Note(
    np.array([190, 3, 50, 80, 7, 120], dtype=np.int32),
    np.array([2.0, 1.5, 1.4, 1.0, 0.5, 0.2], dtype=np.float32),
    warm=True,
    spread_K=np.linspace(0.2, 1.2, 6).astype(np.float32),
)
SHORT = replace(NOTE, rows_K=NOTE.rows_K[:4], utility_K=NOTE.utility_K[:4], spread_K=NOTE.spread_K[:4])


def recommender(kind: str) -> Recommender:
    return Recommender(fakes.parts(config=ServingConfig(exploration=KINDS[kind], rerank=RerankConfig(diversity=0.3))))


def note_for(kind: str, note: Note = NOTE) -> Note:
    return note if kind.startswith("thompson") else replace(note, spread_K=None)


@pytest.mark.parametrize("kind", KINDS)
def test_the_odds_of_a_page_that_the_settings_drew_are_its_propensities(kind):
    policy, note = recommender(kind), note_for(kind)
    for number in range(40):
        request = Request(f"r{number}", 1, fakes.NOW, k=3)
        video_ids, page = again(policy, request, note)
        assert odds.of_page(policy, request, note, video_ids) == pytest.approx(page.propensities, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_odds_of_all_possible_pages_sum_to_one(kind):
    policy, note, request = recommender(kind), note_for(kind, SHORT), Request("r", 1, fakes.NOW, k=3)
    ids = policy.parts.catalogue.video_ids[note.rows_K]
    chances = [odds.of_page(policy, request, note, np.array(page)).prod() for page in permutations(ids.tolist(), 3)]
    assert sum(chances) == pytest.approx(1.0)


def test_without_chance_one_page_is_certain_and_every_other_impossible():
    policy, request = recommender("epsilon"), Request("r", 1, fakes.NOW, k=3)
    note = note_for("epsilon")
    page, _ = again(policy, request, note, chance=False)
    assert odds.of_page(policy, request, note, page, chance=False).tolist() == [1, 1, 1]
    assert odds.of_page(policy, request, note, page[::-1].copy(), chance=False).prod() == 0
    assert odds.of_page(policy, request, note, np.array([page[0], 10**9, page[1]])).tolist()[1] == 0  # never a candidate
