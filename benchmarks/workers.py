"""What does one more worker cost in memory, and bring in pages a second?

    UPNEXT_VAR=var python -m benchmarks.workers --most 3

Starts `upnext serve --workers N` for N = 1 … most, asks every worker for some pages, and adds up PSS over the service's
processes without the store: each page of memory counts once, shared by those who map it (`/proc/<pid>/smaps_rollup`). Then a
crowd that waits for its answers asks for as many pages as it gets. The crowd shares the machine's cores.
"""

import asyncio
import itertools
import time
from typing import Any

from benchmarks import load, results_file
from benchmarks.load import Answer, Crowd, Visit

PAGES = 60
"""Asked of every worker before its memory is read."""
TOGETHER = 16
"""Clients that ask again as soon as they are answered."""


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--most", type=int, default=3, help="workers, at most")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the crowd asks")
    parser.add_argument("--space", default=None, help="dataset to serve; the last trained one by default")
    arguments = parser.parse_args()
    rows = [_measure(num, arguments.seconds, arguments.space) for num in range(1, arguments.most + 1)]
    alone = rows[0]["pss_mib"]
    for before, row in itertools.pairwise(rows):
        row["growth"] = round((row["pss_mib"] - before["pss_mib"]) / alone, 3)
    results_file.keep("workers", {"workers": rows}, arguments)


def _measure(num: int, seconds: float, space: str | None) -> dict[str, Any]:
    with load.service(space, "--workers", str(num)) as (port, service):
        ports = [port + n for n in range(1, num + 1)] if num > 1 else [port]
        for each in ports:
            load.run(each, [Visit(0.05 * n, f"/recommend?k=10&viewer_id={n + 1}") for n in range(PAGES)])
        members = load.pss_mib(service)
        answered = asyncio.run(_ask(port, seconds))
    good = sum(answer.status == 200 for answer in answered)
    return {
        "workers": num, "pss_mib": sum(members), "pss_of_each_mib": members, "pages_per_s": round(good / seconds, 1),
        "not_answered": len(answered) - good,
    }  # fmt: skip


async def _ask(port: int, seconds: float) -> list[Answer]:
    crowd, until = Crowd(port), time.monotonic() + seconds

    async def client(number: int) -> list[Answer]:
        answers: list[Answer] = []
        while time.monotonic() < until:
            viewer = 1 + (number + TOGETHER * len(answers)) % 20_000
            answers += await crowd.come([Visit(0.0, f"/recommend?k=10&viewer_id={viewer}")])
        return answers

    try:
        return [answer for answers in await asyncio.gather(*map(client, range(TOGETHER))) for answer in answers]
    finally:
        crowd.close()


if __name__ == "__main__":
    main()
