import threading

import faiss
import numpy as np
import pytest

from core.errors import BadInput, ConfigError, IndexRefused, ReleaseRefused
from retrieval import index as indexes
from retrieval.config import IndexConfig


def unit(num, dim=16, seed=0):
    drawn = np.random.default_rng(seed).normal(size=(num, dim)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def clustered(num, dim=16, seed=0):
    random = np.random.default_rng(seed)
    centres = random.normal(size=(20, dim))
    drawn = (centres[random.integers(0, 20, num)] + 0.5 * random.normal(size=(num, dim))).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_exact_neighbours_are_the_argsort_of_the_score():
    vectors, queries = unit(500), unit(7, seed=1)
    scores, rows = indexes.build(vectors, IndexConfig()).search(queries, 20)
    truth = queries @ vectors.T
    assert np.array_equal(rows, np.argsort(-truth, axis=1, kind="stable")[:, :20])
    np.testing.assert_allclose(scores, np.take_along_axis(truth, rows, axis=1), atol=1e-6)
    assert rows.dtype == np.int32
    assert scores.dtype == np.float32


@pytest.mark.parametrize("kind", ["exact", "ivf", "ivfpq", "half", "hnsw"])
def test_every_kind_reaches_its_bound_and_survives_saving(kind, tmp_path):
    vectors = clustered(1500)
    config = IndexConfig(kind=kind, ivf_lists=8, effort=8, recall_queries=50)
    built = indexes.build(vectors, config)
    assert built.recall >= 0.99
    assert built.recall == pytest.approx(indexes.measured_recall(built, vectors, clustered(50, seed=3), 100), abs=0.02)
    built.save(tmp_path / "index.faiss")
    loaded = indexes.load(tmp_path / "index.faiss")
    assert (loaded.kind, loaded.recall, len(loaded)) == (kind, built.recall, 1500)
    queries = unit(5, seed=2)
    for mine, theirs in zip(built.search(queries, 30), loaded.search(queries, 30), strict=True):
        assert np.array_equal(mine, theirs)


def test_size_decides_the_kind():
    vectors = clustered(300)
    assert indexes.build(vectors, IndexConfig(exact_below=301)).kind == "exact"
    assert indexes.build(vectors, IndexConfig(exact_below=300)).kind == "ivf"
    assert indexes.build(vectors, IndexConfig(exact_below=0, flat_below=300)).kind == "ivfpq"


@pytest.mark.parametrize("kind", ["ivf", "ivfpq"])
def test_more_lists_than_there_are_find_everything(kind):
    vectors, queries = clustered(1500), unit(20, seed=5)
    built = indexes.build(vectors, IndexConfig(kind=kind, ivf_lists=8))
    assert indexes.measured_recall(built.harder(500), vectors, queries, 50) == 1.0


def test_an_index_that_misses_is_refused():
    config = IndexConfig(kind="hnsw", hnsw_links=2, hnsw_build_depth=4, effort=1, max_effort=1, recall_at=10)
    with pytest.raises(IndexRefused, match="kind=exact"):
        indexes.build(unit(3000, dim=64), config)


@pytest.mark.parametrize("kind", ["exact", "hnsw"])
def test_more_asked_than_there_is_pads(kind):
    scores, rows = indexes.build(unit(3), IndexConfig(kind=kind)).search(unit(2, seed=1), 5)
    assert sorted(rows[0, :3]) == [0, 1, 2]
    assert (rows[:, 3:] == -1).all()
    assert np.isneginf(scores[:, 3:]).all()


def test_an_empty_index_finds_nothing():
    scores, rows = indexes.build(np.zeros((0, 16), np.float32), IndexConfig(kind="hnsw")).search(unit(2), 3)
    assert (rows == -1).all()
    assert np.isneginf(scores).all()


def test_no_queries_no_rows():
    scores, rows = indexes.build(unit(10), IndexConfig()).search(np.zeros((0, 16), np.float32), 3)
    assert scores.shape == rows.shape == (0, 3)


def test_wrong_shapes_are_bad_input():
    built = indexes.build(unit(10), IndexConfig())
    with pytest.raises(BadInput, match="16 numbers"):
        built.search(unit(1, dim=8), 3)
    with pytest.raises(BadInput, match="16 numbers"):
        built.search(unit(1)[0], 3)
    with pytest.raises(BadInput, match="at least 1"):
        built.search(unit(1), 0)


def test_only_unit_vectors_are_indexed():
    vectors = unit(10)
    vectors[4] *= 2
    with pytest.raises(BadInput, match="row 4 has norm 2"):
        indexes.build(vectors, IndexConfig())
    vectors[4] = np.nan
    with pytest.raises(BadInput, match="row 4"):
        indexes.build(vectors, IndexConfig())
    with pytest.raises(BadInput, match="matrix"):
        indexes.build(vectors[0], IndexConfig())


def test_damaged_files_are_refused(tmp_path):
    with pytest.raises(ReleaseRefused):
        indexes.load(tmp_path / "index.faiss")
    indexes.build(unit(10), IndexConfig()).save(tmp_path / "index.faiss")
    indexes.build(unit(11), IndexConfig()).save(tmp_path / "other.faiss")
    (tmp_path / "other.faiss").rename(tmp_path / "index.faiss")
    with pytest.raises(ReleaseRefused, match="other vectors"):
        indexes.load(tmp_path / "index.faiss")
    (tmp_path / "index.faiss").write_bytes(b"nothing")
    with pytest.raises(ReleaseRefused):
        indexes.load(tmp_path / "index.faiss")


def test_threads_share_one_index():
    vectors, queries = clustered(1000), unit(40, seed=4)
    built = indexes.build(vectors, IndexConfig(kind="hnsw"))
    _, expected = built.search(queries, 10)
    found = np.zeros_like(expected)

    def work(part):
        for i in part:
            found[i] = built.search(queries[i : i + 1], 10)[1][0]

    threads = [threading.Thread(target=work, args=(range(start, 40, 4),)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(found, expected)


def test_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match="none of"):
        IndexConfig(kind="annoy")


def test_newer_vectors_are_searched_exactly_with_the_others_in_one_call():
    vectors, queries = unit(1_000), unit(20, seed=1)
    main = indexes.build(vectors[:950], IndexConfig(kind="exact"))
    whole = main.extended(vectors)
    assert (len(whole), len(whole.newer)) == (1_000, 50)
    scores, rows = whole.search(queries, 30)
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :30]
    assert np.array_equal(rows, expected)
    assert np.allclose(scores, np.take_along_axis(queries @ vectors.T, expected, axis=1), atol=1e-6)
    assert (rows >= 950).any()


def test_newer_vectors_beyond_their_share_are_indexed_with_the_others():
    vectors = unit(1_000)
    main = indexes.build(vectors[:800], IndexConfig(kind="exact"))
    assert main.extended(vectors[:880]).newer is not None
    again = main.extended(vectors)
    assert (again.num, again.newer) == (1_000, None)
    assert main.extended(vectors[:800]).newer is None


def test_fewer_vectors_than_there_were_are_refused_and_an_extended_index_is_not_saved(tmp_path):
    vectors = unit(100)
    main = indexes.build(vectors[:95], IndexConfig(kind="exact"))
    with pytest.raises(BadInput, match="cannot be extended"):
        main.extended(vectors[:90])
    with pytest.raises(BadInput, match="is not saved"):
        main.extended(vectors).save(tmp_path / "index.faiss")


def test_k_above_all_vectors_pads_at_the_end_of_the_merged_list():
    vectors = unit(41)
    whole = indexes.build(vectors[:40], IndexConfig(kind="exact")).extended(vectors)
    scores, rows = whole.search(vectors[:3], 60)
    assert sorted(rows[0, :41].tolist()) == list(range(41))
    assert (rows[:, 41:] == -1).all()
    assert np.isneginf(scores[:, 41:]).all()


@pytest.fixture
def a_gpu(monkeypatch):
    """Stands in for FAISS built for GPUs: a flat index that counts its searches. Returns the counts by number of neighbours."""
    searched = []

    class Flat(faiss.IndexFlatIP):
        def __init__(self, resources, dim):
            super().__init__(dim)

        def search(self, queries, k):
            searched.append(k)
            return super().search(queries, k)

    monkeypatch.setattr(faiss, "GpuIndexFlatIP", Flat, raising=False)
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1, raising=False)
    return searched


def test_without_a_gpu_nothing_changes():
    vectors = unit(50)
    index = indexes.build(vectors, IndexConfig())
    assert indexes.num_gpus() == 0
    assert indexes.on_gpu(index, vectors) is index


@pytest.mark.parametrize("kind", ["exact", "ivf", "ivfpq"])
def test_where_there_is_a_gpu_every_vector_is_looked_at_there(a_gpu, kind):
    vectors, queries = clustered(3_000), clustered(5, seed=4)
    slow = indexes.build(vectors, IndexConfig(kind=kind, ivf_lists=8, effort=8, min_recall=0.5))
    fast = indexes.on_gpu(slow, vectors)
    assert np.array_equal(fast.search(queries, 40)[1], np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :40])
    assert (a_gpu, fast.told, len(fast)) == ([40], "every vector on a GPU", 3_000)
    np.testing.assert_array_equal(fast.search(queries, 2_049)[1], slow.search(queries, 2_049)[1])
    assert a_gpu == [40], "a GPU selects no more than 2,048"
    assert fast.harder(4).gpu is None


def test_later_vectors_are_found_beside_a_gpu_and_then_on_it(a_gpu):
    vectors = clustered(400)
    index = indexes.on_gpu(indexes.build(vectors[:300], IndexConfig()), vectors[:300])
    beside, whole = index.extended(vectors, most=0.5), index.extended(vectors, most=0.1)
    assert (beside.gpu is index.gpu, len(beside.newer), whole.newer) == (True, 100, None)
    truth = np.argsort(-(vectors[:4] @ vectors.T), axis=1, kind="stable")[:, :10]
    assert np.array_equal(beside.search(vectors[:4], 10)[1], truth)
    assert np.array_equal(whole.search(vectors[:4], 10)[1], truth)
    assert a_gpu == [10, 10]


def test_a_gpu_without_room_leaves_the_index_on_the_cpu(a_gpu, monkeypatch, caplog):
    def full(self, vectors):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(faiss.GpuIndexFlatIP, "add", full)
    vectors = unit(50)
    index = indexes.build(vectors, IndexConfig())
    assert indexes.on_gpu(index, vectors) is index
    assert "the GPU did not take the vectors: out of memory" in caplog.text
