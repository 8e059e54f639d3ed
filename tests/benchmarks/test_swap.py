from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest

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
    live = go_live(loaded, MemoryStore())
    affinity = swap._exact(live)[3]
    viewer_id = int(loaded.viewers.viewer_ids[3])
    slate = live.recommender.recommend([Request("r", viewer_id, loaded.end_at + 1, k=20)])[0]
    assert swap.belongs(slate, live, affinity)
    assert not swap.belongs(replace(slate, release_id="another"), live, affinity)
    assert not swap.belongs(replace(slate, video_ids=slate.video_ids + 10**9), live, affinity)
    assert not swap.belongs(slate, live, np.roll(affinity, 1))
    other_vectors = replace(slate, scores={"affinity": slate.scores["affinity"] + np.float32(1e-3)})
    assert not swap.belongs(other_vectors, live, affinity)


def test_swaps_under_load_lose_and_mix_nothing(space, tmp_path):
    found = swap.measure(space.releases, tmp_path, Namespace(rate=10, seconds=6, other=None))
    assert (found["failed_pages"], found["mixed_pages"], found["pages"]) == (0, 0, 60)
    assert len(found["pages_by_release"]) > 1
    assert found["seconds"]["roll back"]["times"] >= 1
    assert min(found["affinity_moved"].values()) > 0.5
