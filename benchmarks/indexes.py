"""Which index? Recall against searches a second: FAISS's indexes and three other libraries, over vectors that our towers made.

    pip install hnswlib usearch scann                        # optional: what is missing is said under `omitted`
    python -m benchmarks.indexes --videos 1000000 --k 500 --without hnsw usearch --picture indexes.svg

Vectors are those of an enlarged release (`benchmarks.enlarged`), since well separated random clusters would prove nothing;
queries are vectors of its viewers. One query at a time on one thread, as a request comes; every index is searched harder and
harder. Recall@100 is the share of the exact 100 nearest among the k found: a ranker wants hundreds of neighbours, which is not
what published comparisons of these libraries ask for. `best` is the fastest of each at a recall of .99, `gap` how many times as
long the served index takes as the fastest of all. Searches are timed in processor time, which busy neighbours disturb less than
the clock; `fast_ms` is the tenth percentile, which they disturb least. A graph over a million vectors takes tens of minutes to
build: `--without` leaves kinds out.

Shape legend: V videos, Q queries, D vector size.
"""

import importlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks import plot, results_file
from benchmarks.enlarged import enlarge
from core import settings
from core.policy import Request
from features.layered_store import LayeredStore
from features.memory_store import MemoryStore
from pipelines import spaces
from pipelines.progress import Stages
from retrieval import index as indexes
from retrieval.config import IndexConfig
from serving.activity import LiveActivity
from serving.live import go_live
from serving.releases import load_release

MIN_RECALL, RECALL_AT, LEAST_DRAWN = 0.99, 100, 0.9
TUNED_ON, TIMED = 200, 400
_LISTS, _DEPTHS = (8, 16, 32, 64, 128, 256), (512, 1_024, 2_048, 4_096)
"""Efforts: lists probed, and depths of the search in a graph."""
SEED = 1

Floats = NDArray[np.float32]
Search = Callable[[Floats, int], Any]
"""(query [1, D], effort) → rows, best first."""


@dataclass(frozen=True)
class Contender:
    """One kind of index."""

    name: str
    build: Callable[[Floats, int], Search]
    """(vectors [V, D], k) → search."""
    efforts: tuple[int, ...]
    """What is tried, each searching harder than the one before."""


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--videos", type=int, default=1_000_000, help="size of the catalogue")
    parser.add_argument("--k", type=int, default=500, help="neighbours asked for")
    parser.add_argument("--space", default=None, help="dataset whose live release is enlarged; the last trained one by default")
    parser.add_argument("--without", nargs="*", default=[], choices=sorted(_ALL), help="kinds that are left out")
    parser.add_argument("--picture", type=Path, default=None, help="draw recall against searches a second into this SVG")
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(1)
    with threadpool_limits(1):
        result = measure(arguments.videos, arguments.k, arguments.space, arguments.without)
    results_file.keep(f"indexes-{arguments.videos}-k{arguments.k}", result, arguments)
    if arguments.picture is not None:
        arguments.picture.write_text(picture(result))


def measure(num_videos: int, k: int, name: str | None, without: Collection[str] = ()) -> dict[str, Any]:
    """Every contender over the same vectors and queries; a catalogue that is not larger than the space's own is that one."""
    environment = settings.load()
    space = spaces.current(environment.var_dir, name)
    if num_videos > _num_videos(space):
        space = enlarge(environment.var_dir, space, num_videos)
    vectors, queries = _vectors(space)
    omitted = {module: "not installed" for module in _LIBRARIES if _module(module) is None} | dict.fromkeys(without, "left out")
    chosen = [contender for name, contender in _ALL.items() if name not in omitted]
    return {**compare(vectors, queries, k, chosen), "omitted": omitted}


def compare(vectors: Floats, queries: Floats, k: int, contenders: list[Contender]) -> dict[str, Any]:
    """The table: of each contender, its points and the fastest that finds enough."""
    wanted = _exact(vectors)(queries, RECALL_AT)
    found = {}
    stages = Stages()
    for contender in contenders:
        with stages(contender.name):
            found[contender.name] = _curve(contender, vectors, queries, wanted, k)
    best = {name: min(good, key=lambda point: point["ms"]) for name, each in found.items() if (good := _good(each["points"]))}
    fastest = min(best, key=lambda name: best[name]["ms"])
    served = indexes.served_kind(len(vectors), IndexConfig())
    gap = {"fastest": fastest, "served": served, "times": best[served]["ms"] / best[fastest]["ms"] if served in best else None}
    return {"videos": len(vectors), "k": k, "indexes": found, "best": best, "gap": gap}


def picture(result: Mapping[str, Any]) -> str:
    """Recall against searches a second of one result, as SVG; further right finds more, further up is faster."""
    recall = next(name for each in result["indexes"].values() for name in each["points"][0] if name.startswith("recall"))
    series = {
        name: [plot.Point(point[recall], point["per_s"]) for point in each["points"] if point[recall] >= LEAST_DRAWN]
        for name, each in result["indexes"].items()
    }
    title = f"{result['videos']:,} videos, {result['k']} neighbours, one thread"
    ticks = {tick: f"{tick:g}" for tick in (0.9, 0.92, 0.94, 0.96, 0.98, 1.0)}
    return plot.draw([plot.Panel(title, recall, "searches a second", series, ticks, log_y=True)])


def _curve(contender: Contender, vectors: Floats, queries: Floats, wanted: NDArray[np.int64], k: int) -> dict[str, Any]:
    began = time.process_time()
    search = contender.build(vectors, k)
    build_s, points = time.process_time() - began, []
    for effort in contender.efforts:
        rows = [np.asarray(search(queries[i : i + 1], effort)).ravel() for i in range(TUNED_ON)]
        recall = float(np.mean([np.isin(wanted[i], rows[i]).mean() for i in range(TUNED_ON)]))
        points.append({"effort": effort, f"recall@{RECALL_AT}": round(recall, 4), **_timed(search, queries, effort)})
        if recall > 0.999:
            break
    return {"build_s": round(build_s, 1), "points": points}


def _timed(search: Search, queries: Floats, effort: int) -> dict[str, float]:
    took = []
    for number in range(TIMED):
        place = number % len(queries)
        began = time.process_time()
        search(queries[place : place + 1], effort)
        took.append(time.process_time() - began)
    median, fast = np.percentile(took, [50, 10]).tolist()
    return {"ms": round(median * 1e3, 3), "fast_ms": round(fast * 1e3, 3), "per_s": round(1 / median, 1)}


def _good(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [point for point in points if point[f"recall@{RECALL_AT}"] >= MIN_RECALL]


def _vectors(space: spaces.Space) -> tuple[Floats, Floats]:
    """All videos' vectors, and those of some viewers."""
    loaded = load_release(space.releases, (space.releases / "live").read_text().strip())
    live = go_live(loaded, LayeredStore(loaded.viewer_states(), MemoryStore()), fill_store=False)
    viewer_ids = loaded.viewers.viewer_ids[:: max(len(loaded.viewers) // TIMED, 1)][:TIMED].tolist()
    recommender = loaded.recommender(live.features, videos=LiveActivity(loaded.video_state))
    found = [recommender.retrieve([Request("q", viewer, loaded.end_at + 1)]).query.viewer_BD for viewer in viewer_ids]
    return loaded.video_VD, np.concatenate([each for each in found if each is not None])


def _exact(vectors: Floats) -> Callable[[Floats, int], NDArray[np.int64]]:
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    return lambda queries, k: flat.search(queries, k)[1]


def _ours(vectors: Floats, k: int, kind: Literal["exact", "ivf", "ivfpq", "half", "hnsw"]) -> Search:
    built = indexes.build(vectors, IndexConfig(kind=kind, min_recall=0.0))
    return lambda query, effort: built.harder(effort).search(query, k)[1]


def _hnswlib(vectors: Floats, k: int) -> Search:
    index = importlib.import_module("hnswlib").Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), ef_construction=200, M=32, random_seed=SEED)
    index.set_num_threads(1)
    index.add_items(vectors)

    def search(query: Floats, effort: int) -> Any:
        index.set_ef(max(effort, k))
        return index.knn_query(query, k=k)[0]

    return search


def _usearch(vectors: Floats, k: int) -> Search:
    library = importlib.import_module("usearch.index")
    index = library.Index(ndim=vectors.shape[1], metric="ip", dtype="f16", connectivity=32, expansion_add=200)
    index.add(np.arange(len(vectors)), vectors, threads=1)

    def search(query: Floats, effort: int) -> Any:
        index.expansion_search = max(effort, k)
        return index.search(query[0], k, threads=1).keys

    return search


def _scann(vectors: Floats, k: int) -> Search:
    builder = importlib.import_module("scann").scann_ops_pybind.builder
    lists = round(len(vectors) ** 0.5)
    index = (
        builder(vectors, k, "dot_product")
        .tree(num_leaves=lists, num_leaves_to_search=64, training_sample_size=min(len(vectors), 250_000))
        .score_ah(2, anisotropic_quantization_threshold=0.2)
        .reorder(2_000)
        .build()
    )
    return lambda query, effort: index.search(
        query[0], final_num_neighbors=k, leaves_to_search=effort, pre_reorder_num_neighbors=max(32 * effort, 2 * k)
    )[0]


def _num_videos(space: spaces.Space) -> int:
    return len(load_release(space.releases, (space.releases / "live").read_text().strip()).catalogue)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


_LIBRARIES = ("hnswlib", "usearch", "scann")
_ALL = {
    contender.name: contender
    for contender in (
        Contender("exact", lambda vectors, k: _ours(vectors, k, "exact"), (0,)),
        Contender("half", lambda vectors, k: _ours(vectors, k, "half"), (0,)),
        Contender("ivfpq", lambda vectors, k: _ours(vectors, k, "ivfpq"), _LISTS),
        Contender("ivf", lambda vectors, k: _ours(vectors, k, "ivf"), _LISTS),
        Contender("scann", _scann, _LISTS),
        Contender("hnsw", lambda vectors, k: _ours(vectors, k, "hnsw"), _DEPTHS),
        Contender("hnswlib", _hnswlib, _DEPTHS),
        Contender("usearch", _usearch, _DEPTHS),
    )
}
"""FAISS's as `retrieval.index` builds them, and other libraries."""

if __name__ == "__main__":
    main()
