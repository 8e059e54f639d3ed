from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from app.shared_arrays import LEAST_BYTES, Arrays
from features.video_state import VideoState

SIZE = LEAST_BYTES // 8


@dataclass(frozen=True)
class Part:
    large: np.ndarray
    small: np.ndarray
    more: object = None


Part.__module__ = "serving.invented"


def part(more=None):
    large = np.arange(SIZE, dtype=np.int64)
    return Part(large, np.arange(3), more)


@pytest.fixture
def arrays(tmp_path):
    return Arrays(tmp_path)


def is_mapped(array):
    return isinstance(array.base, np.memmap)


def test_equal_arrays_become_one_file_and_keep_their_values(arrays, tmp_path):
    first, second = part(), part()
    both = [first, {"again": (second,)}]
    assert arrays.share(both) == 2 * LEAST_BYTES
    assert [is_mapped(each.large) for each in (first, second)] == [True, True]
    assert [is_mapped(each.small) for each in (first, second)] == [False, False]
    assert first.large.tolist() == second.large.tolist() == list(range(SIZE))
    assert len(list(tmp_path.iterdir())) == 1
    assert arrays.share(both) == 0  # nothing is left to replace


def test_workers_that_write_the_same_bytes_at_once_map_one_file(arrays, tmp_path, monkeypatch):
    first, second = part(), part()
    monkeypatch.setattr(Path, "exists", lambda path: False)  # each looks before the other has written
    arrays.share([first])
    (file,) = tmp_path.iterdir()
    before = file.stat().st_ino
    arrays.share([second])
    assert [path.stat().st_ino for path in tmp_path.iterdir()] == [before]
    assert second.large.tolist() == first.large.tolist()


def test_one_array_under_two_names_stays_one(arrays):
    inner = part()
    outer = Part(inner.large, inner.small, inner)
    assert arrays.share(outer) == LEAST_BYTES
    assert outer.large is inner.large


def test_whoever_writes_has_a_copy_of_their_own(arrays):
    first, second = part(), part()
    arrays.share([first, second])
    first.large[5] = -1
    assert (first.large[5], second.large[5]) == (-1, 5)


def test_shapes_and_types_stay(arrays):
    holder = part()
    table = np.arange(SIZE, dtype=np.float32).reshape(-1, 4) + np.float32(0.5)
    object.__setattr__(holder, "more", table)
    wide = np.asfortranarray(np.ones((SIZE, 2)))
    object.__setattr__(holder, "small", wide)
    arrays.share(holder)
    assert (holder.more.shape, holder.more.dtype) == ((SIZE // 4, 4), np.float32) or holder.more is table
    assert np.array_equal(holder.more, table)
    assert holder.small is wide  # the bytes of another order would not be its own


def test_counters_and_what_is_not_ours_are_left_alone(arrays):
    moving = VideoState((), np.zeros((SIZE, 1), dtype=np.int32), np.zeros(1, dtype=np.int64), np.zeros(SIZE, dtype=np.int64))
    foreign = SimpleNamespace()
    foreign.large = np.zeros(SIZE)
    assert arrays.share([moving, foreign]) == 0
