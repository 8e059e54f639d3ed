"""Open-loop visitors for benchmarks: each arrives when it is due and waits for nobody, over a client that costs little.

Visitors come from many loopback addresses (127.0.1.x), as many clients would. Also: the service as a child process, and what
its own metrics say.
"""

import asyncio
import os
import re
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import numpy as np
import uvloop

from core import rng
from core.process import answers, free_port, start_child, stop_children

CLIENTS = 50
PATIENCE_S = 20.0
READY_S = 300.0
"""A million videos take their time on a busy machine."""
_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Visit:
    """One request to come."""

    due_s: float
    path: str
    priority: str = "interactive"
    body: bytes = b""
    """Makes it a POST."""


@dataclass(frozen=True)
class Answer:
    """What became of it. Status 0: no answer."""

    visit: Visit
    status: int
    waited_ms: float
    """From when it was due."""
    body: bytes = b""


class Crowd:
    """Clients of one service; connections are kept and used again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: dict[str, list[_Connection]] = defaultdict(list)

    async def come(self, visits: Sequence[Visit]) -> list[Answer]:
        """Let all of them come when they are due; answers in the same order."""
        began = time.perf_counter()
        return list(await asyncio.gather(*(self._visit(began, visit, i) for i, visit in enumerate(visits))))

    async def _visit(self, began: float, visit: Visit, number: int) -> Answer:
        await asyncio.sleep(began + visit.due_s - time.perf_counter())
        try:
            async with asyncio.timeout(PATIENCE_S):
                status, body = await self._ask(visit, f"127.0.1.{1 + number % CLIENTS}")
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            status, body = 0, b""
        return Answer(visit, status, (time.perf_counter() - began - visit.due_s) * 1e3, body)

    async def _ask(self, visit: Visit, source: str) -> tuple[int, bytes]:
        idle = self._idle[source]
        while idle and idle[-1][0].at_eof():  # the service ends connections that nobody used for a while
            idle.pop()[1].close()
        kept = bool(idle)
        connection = idle.pop() if kept else await asyncio.open_connection("127.0.0.1", self._port, local_addr=(source, 0))
        reader, writer = connection
        try:
            writer.write(_request(visit))
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                if visit.body or not kept or getattr(error, "partial", b""):
                    raise
                writer.close()  # ended at this very moment, because nobody had used it: clients ask again (RFC 9112, 9.3.1)
                return await self._ask(visit, source)
            length = re.search(rb"content-length: (\d+)", head)
            body = await reader.readexactly(int(length.group(1)) if length else 0)
        except BaseException:
            writer.close()
            raise
        idle.append(connection)
        return int(head[9:12]), body

    def close(self) -> None:
        """End all connections."""
        for _, writer in (one for idle in self._idle.values() for one in idle):
            writer.close()


def _request(visit: Visit) -> bytes:
    head = f"{'POST' if visit.body else 'GET'} {visit.path} HTTP/1.1\r\nhost: site\r\nx-priority: {visit.priority}\r\n"
    if visit.body:
        head += f"content-type: application/json\r\ncontent-length: {len(visit.body)}\r\n"
    return head.encode() + b"\r\n" + visit.body


def pages(rate: float, seconds: float, interactive_share: float = 1.0, seed: int = 1, num_viewers: int = 499) -> list[Visit]:
    """Random (Poisson) arrivals of viewers, numbered from 1, at the home page."""
    random = rng.stream(seed, "visits", int(rate * 1000))
    due_s = np.cumsum(random.exponential(1 / rate, max(int(rate * seconds), 1)))
    viewers, draws = random.integers(1, num_viewers + 1, len(due_s)), random.random(len(due_s))
    return [
        Visit(due, f"/recommend?k=10&viewer_id={viewer}", "interactive" if draw < interactive_share else "prefetch")
        for due, viewer, draw in zip(due_s.tolist(), viewers.tolist(), draws.tolist(), strict=True)
    ]


def run(port: int, visits: Sequence[Visit]) -> list[Answer]:
    """Let them come, and wait for all answers."""

    async def come() -> list[Answer]:
        crowd = Crowd(port)
        try:
            return await crowd.come(visits)
        finally:
            crowd.close()

    return uvloop.run(come())  # the service's own loop: what the client takes, it takes from the same cores


@contextmanager
def service(
    space: str | None = None, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[int, "Popen[bytes]"]]:
    """`upnext serve` on a free port, with more options, ready; ended with the block. Without an environment, in ours."""
    port = free_port()
    where = ["--space", space] if space else []
    command = [sys.executable, "-m", "cli.main", "serve", "--port", str(port), *where, *options]
    child = start_child(command, environment=environment)
    try:
        if not answers(f"http://127.0.0.1:{port}/readyz", child, timeout_s=READY_S):
            raise RuntimeError("the service did not start; `upnext serve` says why")
        yield port, child
    finally:
        stop_children([child])


def memory_mib(pid: int, name: str = "VmRSS") -> int:
    """Of a process: resident now, or `VmHWM`, at its highest."""
    line = next(row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith(name))
    return int(line.split()[1]) // 1024


def processor_s(service: "Popen[bytes]") -> float:
    """Processor time of all threads of the service."""
    ticks = 0
    for pid in members(service):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # after the name, which may hold spaces
        ticks += int(fields[11]) + int(fields[12])  # utime and stime, proc(5)
    return ticks / os.sysconf("SC_CLK_TCK")


def members(service: "Popen[bytes]") -> list[str]:
    """Ids of the service's process and of its workers, without the store."""
    children = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()
    return [str(service.pid), *(pid for pid in children if "python" in Path(f"/proc/{pid}/comm").read_text())]


def pss_mib(service: "Popen[bytes]") -> list[int]:
    """Memory of each of its members; what several of them map counts in equal parts."""
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() for pid in members(service)]
    return [int(next(line for line in lines if line.startswith("Pss:")).split()[1]) // 1024 for lines in rollups]


def metrics(port: int) -> dict[str, float]:
    """Every series of /metrics with its value."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))}


def served_ms(before: Mapping[str, float], after: Mapping[str, float], route: str, status: int) -> dict[str, float | None]:
    """p50, p95, p99 of the server's own time between two looks at its metrics: upper ends of the histogram's buckets."""
    name = re.compile(rf'upnext_request_seconds_bucket{{le="(.+)",route="{route}",status="{status}"}}')
    found = {float(match[1]): value - before.get(key, 0.0) for key, value in after.items() if (match := name.fullmatch(key))}
    total = found.get(float("inf"), 0.0)
    return {
        f"p{q}": next((le * 1e3 for le, count in sorted(found.items()) if count * 100 >= total * q), None) if total else None
        for q in (50, 95, 99)
    }


def quantiles(values: Sequence[float]) -> dict[str, float | None]:
    """p50, p95, p99."""
    found = np.percentile(values, [50, 95, 99]).round(2).tolist() if len(values) else [None] * 3
    return dict(zip(("p50", "p95", "p99"), found, strict=True))
