import numpy as np
import pytest

from core.errors import ConfigError
from embeddings.host_table import HostTable
from ranking.rows import Cached, Whole
from ranking.scorer import Scorer
from tests.ranking.test_scorer import request_for

VALUES = np.random.default_rng(0).normal(size=(300, 7)).astype(np.float32)


def filed(folder, values=VALUES):
    np.save(folder / "rows.npy", values)
    return HostTable(folder / "rows.npy")


@pytest.fixture(params=["whole", "cached"])
def rows(request, tmp_path):
    return Whole(VALUES) if request.param == "whole" else Cached(filed(tmp_path), 20)


def test_rows_are_what_was_given_in_any_shape(rows):
    assert rows.shape == VALUES.shape
    for wanted in (np.arange(300, dtype=np.int32), np.array([[5, 5], [299, 0]], dtype=np.int32), np.empty((2, 0), np.int32)):
        assert np.array_equal(rows.take(wanted), VALUES[wanted])


def test_newer_rows_follow_and_change_nothing_before(rows):
    longer = rows.longer(VALUES[:3] + 1).longer(VALUES[:1] + 2)
    assert (rows.shape, longer.shape) == ((300, 7), (304, 7))
    assert np.array_equal(
        longer.take(np.array([303, 1, 300, 302])), np.stack([VALUES[0] + 2, VALUES[1], VALUES[0] + 1, VALUES[2] + 1])
    )
    assert np.array_equal(rows.take(np.array([299])), VALUES[299:])


def test_what_is_asked_for_again_is_not_read_again(tmp_path):
    rows, often = Cached(filed(tmp_path), 20), np.arange(10, dtype=np.int32)
    for _ in range(9):
        rows.take(often)
    rows.longer(VALUES[:1]).take(often)  # the same cache
    assert (rows.cached.lookups, rows.cached.reads) == (100, 10)
    assert rows.cached.hit_rate == 0.9
    assert rows.nbytes < VALUES.nbytes
    assert Whole(VALUES).cached is None


def test_a_cache_without_room_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds nothing"):
        Cached(filed(tmp_path), -1)


def test_a_ranker_with_few_rows_in_memory_says_the_same(trained):
    whole = trained.scorer
    few = Scorer.load(trained.directory, trained.truth.videos, rows_in_memory=5)
    batch, affinity = request_for(trained, (3, 40))
    assert np.array_equal(few.logits(batch, affinity), whole.logits(batch, affinity))
    assert few.videos.cached.lookups > 120
