"""Load on a running service: viewers ask for their home page at a steady rate.

    locust -f benchmarks/locustfile.py --headless -u 50 -r 50 -t 30s --host http://127.0.0.1:8000

Each simulated client asks once per second, so `-u` is the rate in requests per second. Exact latencies (milliseconds, first
`WARM_UP_S` seconds left out) are written to $UPNEXT_LATENCIES as JSON when the run ends.
"""

import json
import os
import random
import time
from pathlib import Path
from typing import Any

from locust import FastHttpUser, constant_throughput, events, task

WARM_UP_S = 5.0
_latencies_ms: list[float] = []
_failures: list[str] = []
_began = time.monotonic()


@events.request.add_listener
def _record(response_time: float, exception: BaseException | None, **_: Any) -> None:
    if exception is not None:
        _failures.append(repr(exception))
    elif time.monotonic() - _began > WARM_UP_S:
        _latencies_ms.append(response_time)


@events.quitting.add_listener
def _write(**_: Any) -> None:
    target = os.environ.get("UPNEXT_LATENCIES")
    if target:
        Path(target).write_text(json.dumps({"latencies_ms": _latencies_ms, "failures": _failures}))


class Visitor(FastHttpUser):
    """A viewer who reloads the home page once a second."""

    wait_time = constant_throughput(1)

    def on_start(self) -> None:
        """Begin at a random moment: clients that start together would ask in bursts of all of them."""
        time.sleep(random.random())

    @task
    def home(self) -> None:
        """One page."""
        viewer_id = random.randrange(int(os.environ.get("UPNEXT_VIEWERS", "20000")))
        self.client.get(f"/recommend?viewer_id={viewer_id}&k=10", name="/recommend")
