"""The loaders on real logs, where a copy is at hand; counts are the publishers'."""

import pytest

from data import validation
from data.sources import interactions, registry


@pytest.fixture
def folder(real_data):
    def find(name):
        if not (real_data / name).is_dir():
            pytest.skip(f"no {name}/ in {real_data}")
        return real_data / name

    return find


def test_movielens_100k(folder):
    found = registry.load("movielens", folder("ml-100k"))
    kinds = dict(found.dataset.events.group_by("kind").len().iter_rows())
    assert kinds == {"click": 100_000, "like": 55_375, "dislike": 17_480}
    assert (len(found.dataset.viewers), len(found.dataset.videos), len(found.quarantine)) == (943, 1_682, 0)
    assert found.dataset.videos["title"][0] == "Toy Story (1995)"
    assert found.warnings == ()
    assert validation.check(found.dataset).findings == ()


def test_kuairand(folder):
    found = registry.load("kuairand", folder("kuairand"))
    kinds = dict(found.dataset.events.group_by("kind").len().iter_rows())
    assert kinds["impression"] == 33_462 - len(found.quarantine) == 33_380
    assert kinds["like"] + kinds["dislike"] == kinds["impression"]
    assert (len(found.dataset.viewers), len(found.dataset.videos)) == (663, 7_496)
    assert validation.check(found.dataset).ok


def test_movielens_1m_sequences(folder):
    found = interactions.load(folder("ml-1m") / "interactions.parquet")
    assert (len(found.interactions), len(found.video_ids), len(found.interactions.viewer_ids)) == (993_571, 3_416, 6_040)
    assert len(found.quarantine) == 0
