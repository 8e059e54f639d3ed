"""What does a page cost as the catalogue grows? The service over 10,000, 100,000 and a million videos, one after the other.

    python -m benchmarks.catalogue --space world-tiny --videos 10000 100000 1000000

Reports, for each size: `p50_ms` of one page at a time over one connection, `per_s` pages over eight connections that always
wait for one (client and service share the machine's cores), start-up seconds, resident memory, and the index with its
recall@100. `growth` is the p50 at the largest catalogue over the p50 at the smallest. Catalogues are made by
`benchmarks.enlarged` from the space's own: by leaving videos out, or adding some.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from benchmarks import load, results_file
from benchmarks.enlarged import enlarge
from core import settings
from pipelines import spaces
from retrieval import index as indexes
from serving import releases

PAGES, WARM_UP = 600, 100
CONNECTIONS, SECONDS = 8, 10.0
VIEWERS = 400


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--videos", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="sizes of the catalogue")
    parser.add_argument("--space", default=None, help="dataset whose live release is enlarged; the last trained one by default")
    arguments = parser.parse_args()
    sizes = [measure(num_videos, arguments.space) for num_videos in sorted(arguments.videos)]
    result = {"sizes": sizes, "growth": round(sizes[-1]["p50_ms"] / sizes[0]["p50_ms"], 2)}
    print(json.dumps(result, indent=1))
    results_file.keep("catalogue", result, arguments)


def measure(num_videos: int, name: str | None) -> dict[str, Any]:
    """One size."""
    environment = settings.load()
    space = enlarge(environment.var_dir, spaces.current(environment.var_dir, name), num_videos)
    index = indexes.load(space.releases / (space.releases / "live").read_text().strip() / releases.INDEX)
    began = time.monotonic()
    with load.service(space.name) as (port, service):
        ready_s = time.monotonic() - began
        waits_ms, _ = asyncio.run(_visit(port, 1, until=lambda count, _: count >= WARM_UP + PAGES))
        many_ms, seconds = asyncio.run(_visit(port, CONNECTIONS, until=lambda _, seconds: seconds >= SECONDS))
        memory_mib = load.memory_mib(service.pid)
    return {
        "videos": num_videos,
        "p50_ms": load.quantiles(waits_ms[WARM_UP:])["p50"],
        "p99_ms": load.quantiles(waits_ms[WARM_UP:])["p99"],
        "per_s": round(len(many_ms) / seconds, 1),
        "ready_s": round(ready_s, 1),
        "memory_mib": memory_mib,
        "index": index.kind,
        "recall@100": round(index.recall, 4),
    }


async def _visit(port: int, connections: int, until: Callable[[int, float], bool]) -> tuple[list[float], float]:
    """Waits in milliseconds of clients that ask again as soon as they are answered, and how long all of it took."""
    waits: list[float] = []
    crowd, began = load.Crowd(port), time.perf_counter()

    async def client(number: int) -> None:
        while not until(len(waits), time.perf_counter() - began):
            viewer = 1 + (number + connections * len(waits)) % VIEWERS
            (answer,) = await crowd.come([load.Visit(0.0, f"/recommend?k=10&viewer_id={viewer}")])
            if answer.status != 200:
                raise RuntimeError(f"a page was answered with {answer.status}")
            waits.append(answer.waited_ms)

    try:
        await asyncio.gather(*(client(number) for number in range(connections)))
    finally:
        crowd.close()
    return waits, time.perf_counter() - began


if __name__ == "__main__":
    main()
