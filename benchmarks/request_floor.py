"""How far is a page from the arithmetic it cannot do without? The bare kernels of a request, and the whole request, in one run.

    python -m benchmarks.request_floor --videos 1000000 --json floor.json

The floor is the sum of what no server can leave out, each by the fastest implementation that is installed here, on one thread:

    index        the nearest videos at the served recall: the served index, or a scan in 16 bits, whichever is faster
    store        one exchange over a socket for the same bytes of viewer state that is newer than the process, not parsed
    gather       the ranker's rows of 500 candidates out of the tables of all videos
    ranker       the network over 500 candidates: ONNX Runtime, or PyTorch over the same graph's matrices in bf16
    json         the bytes of the page
    http         an empty exchange with the same server

`whole_ms` is the median of whole exchanges with the running service, one after the other on one connection, so it holds all of
the server's time and the client's way through the loopback as `http` does. Served is `upnext serve` with a release of that
many videos (`benchmarks.enlarged`). Times are wall-clock medians: leave the machine alone meanwhile.
"""

import http.client
import json
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
import numpy as np
import onnx
import orjson
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from threadpoolctl import threadpool_limits

from benchmarks import load, results_file
from benchmarks.enlarged import enlarge
from core import rng, settings
from core.policy import Request
from features import redis_server
from features.layered_store import LayeredStore
from features.redis_store import RedisStore
from pipelines import spaces
from pipelines.spaces import Space
from ranking.scorer import GRAPH
from retrieval import index as indexes
from retrieval.config import IndexConfig
from serving.activity import LiveActivity
from serving.candidates import CandidateSet
from serving.live import LiveRelease, go_live
from serving.releases import load_release

REPEATS, WARM_UP, SAMPLE, VIEWERS = 600, 100, 200, 2_000
MIN_RECALL = 0.99
NAMESPACE = "floor"


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--videos", type=int, default=1_000_000, help="size of the catalogue")
    parser.add_argument("--space", default=None, help="dataset whose live release is enlarged; the last trained one by default")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        result = measure(arguments.videos, arguments.space)
    print(json.dumps(result, indent=1))
    results_file.keep(f"request-floor-{arguments.videos}", result, arguments)


def measure(num_videos: int, name: str | None) -> dict[str, Any]:
    """The service first, alone on the machine; then the kernels."""
    environment = settings.load()
    source = spaces.current(environment.var_dir, name)
    space = enlarge(environment.var_dir, source, num_videos)
    whole_ms, http_ms, body = _served(space)
    with redis_server.running(environment) as url:
        store = RedisStore(url, namespace=NAMESPACE, timeout_s=5.0)
        loaded = load_release(space.releases, (space.releases / "live").read_text().strip())
        live = go_live(loaded, LayeredStore(loaded.viewer_states(), store), fill_store=False)
        kernels, choices, recall = _kernels(live, url, body)
    kernels["http"] = http_ms
    floor_ms = sum(kernels.values())
    return {
        "videos": num_videos,
        "floor_ms": round(floor_ms, 3),
        "whole_ms": round(whole_ms, 3),
        "ratio": round(whole_ms / floor_ms, 2),
        "kernels": {kernel: round(ms, 3) for kernel, ms in kernels.items()},
        "implementations": choices,
        "recall@100": round(recall, 4),
    }


def _served(space: Space) -> tuple[float, float, bytes]:
    """Median milliseconds of a page and of an empty exchange with the running service, and a page's body."""
    with load.service(space.name) as (port, _):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        viewers = iter(rng.stream(1, "floor viewers").integers(1, VIEWERS, 10 * REPEATS).tolist())
        body = _get(connection, f"/recommend?viewer_id={next(viewers)}&k=10")
        whole_ms = _median_ms(lambda: _get(connection, f"/recommend?viewer_id={next(viewers)}&k=10"))
        return whole_ms, _median_ms(lambda: _get(connection, "/healthz")), body


def _get(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path} answered {answer.status}")
    return body


def _kernels(live: LiveRelease, url: str, body: bytes) -> tuple[dict[str, float], dict[str, str], float]:
    """Milliseconds of each kernel with the inputs of real requests, what was fastest, and the index's recall."""
    viewer_ids = live.loaded.viewers.viewer_ids[:SAMPLE].tolist()
    requests = [Request(str(i), viewer, live.loaded.end_at + 1, k=10) for i, viewer in enumerate(viewer_ids)]
    recommender = live.loaded.recommender(live.features, videos=LiveActivity(live.loaded.video_state))
    found = [recommender.retrieve([request]) for request in requests]
    index_ms, index_name, recall = _index(live, np.concatenate([each.query.viewer_BD for each in found]))
    ranker_ms, ranker_name = _ranker(live, found[0])
    page = orjson.loads(body)
    kernels = {
        "index": index_ms,
        "store": _store(url, viewer_ids),
        "gather": _gather(live, [each.rows_BK for each in found]),
        "ranker": ranker_ms,
        "json": _median_ms(lambda: orjson.dumps(page)),
    }
    return kernels, {"index": index_name, "ranker": ranker_name}, recall


def _index(live: LiveRelease, viewer_ND: NDArray[np.float32]) -> tuple[float, str, float]:
    """The fastest search for 500 that finds .99 of the exact 100 nearest of real viewers."""
    vectors, best = live.loaded.video_VD, (np.inf, "", 0.0)
    for index in (live.loaded.index, indexes.build(vectors, IndexConfig(kind="half"))):
        recall = indexes.measured_recall(index, vectors, viewer_ND, 100)
        took = _median_ms(lambda queries, index=index: index.search(queries, 500), np.split(viewer_ND, len(viewer_ND)))
        best = min(best, (took, index.kind, recall)) if recall >= MIN_RECALL else best
    return best


def _store(url: str, viewer_ids: Sequence[int]) -> float:
    """Ask a raw socket for three keys of a viewer, and take as many bytes as the answer has."""
    path = url.removeprefix("unix://").partition("?")[0]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        exchanges = []
        for viewer_id in viewer_ids:
            keys = [f"{NAMESPACE}:{viewer_id}:{part}" for part in "ncw"]
            commands: list[tuple[Any, ...]] = [
                ("HGETALL", keys[0]),
                ("LRANGE", keys[1], 0, -1),
                ("LRANGE", keys[2], 0, -1),
            ]
            question = b"".join(map(hiredis.pack_command, commands))
            exchanges.append((question, _answer_size(connection, question)))

        def exchange(asked: tuple[bytes, int]) -> None:
            connection.sendall(asked[0])
            left = asked[1]
            while left:
                left -= len(connection.recv(left))

        return _median_ms(exchange, exchanges)


def _answer_size(connection: socket.socket, question: bytes) -> int:
    reader, size = hiredis.Reader(), 0
    connection.sendall(question)
    for _ in range(3):
        while reader.gets() is False:
            piece = connection.recv(1 << 20)
            size += len(piece)
            reader.feed(piece)
    return size


def _gather(live: LiveRelease, rows: Sequence[NDArray[np.int32]]) -> float:
    """Rows of all tables that candidates need: the ranker's, the vectors, and the features."""
    features = np.zeros((len(live.loaded.catalogue), len(live.loaded.schema.video_dense)), dtype=np.float32)
    tables = (
        live.loaded.scorer.videos.take(np.arange(len(live.loaded.catalogue), dtype=np.int32)),
        live.loaded.video_VD,
        features,
    )
    return _median_ms(lambda rows_BK: [table.take(rows_BK, axis=0) for table in tables], rows)


def _ranker(live: LiveRelease, found: CandidateSet) -> tuple[float, str]:
    """The network as served, and its matrix products alone over 500 candidates by OpenBLAS and by PyTorch in bf16."""
    scorer, rows = live.loaded.scorer, found.rows_BK
    batch = live.features.assemble(found.query.part, rows, found.query.at)
    inputs = scorer.inputs(batch, np.zeros(rows.shape, dtype=np.float32))
    graph = onnx.load(live.loaded.path / GRAPH).graph
    matrices = [numpy_helper.to_array(w) for w in graph.initializer if len(w.dims) == 2 and "viewer" not in w.name]
    factors = [
        (np.ones((rows.size, max(m.shape)), np.float32), np.ones((max(m.shape), min(m.shape)), np.float32)) for m in matrices
    ]
    halves = [(torch.from_numpy(a).bfloat16(), torch.from_numpy(b).bfloat16()) for a, b in factors]
    took = {
        "onnxruntime": _median_ms(lambda: scorer.session.run(None, inputs)),
        "openblas products": _median_ms(lambda: [a @ b for a, b in factors]),
        "torch bf16 products": _median_ms(lambda: [a @ b for a, b in halves]),
    }
    name = min(took, key=lambda each: took[each])
    return took[name], name


def _median_ms(call: Callable[..., Any], arguments: Sequence[Any] | None = None) -> float:
    """Of REPEATS calls after WARM_UP, with each of the arguments in turn."""
    took = []
    for number in range(WARM_UP + REPEATS):
        given = () if arguments is None else (arguments[number % len(arguments)],)
        began = time.perf_counter()
        call(*given)
        took.append((time.perf_counter() - began) * 1e3)
    return float(np.median(took[WARM_UP:]))


if __name__ == "__main__":
    main()
