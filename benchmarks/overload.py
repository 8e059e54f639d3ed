"""What happens when more is asked for than can be answered? Interactive pages come, prefetches wait outside.

    python -m benchmarks.overload --seconds 20

First the capacity: pages a second when a few clients always want the next one. Then open-loop arrivals at .5, 1, 2 and 10
times that. The mix: interactive pages are half of the capacity at every level (at .5 all of the load), the rest prefetches.
Targets: at 10× interactive success ≥ 99.4 %, at 2× goodput ≥ 90 % of the peak, a refusal within 5 ms in the server. Load
generator and service share the machine: at 10× the generator takes capacity away, so what it reports is a lower bound.
`refusal_cpu_ms` is what a refusal costs by itself, in processor time through the whole application in this process: what it
takes beyond that in the service is waiting for a core.
"""

import asyncio
import time
from dataclasses import replace
from typing import Any

from starlette.types import Message

from app import fakes
from app.main import create_app
from app.services import Limits
from benchmarks import load, results_file
from core.clock import ManualClock

LEVELS = (0.5, 1.0, 2.0, 10.0)
INTERACTIVE = 0.5
"""Interactive pages, as a share of the capacity."""
REFUSED = 'upnext_request_seconds_bucket{{le="{le}",route="refused",status="503"}}'


def capacity(port: int, seconds: float, clients: int = 8) -> float:
    """Pages a second when `clients` always want the next one."""

    async def measure() -> float:
        crowd = load.Crowd(port)
        until, answered = time.perf_counter() + seconds, 0

        async def one(number: int) -> None:
            nonlocal answered
            while time.perf_counter() < until:
                (answer,) = await crowd.come([load.Visit(0.0, f"/recommend?k=10&viewer_id={number}")])
                answered += answer.status == 200

        await asyncio.gather(*map(one, range(clients)))
        crowd.close()
        return answered / seconds

    return asyncio.run(measure())


def level(port: int, times: float, pages_per_s: float, seconds: float) -> dict[str, Any]:
    """Arrivals at `times` the capacity."""
    before = load.metrics(port)
    visits = load.pages(times * pages_per_s, seconds, min(INTERACTIVE / times, 1.0))
    answers = load.run(port, visits)
    after = load.metrics(port)
    took_s = max(max(visit.due_s for visit in visits), seconds)
    result: dict[str, Any] = {"times": times, "offered_per_s": round(len(visits) / took_s, 1)}
    for kind in ("interactive", "prefetch"):
        mine = [answer for answer in answers if answer.visit.priority == kind]
        good = [answer for answer in mine if answer.status == 200]
        result[kind] = {
            "asked": len(mine),
            "success": round(len(good) / len(mine), 4) if mine else None,
            "degraded": sum(b'"degraded":true' in answer.body and b"right now" in answer.body for answer in good),
            "unanswered": sum(answer.status == 0 for answer in mine),
            "waited_ms": load.quantiles([answer.waited_ms for answer in good]),
        }
    result["goodput_per_s"] = round(sum(answer.status == 200 for answer in answers) / took_s, 1)
    refused = {le: after.get(REFUSED.format(le=le), 0.0) - before.get(REFUSED.format(le=le), 0.0) for le in ("0.005", "+Inf")}
    result["server_ms"] = {
        "answered": load.served_ms(before, after, "/recommend", 200),
        "refused": load.served_ms(before, after, "refused", 503),
    }
    result["refused"] = int(refused["+Inf"])
    result["refused_within_5_ms"] = round(refused["0.005"] / refused["+Inf"], 4) if refused["+Inf"] else None
    return result


def refusal_cpu_ms(times: int = 2_000) -> dict[str, float | None]:
    """Processor time of a refused page, from the outermost middleware to its last byte; its body is never asked for."""
    site = replace(fakes.services(ManualClock(1_780_000_000_000)), limits=Limits(in_flight=0))
    app = create_app(site)
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http", "root_path": "",
        "path": "/recommend", "raw_path": b"/recommend", "query_string": b"k=10", "headers": [], "server": ("site", 80),
    }  # fmt: skip

    async def receive() -> Message:
        raise AssertionError("a refusal reads no body")

    async def send(message: Message) -> None:
        pass

    async def refuse() -> list[float]:
        took = []
        for number in range(times):
            began = time.thread_time()
            await app({**scope, "client": (f"127.0.1.{number % 250}", 1)}, receive, send)
            took.append((time.thread_time() - began) * 1e3)
        return took

    return load.quantiles(asyncio.run(refuse()))


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each level")
    parser.add_argument("--space", default=None, help="dataset to serve; the last trained one by default")
    arguments = parser.parse_args()
    with load.service(arguments.space) as (port, _):
        capacity(port, 3.0)  # warm
        pages_per_s = capacity(port, max(arguments.seconds / 2, 3.0))
        print(f"capacity {pages_per_s:.1f} pages/s")
        levels = []
        for times in LEVELS:
            levels.append(level(port, times, pages_per_s, arguments.seconds))
            print(levels[-1])
    result = {"capacity_per_s": round(pages_per_s, 1), "refusal_cpu_ms": refusal_cpu_ms(), "levels": levels}
    results_file.keep("overload", result, arguments)


if __name__ == "__main__":
    main()
