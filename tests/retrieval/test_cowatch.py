import numpy as np
import pytest

from core.errors import BadInput
from data.interactions import group
from retrieval import cowatch
from retrieval.cowatch import CoWatch, CoWatchConfig


def log(sequences, num_videos=6, ordered=True):
    viewers = np.repeat(np.arange(len(sequences)), [len(s) for s in sequences])
    rows = np.concatenate([np.array(s, dtype=np.int32) for s in sequences])
    return group(viewers.astype(np.int64), rows, np.arange(len(rows), dtype=np.int64), num_videos, ordered=ordered)


def test_similarity_is_the_formula():
    found = cowatch.build(log([[0, 1, 2], [0, 1]]), CoWatchConfig(window=2, backward=0.5, shrink=5.0, top=3))
    # 0→1: two pairs at distance 1, forward. n_0 = n_1 = 2.
    assert found.rows_VN[0].tolist() == [1, 2, -1]
    assert found.weights_VN[0, 0] == pytest.approx(2.0 / (np.sqrt(2 * 2) + 5))
    # 0→2: one pair at distance 2. n_2 = 1.
    assert found.weights_VN[0, 1] == pytest.approx(0.5 / (np.sqrt(2 * 1) + 5))
    # 1→0 counts half of 0→1; 1→2 one pair at distance 1.
    assert found.rows_VN[1].tolist() == [2, 0, -1]
    assert found.weights_VN[1, 1] == pytest.approx(1.0 / (np.sqrt(2 * 2) + 5))


def test_pairs_end_at_the_window_and_at_the_viewer():
    found = cowatch.build(log([[0, 1, 2], [3, 4]]), CoWatchConfig(window=1, top=5))
    assert set(found.rows_VN[0]) == {1, -1}
    assert set(found.rows_VN[2]) == {1, -1}
    assert set(found.rows_VN[3]) == {4, -1}


def test_nobody_is_their_own_neighbour_and_unwatched_videos_have_none():
    found = cowatch.build(log([[0, 0, 1, 0]]), CoWatchConfig(top=4))
    assert 0 not in found.rows_VN[0]
    assert (found.rows_VN[5] == -1).all()
    assert (found.weights_VN[5] == 0).all()


def test_a_log_without_order_counts_sets_symmetrically():
    found = cowatch.build(log([[0, 1, 2, 1], [2, 0]], ordered=False), CoWatchConfig(shrink=0.0, top=2))
    assert found.rows_VN[0].tolist() == [2, 1]
    assert found.weights_VN[0, 0] == pytest.approx(2 / np.sqrt(2 * 2))


def test_neighbours_come_best_first_and_only_top_of_them():
    rng = np.random.default_rng(0)
    found = cowatch.build(log([rng.integers(0, 30, 40).tolist() for _ in range(20)], 30), CoWatchConfig(top=7))
    assert found.rows_VN.shape == (30, 7)
    assert (np.diff(found.weights_VN, axis=1) <= 0).all()
    assert all(len(set(line[line >= 0])) == (line >= 0).sum() for line in found.rows_VN)


def test_save_and_load(tmp_path):
    found = cowatch.build(log([[0, 1, 2]]))
    found.save(tmp_path)
    loaded = CoWatch.load(tmp_path)
    assert np.array_equal(loaded.rows_VN, found.rows_VN)
    assert np.array_equal(loaded.weights_VN, found.weights_VN)


def test_a_file_with_other_tensors_is_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file({"rows": np.zeros((2, 2), dtype=np.int32)}, tmp_path / cowatch.FILE)
    with pytest.raises(BadInput, match="publish"):
        CoWatch.load(tmp_path)
