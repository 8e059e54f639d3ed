import numpy as np
import pytest

from core.ragged import Ragged
from pipelines.evaluation import sightings


def test_classes_by_how_often_a_video_was_seen():
    found = sightings.class_of(np.array([0, 1, 5, 6, 20, 21, 5_000]))
    assert [sightings.CLASSES[place] for place in found] == [
        "never seen", "1 to 5 times", "1 to 5 times", "6 to 20 times", "6 to 20 times", "more often", "more often"
    ]  # fmt: skip


def test_recall_of_each_class_by_hand():
    """Videos 0 to 3 were seen 0, 3, 10 and 99 times; the second case also wants a video that the catalogue lacks."""
    seen, targets = np.array([0, 3, 10, 99]), Ragged.of([[0, 1, 3], [0, 2, -1]])
    ranked = np.array([[3, 1, 2, -1], [2, 3, -1, -1]], dtype=np.int32)
    hits = np.array([[True, True, False, False], [True, False, False, False]])
    found = sightings.recalls(ranked, hits, targets, seen)
    assert list(found) == list(sightings.METRICS)
    assert np.stack(list(found.values())) == pytest.approx(
        np.array([[0.0, 0.0], [1.0, np.nan], [np.nan, 1.0], [1.0, np.nan]]), nan_ok=True
    )


def test_only_the_first_twenty_count():
    hits = np.zeros((1, 30), dtype=bool)
    hits[0, 25] = True
    ranked = np.arange(30, dtype=np.int32)[None, :]
    found = sightings.recalls(ranked, hits, Ragged.of([[25]]), np.ones(30, dtype=np.int64))
    assert found["recall@20, 1 to 5 times"].tolist() == [0.0]
