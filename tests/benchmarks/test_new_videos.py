from argparse import Namespace

import numpy as np

from benchmarks import new_videos
from benchmarks.enlarged import write_without
from core import release
from serving.releases import load_release, open_files


def test_a_release_without_its_latest_videos_is_whole_and_says_the_same_of_the_others(trained, tmp_path):
    root = trained[1].space.releases
    loaded = load_release(root, release.resolve(root, "live"))
    rows = new_videos.latest(loaded.catalogue, 20, loaded.end_at)
    assert len(rows) == 20
    write_without(loaded, rows, tmp_path)
    smaller = open_files(tmp_path)
    kept = np.setdiff1d(np.arange(len(loaded.catalogue)), rows)
    assert smaller.catalogue.vocabularies == loaded.catalogue.vocabularies
    assert np.array_equal(smaller.catalogue.video_ids, loaded.catalogue.video_ids[kept])
    assert np.array_equal(smaller.scorer.videos.take(np.arange(len(kept))), loaded.scorer.videos.take(kept))
    neighbours = smaller.catalogue.video_ids[smaller.cowatch.rows_VN[smaller.cowatch.rows_VN >= 0]]
    assert not np.isin(neighbours, loaded.catalogue.video_ids[rows]).any()


def test_new_videos_are_shown_whatever_is_left_to_chance(trained, tmp_path):
    found = new_videos.measure(trained[1].space, tmp_path, Namespace(videos=20, days=1, rate=1.0))
    days = {name: curve[-1] for name, curve in found["by_day"].items()}
    assert all(day["impressions"] > 0 for day in days.values())
    assert days["the last slot always"]["impressions"] > days["nothing left to chance"]["impressions"]
