"""Does anything grow? Steady pages and events for a while, and every few seconds what the process holds.

    python -m benchmarks.soak --minutes 30 --load .7 --viewers 20000

Reports for each minute how long pages waited in the client's view, how many were refused or failed, the processor time that
the service took per page (where waits grow and this does not, it is the machine), and the most that it held: resident memory,
open files, threads, what waits; and the slope of memory over the second half (MiB per hour, least squares), as the first half
fills caches. Few viewers come back often, and their growing histories make pages dearer; with many viewers less so.
With `--load` the rate is that share of the capacity, measured first as `benchmarks.overload` does. Clients share the machine's
cores with the service.
"""

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from subprocess import Popen
from typing import Any

import numpy as np

from benchmarks import load, results_file
from benchmarks.overload import capacity

EVERY_S = 5.0
WARM_UP_S, CAPACITY_S = 3.0, 15.0


def sample(port: int, service: "Popen[bytes]", began: float) -> dict[str, float]:
    """What the process holds now, and the processor time that it has taken."""
    process = Path(f"/proc/{service.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    series = load.metrics(port)
    return {
        "at_s": round(time.monotonic() - began, 1),
        "resident_mib": round(int(status["VmRSS"].split()[0]) / 1024, 1),
        "threads": int(status["Threads"]),
        "open_files": len(list((process / "fd").iterdir())),
        "processor_s": load.processor_s(service),
        "impressions_queued": series["upnext_impressions_queued"],
        "event_batches_waiting": series["upnext_event_batches_waiting"],
    }


async def visit(port: int, rate: float, seconds: float, number: int, viewers: int = 499) -> list[load.Answer]:
    """Pages, and a click on each tenth."""
    crowd = load.Crowd(port)
    answers = await crowd.come(load.pages(rate, seconds, seed=number, num_viewers=viewers))
    seen = [json.loads(answer.body) for answer in answers[::10] if answer.status == 200]
    clicks = [
        load.Visit(0.0, "/events", body=json.dumps({"events": [_click(page)]}).encode()) for page in seen if page["videos"]
    ]
    answers += await crowd.come(clicks)
    crowd.close()
    return answers


def by_minute(samples: list[dict[str, float]], answers: list[tuple[float, load.Answer]]) -> list[dict[str, float | None]]:
    """Of each minute: pages, failures, waits, processor time, and the most that was held.

    Args:
        samples: as `sample` takes them.
        answers: each with the second it belongs to.
    """
    rows: list[dict[str, float | None]] = []
    spent_s = samples[0]["processor_s"]
    for minute in range(int(samples[-1]["at_s"] // 60) + 1):
        here = [answer for at_s, answer in answers if at_s // 60 == minute]
        held = [one for one in samples if one["at_s"] // 60 == minute]
        waits = load.quantiles([answer.waited_ms for answer in here if answer.status == 200 and not answer.visit.body])
        most = (
            {name: max(one[name] for one in held) for name in samples[0] if name not in ("at_s", "processor_s")} if held else {}
        )
        refused, failed = _not_answered(here)
        counts = {"minute": minute, "asked": len(here), "refused": refused, "failed": failed}
        before_s, spent_s = spent_s, max([spent_s, *(one["processor_s"] for one in held)])
        cpu_ms = round((spent_s - before_s) / len(here) * 1e3, 2) if here else None
        rows.append({**counts, "p50_ms": waits["p50"], "p99_ms": waits["p99"], "cpu_ms_each": cpu_ms, **most})
    return rows


def _not_answered(answers: list[load.Answer]) -> tuple[int, int]:
    """How many were told to come again (503), and how many got no answer or another one than they should."""
    refused = sum(answer.status == 503 for answer in answers)
    return refused, sum(answer.status != 200 for answer in answers) - refused


def _click(page: dict[str, Any]) -> dict[str, Any]:
    shown = page["videos"][0]
    return {
        "kind": "click", "viewer_id": page["viewer_id"], "video_id": shown["video_id"], "request_id": page["request_id"],
        "event_id": f"{page['request_id']}:click", "position": 0,
    }  # fmt: skip


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=10.0, help="pages per second")
    parser.add_argument("--load", type=float, default=None, help="instead of a rate: share of the capacity, measured first")
    parser.add_argument("--viewers", type=int, default=499, help="how many there are, numbered from 1")
    parser.add_argument("--space", default=None, help="dataset to serve; the last trained one by default")
    arguments = parser.parse_args()
    with load.service(arguments.space) as (port, child):
        rate, capacity_per_s = arguments.rate, None
        if arguments.load is not None:
            capacity(port, WARM_UP_S)
            capacity_per_s = round(capacity(port, CAPACITY_S), 1)
            rate = round(arguments.load * capacity_per_s, 1)
        result = {
            "capacity_per_s": capacity_per_s,
            "rate": rate,
            **watch(port, child, rate, arguments.minutes, arguments.viewers),
        }
    results_file.keep("soak", result, arguments)


def watch(port: int, service: "Popen[bytes]", rate: float, minutes: float, viewers: int) -> dict[str, Any]:
    """Visit for a while, and say what became of the pages and of the process."""
    began = time.monotonic()
    samples: list[dict[str, float]] = [sample(port, service, began)]
    answers: list[tuple[float, load.Answer]] = []
    while (at_s := time.monotonic() - began) < minutes * 60:
        came = asyncio.run(visit(port, rate, EVERY_S, len(samples), viewers))
        answers += [(at_s, replace(answer, body=b"")) for answer in came]
        samples.append(sample(port, service, began))
        print(samples[-1], flush=True)
    half = samples[len(samples) // 2 :]
    hours, mib = [one["at_s"] / 3600 for one in half], [one["resident_mib"] for one in half]
    refused, failed = _not_answered([answer for _, answer in answers])
    return {
        "asked": len(answers),
        "refused": refused,
        "failed": failed,
        "first": samples[0],
        "last": samples[-1],
        "memory_mib_per_hour": round(float(np.polyfit(hours, mib, 1)[0]), 1) if len(half) > 2 else None,
        "minutes": by_minute(samples, answers),
    }


if __name__ == "__main__":
    main()
