"""Does anything grow? Steady pages and events for a while, and every few seconds what the process holds.

    python -m benchmarks.soak --minutes 60

Reports resident memory, open files, threads and what waits, at the beginning and the end, and the slope of memory over the
second half (MiB per hour, least squares): the first half fills caches.
"""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import load, results_file

EVERY_S = 5.0


def sample(port: int, pid: int, began: float) -> dict[str, float]:
    """What the process holds now."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    series = load.metrics(port)
    return {
        "at_s": round(time.monotonic() - began, 1),
        "resident_mib": round(int(status["VmRSS"].split()[0]) / 1024, 1),
        "threads": int(status["Threads"]),
        "open_files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "impressions_queued": series["upnext_impressions_queued"],
        "event_batches_waiting": series["upnext_event_batches_waiting"],
    }


async def visit(port: int, rate: float, seconds: float, number: int) -> tuple[int, int]:
    """Pages and a click on each tenth; how many were asked and how many failed."""
    crowd = load.Crowd(port)
    answers = await crowd.come(load.pages(rate, seconds, seed=number))
    seen = [json.loads(answer.body) for answer in answers[::10] if answer.status == 200]
    clicks = [
        load.Visit(0.0, "/events", body=json.dumps({"events": [_click(page)]}).encode()) for page in seen if page["videos"]
    ]
    answers += await crowd.come(clicks)
    crowd.close()
    return len(answers), sum(answer.status != 200 for answer in answers)


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
    parser.add_argument("--space", default=None, help="dataset to serve; the last trained one by default")
    arguments = parser.parse_args()
    asked = failed = 0
    with load.service(arguments.space) as (port, child):
        began, samples = time.monotonic(), [sample(port, child.pid, time.monotonic())]
        while time.monotonic() - began < arguments.minutes * 60:
            more, bad = asyncio.run(visit(port, arguments.rate, EVERY_S, len(samples)))
            asked, failed = asked + more, failed + bad
            samples.append(sample(port, child.pid, began))
            print(samples[-1], flush=True)
    half = samples[len(samples) // 2 :]
    hours, mib = [one["at_s"] / 3600 for one in half], [one["resident_mib"] for one in half]
    slope = round(float(np.polyfit(hours, mib, 1)[0]), 1) if len(half) > 2 else None
    result = {"asked": asked, "failed": failed, "first": samples[0], "last": samples[-1], "memory_mib_per_hour": slope}
    print(result)
    results_file.keep("soak", result, arguments)


if __name__ == "__main__":
    main()
