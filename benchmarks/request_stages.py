"""What does a page cost? CPU time of every stage of the request path, in process: no HTTP, no load, no other requests.

    UPNEXT_VAR=var python -m benchmarks.request_stages --requests 400

CPU time of the deciding thread, not time on the clock, so that a busy machine blurs the figures less; caches shared with other
processes still do. A fifth of the requests are for up-next, viewers and videos are drawn at random, and one page is asked for
at a time. Memory is the peak of what one page allocates, measured on requests of its own because tracing slows them down.
"""

import time
import tracemalloc
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks import results_file
from core import rng, settings
from core.policy import HOME, UP_NEXT, Request
from features import redis_server
from features.layered_store import LayeredStore
from features.redis_store import RedisStore
from pipelines import spaces
from serving.live import LiveRelease, go_live
from serving.releases import load_release

WARM_UP = 50
TRACED = 20
UP_NEXT_SHARE = 0.2


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--requests", type=int, default=400, help="pages that are timed")
    parser.add_argument("--space", default=None, help="dataset to serve; the last trained one by default")
    parser.add_argument("--release", default="live", help="release id or pointer")
    arguments = parser.parse_args()
    results_file.keep("request-stages", measure(arguments.requests, arguments.space, arguments.release), arguments)


def measure(num: int, space: str | None, release: str) -> dict[str, Any]:
    """Put the release into service and ask it for `num` pages."""
    environment = settings.load()
    root = spaces.current(environment.var_dir, space).releases
    release_id = (root / release).read_text().strip() if (root / release).is_file() else release
    with redis_server.running(environment) as url:
        store = RedisStore(url, namespace=release_id, timeout_s=5.0)
        loaded = load_release(root, release_id)
        live = go_live(loaded, LayeredStore(loaded.viewer_states(), store), fill_store=False)
        requests = _requests(live, WARM_UP + num + TRACED)
        for request in requests[:WARM_UP]:
            live.recommender.recommend([request])
        found = {"release": release_id, "videos": len(live.loaded.catalogue), "pages": num}
        timed = _timed(live, requests[WARM_UP : WARM_UP + num])
        return {**found, **timed, "peak_allocated_kib": _allocated(live, requests[-TRACED:])}


def _requests(live: LiveRelease, num: int) -> list[Request]:
    """Pages of random viewers, a second apart, from the end of the log on."""
    random, loaded = rng.stream(1, "request stages"), live.loaded
    viewers = random.choice(loaded.viewers.viewer_ids, num).tolist()
    watching = random.choice(loaded.catalogue.video_ids, num).tolist()
    up_next = random.random(num) < UP_NEXT_SHARE
    return [
        Request(f"{i}", viewer, loaded.end_at + 1_000 * i, UP_NEXT if up_next[i] else HOME, 10, video if up_next[i] else None)
        for i, (viewer, video) in enumerate(zip(viewers, watching, strict=True))
    ]


def _timed(live: LiveRelease, requests: Sequence[Request]) -> dict[str, Any]:
    """CPU milliseconds of the whole and of each stage."""
    spent: dict[str, list[float]] = {"page": []}
    with patch("serving.trace.time.perf_counter", time.thread_time):
        for request in requests:
            began = time.thread_time()
            slate = live.recommender.recommend([request])[0]
            spent["page"].append((time.thread_time() - began) * 1e3)
            for stage, ms in slate.stage_ms.items():
                spent.setdefault(stage, []).append(ms)
    return {"cpu_ms": {stage: _quantiles(values) for stage, values in spent.items()}}


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    return {name: round(float(np.percentile(values, q)), 3) for name, q in (("p10", 10), ("p50", 50), ("p95", 95))}


def _allocated(live: LiveRelease, requests: Sequence[Request]) -> int:
    """Median over requests of the most that Python and NumPy held at once, in KiB."""
    peaks = []
    tracemalloc.start()
    for request in requests:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        live.recommender.recommend([request])
        peaks.append(tracemalloc.get_traced_memory()[1] - before)
    tracemalloc.stop()
    return round(float(np.median(peaks)) / 1024)


if __name__ == "__main__":
    main()
