"""How fast is a page? Starts the live release's service, loads it at a steady rate, and reports what viewers wait.

    python -m benchmarks.latency --rate 50 --seconds 40

Reports start-up seconds, resident memory, client-side p50/p95/p99 in milliseconds and the server's own time per stage.
Arrivals are random and open-loop. Load generator and service share the machine's cores, so these are upper bounds.
"""

import asyncio
import json
import statistics
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks import results_file
from core import rng
from core.process import answers, free_port, start_child, stop_children

STAGE_SAMPLES = 200
NUM_VIEWERS = 20_000
WARM_UP_S = 5.0


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--rate", type=int, default=50, help="requests per second")
    parser.add_argument("--seconds", type=int, default=40, help="how long, including 5 s of warm-up")
    parser.add_argument("--space", default=None, help="dataset to serve; the last trained one by default")
    arguments = parser.parse_args()
    result = measure(arguments.rate, arguments.seconds, arguments.space)
    print(json.dumps(result, indent=1))
    results_file.keep(f"latency-{arguments.rate}-per-second", result, arguments)


def measure(rate: int, seconds: int, space: str | None) -> dict[str, Any]:
    """Serve, load, and describe."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    began = time.monotonic()
    command = [sys.executable, "-m", "cli.main", "serve", "--port", str(port), *(["--space", space] if space else [])]
    service = start_child(command)
    try:
        if not answers(f"{url}/readyz", service):
            raise RuntimeError("the service did not start; `upnext serve` says why")
        ready_s = time.monotonic() - began
        latencies = asyncio.run(_load(url, rate, seconds))
        stages = _stages(url)
        memory_mib = _resident_mib(service.pid)
    finally:
        stop_children([service])
    return {
        "requests": len(latencies),
        "ready_s": round(ready_s, 2),
        "service_memory_mib": memory_mib,
        "client_ms": {
            name: round(float(np.percentile(latencies, q)), 2) for name, q in (("p50", 50), ("p95", 95), ("p99", 99))
        },
        "server_stage_p50_ms": stages,
    }


async def _load(url: str, rate: int, seconds: int) -> list[float]:
    """Milliseconds per page. Visitors arrive at random (Poisson) and wait for nobody: a slow page makes the next ones late."""
    random = rng.stream(1, "arrivals")
    num = rate * seconds
    due_s, viewers = np.cumsum(random.exponential(1 / rate, num)), random.integers(1, NUM_VIEWERS + 1, num)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=httpx.Limits(max_connections=200)) as client:

        async def visit(begin: float, due: float, viewer: int) -> float:
            await asyncio.sleep(begin + due - time.perf_counter())
            answer = await client.get("/recommend", params={"viewer_id": viewer, "k": 10})
            answer.raise_for_status()
            return (time.perf_counter() - begin - due) * 1000

        begin = time.perf_counter()
        visits = (visit(begin, due, viewer) for due, viewer in zip(due_s.tolist(), viewers.tolist(), strict=True))
        waited = await asyncio.gather(*visits)
    return [ms for ms, due in zip(waited, due_s, strict=True) if due > WARM_UP_S]


def _stages(url: str) -> dict[str, float]:
    collected: dict[str, list[float]] = {}
    for viewer in range(STAGE_SAMPLES):
        with urllib.request.urlopen(f"{url}/recommend?viewer_id={viewer}&k=10&explain=true", timeout=5) as response:
            for stage, took in json.loads(response.read())["stage_ms"].items():
                collected.setdefault(stage, []).append(took)
    return {stage: round(statistics.median(values), 3) for stage, values in collected.items()}


def _resident_mib(pid: int) -> int:
    line = next(row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("VmRSS"))
    return int(line.split()[1]) // 1024


if __name__ == "__main__":
    main()
