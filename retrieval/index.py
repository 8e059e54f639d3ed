"""Nearest videos to a viewer vector: build, measure, search, save. The only file that knows FAISS.

Small sets are searched exactly. Up to `IndexConfig.flat_below` the vectors lie in inverted lists, of which the nearest are
looked at. Above that the lists hold 4-bit product codes of what a list's centre leaves over, scanned in registers (André et
al., VLDB 2015), and the best few thousand are scored again exactly. On request every vector in 16 bits (memory bounds the
scan), or a graph (HNSW, Malkov & Yashunin 2018), which for hundreds of neighbours at once is slower, and takes minutes to
build where lists take seconds. Scores are inner products, which on the unit vectors demanded here order videos exactly as the
towers do. An approximate index is searched harder and harder until it finds `min_recall` of the exact `recall_at` nearest of
held-out queries; one that never does is refused. A saved index is mapped, not read: processes that open the same one share it.
Vectors that come later are searched exactly beside it and merged (`VectorIndex.extended`): a graph takes none back, so what
is removed stays in it, and callers hide it. Where FAISS sees a GPU, every vector is looked at there instead (`on_gpu`).
Knows rows only, never ids: row i is the i-th vector it was given.
"""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import faiss  # its stubs lag behind its search parameters
import numpy as np
from numpy.typing import NDArray

from core import rng, tensors
from core.errors import BadInput, IndexRefused, ReleaseRefused
from retrieval.config import IndexConfig

EXACT, IVF, IVFPQ, HALF, HNSW = "exact", "ivf", "ivfpq", "half", "hnsw"
_REFINED = 16
"""Vectors scored exactly for each list that is probed."""
_CLUSTERING = 10, 64
"""Rounds of k-means and vectors per list that it looks at, where vectors are many: more made no difference with codes."""
_MOST_ON_GPU = 2_048
"""Neighbours that FAISS selects on a GPU at most."""

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]


class OnGpu:
    """Vectors on a GPU. One search at a time: a GPU's resources serve one thread."""

    def __init__(self, index: Any) -> None:
        self._index, self._turn = index, threading.Lock()

    def search(self, queries: Floats, k: int) -> tuple[Floats, NDArray[np.int64]]:
        """Scores and rows, as FAISS has them."""
        with self._turn:
            scores, rows = self._index.search(queries, k)
        return scores, rows


@dataclass(frozen=True)
class VectorIndex:
    """A searchable set of vectors. Safe for many threads: settings travel with each search."""

    index: Any
    kind: str
    dim: int
    num: int
    effort: int
    """efSearch of hnsw, lists probed by ivf and ivfpq, 0 for a scan."""
    recall: float
    """Measured at build: share of the exact `recall_at` nearest that were found."""
    recall_at: int
    newer: "VectorIndex | None" = None
    """Vectors that came after the build, beside it and searched exactly; their rows follow."""
    gpu: OnGpu | None = None
    """Searched instead."""

    def __len__(self) -> int:
        return self.num + (0 if self.newer is None else len(self.newer))

    @property
    def told(self) -> str:
        """What searches it, and how well, for people."""
        return "every vector on a GPU" if self.gpu else f"{self.kind}, recall@{self.recall_at} {self.recall:.4f}"

    def search(self, queries_BD: Floats, k: int) -> tuple[Floats, Rows]:
        """The k nearest, best first: inner products and rows, both [B, k].

        Where fewer than k are found (k above the number of vectors) rows are −1 and scores −inf.

        Raises:
            BadInput: queries of another length than the vectors, or k < 1.
        """
        if queries_BD.ndim != 2 or queries_BD.shape[1] != self.dim:
            raise BadInput(f"queries of shape {queries_BD.shape} do not fit an index over vectors of {self.dim} numbers")
        if k < 1:
            raise BadInput(f"cannot search for the {k} nearest; k must be at least 1")
        scores = np.full((len(queries_BD), k), -np.inf, dtype=np.float32)
        rows = np.full((len(queries_BD), k), -1, dtype=np.int32)
        reach = min(k, self.num)
        if reach and len(queries_BD):
            with _few_threads(len(queries_BD)):
                found_scores, found = self._searched(np.ascontiguousarray(queries_BD, dtype=np.float32), reach)
            scores[:, :reach] = np.where(found >= 0, found_scores, -np.inf)
            rows[:, :reach] = found
        return (scores, rows) if self.newer is None else self._merged(scores, rows, *self.newer.search(queries_BD, k))

    def harder(self, effort: int) -> "VectorIndex":
        """The same index, searched with another effort and on the CPU; its recall is not known."""
        return replace(self, effort=effort, recall=float("nan"), gpu=None)

    def extended(self, vectors: Floats, config: IndexConfig | None = None, most: float = 0.1) -> "VectorIndex":
        """An index over all of `vectors`, of which the first `num` are in this one.

        The others are kept beside it until they are more than the share `most` of all; then all are indexed anew under
        `config`, unless that index would find too few of its vectors.

        Raises:
            BadInput: fewer vectors than there were, or not of unit norm.
        """
        if len(vectors) < self.num:
            raise BadInput(f"an index over {self.num} vectors cannot be extended to {len(vectors)}")
        if len(vectors) - self.num > most * len(vectors):
            with suppress(IndexRefused):
                return on_gpu(build(vectors, config or IndexConfig(kind=self.kind)), vectors)
        newer = build(vectors[self.num :], IndexConfig(kind=EXACT)) if len(vectors) > self.num else None
        return replace(self, newer=newer)

    def _merged(self, scores_BK: Floats, rows_BK: Rows, newer_scores_BK: Floats, newer_BK: Rows) -> tuple[Floats, Rows]:
        """The k best of both lists; equal scores in the order of rows."""
        scores = np.concatenate([scores_BK, newer_scores_BK], axis=1)
        rows = np.concatenate([rows_BK, np.where(newer_BK >= 0, newer_BK + self.num, -1)], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, : scores_BK.shape[1]]
        return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1).astype(np.int32)

    def touch(self) -> None:
        """Have the vectors at hand that are scored exactly, thousands for each search (`core.tensors.touch`)."""
        if self.kind == IVFPQ and self.gpu is None:
            flat: Any = faiss.downcast_index(self.index.refine_index)
            tensors.touch(faiss.rev_swig_ptr(flat.get_xb(), self.num * self.dim))

    def save(self, path: Path) -> None:
        """Write `path` and, beside it, `<stem>.json` with what the index was measured to be.

        Raises:
            BadInput: there are newer vectors beside it, which a release cannot hold.
        """
        if self.newer is not None:
            raise BadInput("an index with newer vectors beside it is not saved: build one over all of them")
        faiss.write_index(self.index, str(path))
        names = ("kind", "dim", "num", "effort", "recall", "recall_at")
        _facts_path(path).write_text(json.dumps({name: getattr(self, name) for name in names}, indent=1))

    def _searched(self, queries: Floats, k: int) -> tuple[Floats, NDArray[np.int64]]:
        if self.gpu is not None and k <= _MOST_ON_GPU:
            return self.gpu.search(queries, k)
        scores, rows = self.index.search(queries, k, params=self._parameters(k))
        return scores, rows

    @cached_property
    def _num_lists(self) -> int:
        return int(faiss.extract_index_ivf(self.index).nlist)

    def _parameters(self, k: int) -> Any:
        if self.kind == HNSW:
            return faiss.SearchParametersHNSW(efSearch=max(self.effort, k))  # type: ignore[attr-defined]
        if self.kind in (IVF, IVFPQ):
            # More lists than there are must not be asked for: residual codes then score what does not exist.
            lists = faiss.SearchParametersIVF(nprobe=min(self.effort, self._num_lists))  # type: ignore[call-arg]
            if self.kind == IVF:
                return lists
            refine: Any = faiss.IndexRefineSearchParameters
            return refine(k_factor=max(_REFINED * self.effort / k, 1.0), base_index_params=lists)
        return None


def build(vectors: Floats, config: IndexConfig, queries: Floats | None = None) -> VectorIndex:
    """Index unit vectors and measure it.

    Args:
        vectors: [V, D] of unit norm.
        config: which index, and the recall it must reach.
        queries: [Q, D] held-out queries to measure with, best the vectors of real viewers; None draws
            directions between random videos, which are not themselves in the index.

    Raises:
        BadInput: vectors are not a matrix of finite unit vectors.
        IndexRefused: recall stays below `config.min_recall` at `config.max_effort`.
    """
    vectors = _checked(vectors)
    kind = served_kind(len(vectors), config)
    if kind == EXACT or not len(vectors):
        exact = faiss.IndexFlatIP(vectors.shape[1])
        exact.add(vectors)
        return VectorIndex(exact, EXACT, vectors.shape[1], len(vectors), 0, 1.0, config.recall_at)
    raw = {IVF: _ivf, IVFPQ: _ivfpq, HALF: _half, HNSW: _hnsw}[kind](vectors, config)
    queries = _held_out(vectors, config) if queries is None else queries[: config.recall_queries]
    return _tuned(raw, kind, vectors, queries, config)


def load(path: Path) -> VectorIndex:
    """The inverse of `VectorIndex.save`.

    Raises:
        ReleaseRefused: a file is missing, unreadable, or the two do not belong together.
    """
    try:
        facts = json.loads(_facts_path(path).read_text())
        loaded = VectorIndex(index=faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC), **facts)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ReleaseRefused(f"the index at {path} cannot be opened: {error}") from error
    if (loaded.index.d, loaded.index.ntotal) != (loaded.dim, loaded.num):
        raise ReleaseRefused(f"the index at {path} holds other vectors than {_facts_path(path).name} says")
    return loaded


def measured_recall(index: VectorIndex, vectors: Floats, queries: Floats, k: int) -> float:
    """Share of the exact k nearest among the k that `index` returns, averaged over queries."""
    return _share_found(index, queries, _nearest(vectors, queries, k))


def _nearest(vectors: Floats, queries: Floats, k: int) -> NDArray[np.int64]:
    """Rows of the exact k nearest. [Q, ≤ k]"""
    exact = faiss.IndexFlatIP(vectors.shape[1])
    exact.add(vectors)
    return np.asarray(exact.search(np.ascontiguousarray(queries, dtype=np.float32), min(k, len(vectors)))[1])


def _share_found(index: VectorIndex, queries: Floats, wanted_QK: NDArray[np.int64]) -> float:
    k = wanted_QK.shape[1]
    found = index.search(queries, k)[1]
    return float(np.mean([len(np.intersect1d(w, f)) / k for w, f in zip(wanted_QK, found, strict=True)]))


def num_gpus() -> int:
    """GPUs that this FAISS sees; none where it was built for CPUs."""
    return int(faiss.get_num_gpus()) if hasattr(faiss, "GpuIndexFlatIP") else 0


def on_gpu(index: VectorIndex, vectors: Floats) -> VectorIndex:
    """The index with its vectors on the first GPU, where there is one with room for them, and searched there, exactly.

    Not run here, where there is no GPU: tests stand one in.
    """
    if not num_gpus() or not index.num:
        return index
    try:
        flat = faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), index.dim)
        flat.add(np.ascontiguousarray(vectors[: index.num], dtype=np.float32))
    except RuntimeError as error:  # FAISS says so when memory runs out
        logging.getLogger("upnext.retrieval").warning("searching on the CPU, the GPU did not take the vectors: %s", error)
        return index
    return replace(index, gpu=OnGpu(flat))


def _checked(vectors: Floats) -> Floats:
    if vectors.ndim != 2 or not vectors.shape[1]:
        raise BadInput(f"an index needs a matrix of vectors, got shape {vectors.shape}")
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(vectors, axis=1)
    if len(vectors) and not np.all(np.abs(norms - 1.0) < 1e-3):
        worst = int(np.argmax(np.abs(np.nan_to_num(norms, nan=np.inf) - 1.0)))
        raise BadInput(f"an index needs unit vectors; row {worst} has norm {norms[worst]:.4g}: normalise them first")
    return vectors


def served_kind(num: int, config: IndexConfig) -> str:
    """The kind of index that `build` makes over so many vectors."""
    if config.kind != "auto":
        return config.kind
    return EXACT if num < config.exact_below else IVF if num < config.flat_below else IVFPQ


def _half(vectors: Floats, config: IndexConfig) -> Any:
    index = faiss.IndexScalarQuantizer(vectors.shape[1], faiss.ScalarQuantizer.QT_bf16, faiss.METRIC_INNER_PRODUCT)
    index.add(vectors)
    return index


def _hnsw(vectors: Floats, config: IndexConfig) -> Any:
    index = faiss.IndexHNSWFlat(vectors.shape[1], config.hnsw_links, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = config.hnsw_build_depth
    index.add(vectors)
    return index


def _ivf(vectors: Floats, config: IndexConfig) -> Any:
    index = faiss.index_factory(vectors.shape[1], f"IVF{_num_lists(vectors, config)},Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    return index


def _ivfpq(vectors: Floats, config: IndexConfig) -> Any:
    dim, parts = vectors.shape[1], config.pq_parts or max(vectors.shape[1] // 2, 1)
    index = faiss.index_factory(dim, f"IVF{_num_lists(vectors, config)},PQ{parts}x4fsr,RFlat", faiss.METRIC_INNER_PRODUCT)
    clustering = faiss.extract_index_ivf(index).cp
    clustering.niter, clustering.max_points_per_centroid = _CLUSTERING
    index.train(vectors)
    index.add(vectors)
    return index


def _num_lists(vectors: Floats, config: IndexConfig) -> int:
    return config.ivf_lists or max(1, round(len(vectors) ** 0.5))


def _tuned(raw: Any, kind: str, vectors: Floats, queries: Floats, config: IndexConfig) -> VectorIndex:
    effort, wanted = 0 if kind == HALF else config.effort, _nearest(vectors, queries, config.recall_at)
    while True:
        index = VectorIndex(raw, kind, vectors.shape[1], len(vectors), effort, 0.0, config.recall_at)
        recall = _share_found(index, queries, wanted)
        if recall >= config.min_recall:
            return replace(index, recall=recall)
        harder = effort + max(effort // 4, 1)  # a doubled effort would often find more than anybody asked for, and cost it
        if kind == HALF or harder > config.max_effort:
            raise IndexRefused(
                f"{kind} finds {recall:.3f} of the exact {config.recall_at} nearest at effort {effort}, "
                f"below {config.min_recall}: raise max_effort or hnsw_links, or use kind=exact"
            )
        effort = harder


def _held_out(vectors: Floats, config: IndexConfig) -> Floats:
    """Directions between three random videos each, as a viewer with mixed taste is."""
    chosen = rng.stream(config.seed, "index recall").integers(0, len(vectors), size=(config.recall_queries, 3))
    mixed = vectors[chosen].sum(axis=1)
    return (mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-9)).astype(np.float32)


@contextmanager
def _few_threads(num_queries: int) -> Iterator[None]:
    """One thread for one query: waking a team costs more than it saves. OpenMP keeps this number per calling thread."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1 if num_queries == 1 else before)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _facts_path(path: Path) -> Path:
    return path.with_suffix(".json")
