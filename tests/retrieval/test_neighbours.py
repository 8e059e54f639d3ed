"""Item-based neighbours worked out by hand."""

import numpy as np
import pytest

from core.ragged import Ragged
from data.interactions import Interactions, group
from retrieval import neighbours
from retrieval.neighbours import ItemKnn

# Four viewers × four videos; C = co-watch counts, n = viewers of each video.
#   viewer 0: 0 1     viewer 1: 0 1 2     viewer 2: 0 2     viewer 3: 3
HISTORIES = [[0, 1, 1], [0, 1, 2], [0, 2], [3]]
COUNTS = np.array([[3, 2, 2, 0], [2, 2, 1, 0], [2, 1, 2, 0], [0, 0, 0, 1]])


def log() -> Interactions:
    viewer_ids = np.repeat(np.arange(4, dtype=np.int64), [len(h) for h in HISTORIES])
    at = np.concatenate([np.arange(len(h), dtype=np.int64) for h in HISTORIES])
    return group(viewer_ids, np.concatenate(HISTORIES).astype(np.int32), at, 4)


def cosines(shrinkage: float) -> np.ndarray:
    norms = np.sqrt(np.diag(COUNTS))
    found = COUNTS / (np.outer(norms, norms) + shrinkage)
    np.fill_diagonal(found, 0)
    return found


@pytest.mark.parametrize("shrinkage", [0.0, 2.5])
def test_all_neighbours_are_the_shrunk_cosines(shrinkage: float) -> None:
    model = ItemKnn(neighbours=3, shrinkage=shrinkage).fit(log())
    assert model.matrix.toarray() == pytest.approx(cosines(shrinkage))
    assert model.matrix[0, 1] == pytest.approx(2 / (np.sqrt(6) + shrinkage))


def test_only_the_nearest_stay_and_the_first_of_equals() -> None:
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 0] = expected[2, 0] = 2 / np.sqrt(6)
    assert ItemKnn(neighbours=1, shrinkage=0.0).fit(log()).matrix.toarray() == pytest.approx(expected)


def test_scores_add_up_over_the_history() -> None:
    found = ItemKnn(neighbours=3, shrinkage=0.0, decay=0.5).fit(log()).scores(Ragged.of([[1, 2], [3]]))
    similar = cosines(0.0)
    assert found[0] == pytest.approx(0.5 * similar[1] + similar[2], abs=1e-6)
    assert np.abs(found[1]).max() < 1e-6


def test_blocks_do_not_change_the_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ItemKnn(neighbours=2).fit(log()).matrix.toarray()
    monkeypatch.setattr(neighbours, "_BLOCK", 4)
    assert np.array_equal(ItemKnn(neighbours=2).fit(log()).matrix.toarray(), whole)
