import copy

import pytest

from app import answers
from app.cards import Cards
from app.services import Live
from benchmarks import swap
from core import release
from core.policy import Request
from features.memory_store import MemoryStore
from serving.live import go_live
from serving.releases import load_release


@pytest.fixture
def space(trained):
    return trained[1].space


def test_a_page_of_one_release_belongs_and_a_mixed_one_does_not(space):
    loaded = load_release(space.releases, release.resolve(space.releases, "live"))
    live, viewer = go_live(loaded, MemoryStore()), loaded.viewers.frame["external_id"][3]
    request = Request("r", int(loaded.viewers.viewer_ids[3]), loaded.end_at + 1, k=20)
    slate = live.recommender.recommend([request], explain=True)[0]
    record = Live(loaded.release_id, live.recommender, loaded.catalogue, loaded.viewers, loaded.search, Cards(loaded.catalogue))
    page, lives = answers.slate_json(record, request, slate, viewer, explain=True), {loaded.release_id: live}
    assert swap.belongs(page, lives)
    assert not swap.belongs(page | {"release": "another"}, lives)
    assert not swap.belongs(page | {"viewer_id": loaded.viewers.frame["external_id"][4]}, lives)
    moved, foreign = copy.deepcopy(page), copy.deepcopy(page)
    moved["videos"][5]["explain"]["scores"]["affinity"] += 1e-3
    foreign["videos"][5]["video_id"] = "1000000"
    assert not swap.belongs(moved, lives)
    assert not swap.belongs(foreign, lives)


def test_swaps_under_load_lose_and_mix_nothing(space):
    found = swap.measure(space, rate=4, seconds=10, pause_s=0.3)
    assert (found["failed_pages"], found["mixed_pages"], found["pages_asked"]) == (0, 0, 40)
    assert found["checked_pages"] == 40
    assert sum(found["pages_by_release"].values()) == 40  # how many had their turn meanwhile depends on the machine
    assert found["table_bytes"] > 100_000
    assert all(spread["times"] >= 1 for spread in found["seconds"].values())
