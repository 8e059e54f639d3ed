import polars as pl

from core import columns as c
from data import tombstones


def test_a_forgotten_viewer_is_nowhere(dataset, tmp_path):
    marked = tombstones.forget(tmp_path, [2], at=5)
    left = tombstones.read(tmp_path).dataset(dataset)
    assert marked == tombstones.read(tmp_path)
    assert set(left.events[c.VIEWER_ID]) == {1}
    assert left.viewers[c.VIEWER_ID].to_list() == [1]
    assert left.videos.equals(dataset.videos)
    assert len(left.events) == 4


def test_forgetting_twice_keeps_the_first_instant(tmp_path):
    tombstones.forget(tmp_path, [2], at=5)
    assert tombstones.forget(tmp_path, [2, 3], at=9).forgotten_at == {2: 5, 3: 9}


def test_nobody_forgotten_changes_nothing(dataset, tmp_path):
    marked = tombstones.read(tmp_path)
    assert len(marked) == 0
    assert marked.dataset(dataset) is dataset
    assert marked.events(dataset.events) is dataset.events


def test_a_channel_is_no_viewer(dataset):
    marked, event = tombstones.Tombstones({1: 0}), dataset.events.head(1)
    assert len(marked.events(event)) == 0
    assert len(marked.events(event.with_columns(pl.lit("upload").alias(c.KIND)))) == 1
