"""How many pages a second, while 99 of 100 wait at most 20 ms?

    python -m benchmarks.throughput --space world-demo --workers 2 [--hybrid]

Arrivals are random and open-loop: nobody waits for anybody, so a service that falls behind is seen to fall behind. The rate is
doubled until the 99th percentile passes the limit, then narrowed down to a twentieth; every rate is judged by at least a
thousand pages. With `--hybrid`, pages made ahead by `upnext batch` (run it first) are shown to viewers who have done nothing
since; `made_ahead` is their share. Waits are the client's view, and client and service share the machine's cores, so these are
lower bounds.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import load, results_file

LIMIT_MS = 20.0
NARROW = 0.05
"""The search ends when what is too much is less than this share above what is not."""
WARM_UP_S = 2.0
ENOUGH = 1_000
"""Pages that a 99th percentile is taken of."""
_COUNT = 'upnext_stage_seconds_count{{stage="{}"}}'


@dataclass(frozen=True)
class Tried:
    """One rate."""

    rate: float
    answered: int
    failed: int
    p50_ms: float
    p99_ms: float

    @property
    def holds(self) -> bool:
        """Whether everybody was answered, and nearly all in time."""
        return not self.failed and self.p99_ms <= LIMIT_MS


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--space", default=None, help="dataset to serve; the last trained one by default")
    parser.add_argument("--workers", type=int, default=1, help="processes that answer")
    parser.add_argument("--hybrid", action="store_true", help="show pages of `upnext batch` where they are valid")
    parser.add_argument("--viewers", type=int, default=20_000, help="of the space")
    parser.add_argument("--seconds", type=float, default=12.0, help="least of each rate, including 2 s of warm-up")
    parser.add_argument("--start", type=float, default=50.0, help="first rate")
    arguments = parser.parse_args()
    result = measure(
        arguments.space, arguments.workers, arguments.hybrid, arguments.viewers, arguments.seconds, arguments.start
    )
    print(json.dumps(result, indent=1))
    kind = "-hybrid" if arguments.hybrid else ""
    results_file.keep(f"throughput-{arguments.space or 'last'}-{arguments.workers}-workers{kind}", result, arguments)


def measure(space: str | None, workers: int, hybrid: bool, viewers: int, seconds: float, start: float) -> dict[str, Any]:
    """Serve, and look for the highest rate that holds."""
    options = ["--workers", str(workers), *(["--hybrid"] if hybrid else [])]
    with load.service(space, *options) as (port, _):
        load.run(port, load.pages(min(start, 20.0), 3.0, num_viewers=viewers))
        before = load.metrics(port)
        tried = climb(lambda rate: attempt(port, rate, seconds, viewers), start)
        after = load.metrics(port)
    return {
        "pages_per_s": max((one.rate for one in tried if one.holds), default=0.0),
        "limit_ms": LIMIT_MS,
        "made_ahead": share_ahead(before, after),
        "tried": [asdict(one) for one in tried],
    }


def attempt(port: int, rate: float, seconds: float, viewers: int) -> Tried:
    """Let viewers come at this rate."""
    seconds = max(seconds, WARM_UP_S + ENOUGH / rate)
    found = load.run(port, load.pages(rate, seconds, num_viewers=viewers, seed=int(rate)))
    counted = [answer for answer in found if answer.visit.due_s > WARM_UP_S]
    waits = load.quantiles([answer.waited_ms for answer in counted])
    failed = sum(answer.status != 200 for answer in counted)
    return Tried(rate, len(counted) - failed, failed, waits["p50"] or 0.0, waits["p99"] or 0.0)


def climb(attempt: Callable[[float], Tried], start: float) -> list[Tried]:
    """Everything tried on the way to the highest rate that holds; where the first one does not, it is halved."""
    tried = [attempt(start)]
    up = tried[0].holds
    while tried[-1].holds is up and tried[-1].rate > 1:
        tried.append(attempt(tried[-1].rate * (2 if up else 0.5)))
    low = max((one.rate for one in tried if one.holds), default=0.0)
    high = min((one.rate for one in tried if not one.holds), default=0.0)
    while low and high > low * (1 + NARROW):
        tried.append(attempt(round((low + high) / 2, 1)))
        low, high = (tried[-1].rate, high) if tried[-1].holds else (low, tried[-1].rate)
    return tried


def share_ahead(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Share of pages that were made ahead, as far as the worker knows that answered both times."""
    ahead, computed = (
        after.get(_COUNT.format(stage), 0.0) - before.get(_COUNT.format(stage), 0.0) for stage in ("precomputed", "ranker")
    )
    return round(ahead / (ahead + computed), 3) if ahead + computed else 0.0


if __name__ == "__main__":
    main()
