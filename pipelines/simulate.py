"""Viewers of the world against the running service, over HTTP like anybody else.

They see only what the API answers, and react with the world's true behaviour. Paced by an open loop: a slow answer does not
slow down the next visitor's arrival, it makes them late.
"""

import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from core import columns as c
from core import config, rng
from core.clock import SystemClock
from core.errors import BadInput
from core.ids import to_ids
from core.policy import Request, Slate
from data.world.config import WorldConfig
from data.world.simulate import World
from pipelines.spaces import Space


@dataclass
class Totals:
    """What has happened so far."""

    pages: int = 0
    clicks: int = 0
    failures: int = 0


def visits(space: Space, url: str, *, rate: float, seed: int, seconds: float | None) -> Iterator[Totals]:
    """Visit at `rate` pages per second; yields the running totals after each page."""
    if not space.world.is_file():
        raise BadInput(f"'{space.name}' is a real log, not a world: there are no simulated viewers for it")
    world = World(config.from_dict(WorldConfig, json.loads(space.world.read_text())))
    random, clock, totals = rng.stream(seed, "visits", time.time_ns()), SystemClock(), Totals()
    began = time.monotonic()
    while seconds is None or time.monotonic() - began < seconds:
        due = began + totals.pages / rate
        time.sleep(max(0.0, due - time.monotonic()))
        viewer_id = int(world.viewer_ids[random.integers(len(world.viewer_ids))])
        try:
            totals.clicks += _visit(world, url, viewer_id, clock.now())
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            totals.failures += 1
        totals.pages += 1
        yield totals


def _visit(world: World, url: str, viewer_id: int, at: int) -> int:
    answer = _call(f"{url}/recommend?viewer_id={viewer_id}&k=10")
    ids = to_ids([video["video_id"] for video in answer["videos"]])
    if not len(ids):
        return 0
    request = Request(answer["request_id"], viewer_id, at)
    slate = Slate(
        request_id=answer["request_id"],
        video_ids=ids,
        propensities=np.ones(len(ids)),
        exploration=np.zeros(len(ids), dtype=bool),
        sources=("",) * len(ids),
    )
    outcomes = [row for row in world.respond([slate], [request], at).to_pylist() if row[c.KIND] != "impression"]
    if outcomes:
        _call(f"{url}/events", {"events": [_wire(row) for row in outcomes]})
    return sum(row[c.KIND] == "click" for row in outcomes)


def _wire(row: dict[str, Any]) -> dict[str, Any]:
    wire = {
        "event_id": uuid.uuid4().hex,
        "kind": row[c.KIND],
        "viewer_id": str(row[c.VIEWER_ID]),
        "request_id": row[c.REQUEST_ID],
    }
    wire["video_id"] = str(row[c.VIDEO_ID])
    if row[c.VALUE] is not None:
        wire["value"] = row[c.VALUE]
    return wire


def _call(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"content-type": "application/json"} if data else {})
    with urllib.request.urlopen(request, timeout=5) as response:
        return json.loads(response.read())
