"""How fast is a page? Starts the live release's service, loads it at a steady rate, and reports what viewers wait.

    python -m benchmarks.latency --rate 50 --seconds 40 [--workers 2]

Reports start-up seconds, memory (PSS, without the store), client-side p50/p95/p99 in milliseconds, the service's processor
time per page (all threads: HTTP, logging and following the log as well) and the server's own time per stage.
Arrivals are random and open-loop. Load generator and service share the machine's cores, so these are upper bounds.
"""

import json
import statistics
import time
import urllib.request
from typing import Any

from benchmarks import load, results_file

STAGE_SAMPLES = 200
NUM_VIEWERS = 20_000
WARM_UP_S = 5.0


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--rate", type=int, default=50, help="requests per second")
    parser.add_argument("--seconds", type=int, default=40, help="how long, including 5 s of warm-up")
    parser.add_argument("--space", default=None, help="dataset to serve; the last trained one by default")
    parser.add_argument("--workers", type=int, default=1, help="processes that answer")
    arguments = parser.parse_args()
    result = measure(arguments.rate, arguments.seconds, arguments.space, arguments.workers)
    print(json.dumps(result, indent=1))
    of = f"-{arguments.workers}-workers" if arguments.workers > 1 else ""
    results_file.keep(f"latency-{arguments.rate}-per-second{of}", result, arguments)


def measure(rate: int, seconds: int, space: str | None, workers: int) -> dict[str, Any]:
    """Serve, load, and describe."""
    began = time.monotonic()
    with load.service(space, "--workers", str(workers)) as (port, service):
        ready_s = time.monotonic() - began
        spent_s = load.processor_s(service)
        found = load.run(port, load.pages(rate, seconds, num_viewers=NUM_VIEWERS))
        cpu_ms = (load.processor_s(service) - spent_s) / len(found) * 1e3
        stages = _stages(f"http://127.0.0.1:{port}")
        memory_mib = sum(load.pss_mib(service))
    if any(answer.status != 200 for answer in found):
        raise RuntimeError(f"{sum(answer.status != 200 for answer in found)} of {len(found)} pages were not answered")
    latencies = [answer.waited_ms for answer in found if answer.visit.due_s > WARM_UP_S]
    return {
        "requests": len(latencies),
        "ready_s": round(ready_s, 2),
        "service_memory_mib": memory_mib,
        "client_ms": load.quantiles(latencies),
        "service_cpu_ms_per_page": round(cpu_ms, 1),
        "server_stage_p50_ms": stages,
    }


def _stages(url: str) -> dict[str, float]:
    collected: dict[str, list[float]] = {}
    for viewer in range(STAGE_SAMPLES):
        with urllib.request.urlopen(f"{url}/recommend?viewer_id={viewer}&k=10&explain=true", timeout=5) as response:
            for stage, took in json.loads(response.read())["stage_ms"].items():
                collected.setdefault(stage, []).append(took)
    return {stage: round(statistics.median(values), 3) for stage, values in collected.items()}


if __name__ == "__main__":
    main()
