"""What do viewers notice when a dependency is off, slow or hung? A page, the reason on it, and soon nothing any more.

    python -m benchmarks.faults --seconds 10

The whole service runs in this process over the live release, with a TCP proxy before its store and a switch on the index, the
ranker and the log. Under a steady load each fault lasts so long and then ends. Per fault: were all pages answered, how many
said that something was missing, how long they took, which breakers opened, and how long after the end until pages (or, for the
log, events) were whole again. Targets: 100 % answered, recovery within 5 s.
"""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import uvicorn

from app.main import create_app, open_services
from app.server import configure
from benchmarks import load, results_file
from benchmarks.faulty import HUNG, OFF, PASS, SLOW, Faulty, StoreProxy, proxied
from benchmarks.kill_pipeline import descendants
from core import settings
from core.errors import LogUnavailable
from features import redis_server
from pipelines import spaces
from ranking.scorer import Scorer
from retrieval.sources import TwoTowerSource

ENOUGH_S = 15.0
EVENTS_PER_S = 2.0


@dataclass(frozen=True)
class Fault:
    """Something that breaks and is mended."""

    name: str
    start: Callable[[], None]
    end: Callable[[], None]


def faults(proxy: StoreProxy, parts: dict[str, Faulty], store_pid: int) -> Iterator[Fault]:
    """All of them."""

    def put(mode: str) -> None:
        proxy.mode = mode

    def break_part(part: Faulty, mode: str) -> None:
        part.go.clear()
        part.mode = mode

    for mode in (OFF, SLOW, HUNG):
        yield Fault(f"store {mode}", lambda m=mode: put(m), lambda: put(PASS))  # type: ignore[misc]
    stop, go = (lambda: os.kill(store_pid, signal.SIGSTOP)), (lambda: os.kill(store_pid, signal.SIGCONT))
    yield Fault("store stopped (SIGSTOP)", stop, go)
    for name, part in parts.items():
        for mode in (OFF, SLOW, HUNG):
            yield Fault(f"{name} {mode}", lambda p=part, m=mode: break_part(p, m), part.heal)  # type: ignore[misc]


def measure(port: int, fault: Fault, rate: float, seconds: float) -> dict[str, Any]:
    """One fault under load."""
    video = _video(port)
    visits = [*load.pages(rate, seconds, seed=len(fault.name)), *_clicks(video, seconds, fault.name)]
    timer = threading.Timer(seconds / 2, lambda: opened.append(_open(port)))
    opened: list[list[str]] = []
    fault.start()
    timer.start()
    try:
        answers = load.run(port, visits)
    finally:
        fault.end()
        timer.join()
    mended = time.monotonic()
    pages = [answer for answer in answers if not answer.visit.body]
    events = [answer for answer in answers if answer.visit.body]
    reasons = sorted({reason for answer in pages if answer.status == 200 for reason in json.loads(answer.body)["reasons"]})
    return {
        "fault": fault.name,
        "pages": len(pages),
        "answered": round(sum(answer.status == 200 for answer in pages) / len(pages), 4),
        "degraded": round(sum(b'"degraded":true' in answer.body for answer in pages) / len(pages), 4),
        "reasons": reasons,
        "waited_ms": load.quantiles([answer.waited_ms for answer in pages]),
        "events": {str(status): sum(answer.status == status for answer in events) for status in {a.status for a in events}},
        "breakers_open_halfway": opened[0],
        "recovered_s": _recovered(port, video, mended),
    }


def _clicks(video: str, seconds: float, name: str) -> list[load.Visit]:
    return [
        load.Visit(i / EVENTS_PER_S, "/events", body=_click(video, f"{name} {i} {time.time_ns()}"))
        for i in range(int(seconds * EVENTS_PER_S))
    ]


def _click(video: str, event_id: str) -> bytes:
    event = {"kind": "click", "viewer_id": "visitor", "video_id": video, "event_id": event_id}
    return json.dumps({"events": [event]}).encode()


def _video(port: int) -> str:
    (answer,) = load.run(port, [load.Visit(0.0, "/recommend?viewer_id=1&k=1")])
    return str(json.loads(answer.body)["videos"][0]["video_id"])


def _open(port: int) -> list[str]:
    return sorted(name.split('"')[1] for name, value in load.metrics(port).items() if "breaker_open" in name and value)


def _recovered(port: int, video: str, since: float) -> float | None:
    """Seconds until a page is whole and a click is taken; None after `ENOUGH_S`."""
    while (waited := time.monotonic() - since) < ENOUGH_S:
        page, click = load.run(
            port,
            [load.Visit(0.0, "/recommend?viewer_id=1"), load.Visit(0.0, "/events", body=_click(video, f"after {waited}"))],
        )
        if page.status == click.status == 200 and b"right now" not in page.body and b"time ran out" not in page.body:
            return round(waited, 2)
        time.sleep(0.05)
    return None


@contextmanager
def site(space: spaces.Space) -> Iterator[tuple[int, StoreProxy, dict[str, Faulty], int]]:
    """The service in this process: port, store proxy, faulty parts by name, the store's process."""
    environment = settings.load()
    with redis_server.running(environment) as url, proxied(url) as proxy:
        store_pid = next(pid for pid in descendants(os.getpid()) if "server" in Path(f"/proc/{pid}/comm").read_text())
        through = replace(environment, redis_url=proxy.url)
        with (
            open_services(through, releases=space.releases, events=space.events) as services,
            _breakable(TwoTowerSource, "candidates") as index,
            _breakable(Scorer, "score") as ranker,
            socket.create_server(("127.0.0.1", 0)) as listener,
        ):
            log = Faulty(services.event_log, "append", slow_s=1.0, error=LogUnavailable("the disk is gone"))
            server = uvicorn.Server(configure(create_app(replace(services, event_log=log)), "127.0.0.1", 0))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            yield listener.getsockname()[1], proxy, {"index": index, "ranker": ranker, "log": log}, store_pid
            server.should_exit = True
            thread.join(20)


@contextmanager
def _breakable(part: type, method: str) -> Iterator[Faulty]:
    """A switch on a method of all objects of a class, wherever the service holds them."""
    faulty = Faulty(SimpleNamespace(**{method: getattr(part, method)}), method, slow_s=0.4)
    with patch.object(part, method, lambda *arguments: getattr(faulty, method)(*arguments)):
        yield faulty


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each fault")
    parser.add_argument("--rate", type=float, default=10.0, help="pages per second")
    parser.add_argument("--space", default=None, help="dataset to serve; the last trained one by default")
    chosen = parser.parse_args(arguments)
    results = []
    with site(spaces.current(settings.load().var_dir, chosen.space)) as (port, proxy, parts, store_pid):
        load.run(port, load.pages(chosen.rate, 3.0))  # warm
        for fault in faults(proxy, parts, store_pid):
            results.append(measure(port, fault, chosen.rate, chosen.seconds))
            print(results[-1], flush=True)
    results_file.keep("faults", {"faults": results}, chosen)


if __name__ == "__main__":
    main()
