"""Viewers of the world against the running service, over HTTP like anybody else.

They see only what the API answers, and react with the world's true behaviour. Paced by an open loop: a slow answer does not
slow down the next visitor's arrival, it makes them late. What they do is sent when it happens: a watch when it ends. Like a
browser they also tell how long a page took, and which one never came, as soon as the service answers again.
"""

import heapq
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import numpy as np

from core import columns as c
from core import config, rng
from core import events as ev
from core.clock import Clock, ContinuedClock, SystemClock
from core.errors import BadInput
from core.ids import to_ids
from core.policy import Request, Slate
from data import versioning
from data.world.config import WorldConfig
from data.world.world import World
from pipelines.spaces import Space

_TIMEOUT_S = 5.0
_MOST_EVENTS = 500
_NO_ANSWER = (urllib.error.URLError, TimeoutError, ConnectionError)


@dataclass
class Totals:
    """What has happened so far."""

    pages: int = 0
    clicks: int = 0
    failures: int = 0


@dataclass
class Visitors:
    """The viewers of one world and what they are still going to do."""

    world: World
    url: str
    clock: Clock
    totals: Totals = field(default_factory=Totals)
    due: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    """Heap of (instant, request id, event) not sent yet."""

    def visit(self, viewer_id: int) -> None:
        """Ask for a home page, decide what to do with it."""
        self.totals.pages += 1
        asked = time.monotonic()
        try:
            answer = _call(f"{self.url}/recommend?viewer_id={viewer_id}&k=10")
        except _NO_ANSWER:
            self.totals.failures += 1
            self._tell(viewer_id, {c.KIND: ev.FAILED})
            return
        videos = to_ids([video["video_id"] for video in answer["videos"]])
        if len(videos):
            page = {c.REQUEST_ID: answer["request_id"], c.VIDEO_ID: int(videos[0])}
            self._tell(viewer_id, {c.KIND: ev.LOADED, c.VALUE: time.monotonic() - asked, **page})
        self._react(viewer_id, answer["request_id"], videos)
        try:
            self._send_due()
        except _NO_ANSWER:
            self.totals.failures += 1

    def _tell(self, viewer_id: int, row: dict[str, Any]) -> None:
        """Something about a page, as soon as may be."""
        heapq.heappush(self.due, (self.clock.now(), uuid.uuid4().hex, {c.VIEWER_ID: viewer_id, **row}))

    def _react(self, viewer_id: int, request_id: str, video_ids: np.ndarray) -> None:
        if not len(video_ids):
            return
        request = Request(request_id, viewer_id, self.clock.now())
        chance = np.ones(len(video_ids))
        slate = Slate(request_id, video_ids, chance, chance == 0, sources=("",) * len(video_ids))
        for row in self.world.respond([slate], [request], request.at).to_pylist():
            self.totals.clicks += row[c.KIND] == ev.CLICK
            heapq.heappush(self.due, (row[c.RECEIVED_AT], uuid.uuid4().hex, row))

    def _send_due(self) -> None:
        now, ready = self.clock.now(), list[tuple[int, str, dict[str, Any]]]()
        while self.due and self.due[0][0] <= now and len(ready) < _MOST_EVENTS:
            ready.append(heapq.heappop(self.due))
        if not ready:
            return
        try:
            _call(f"{self.url}/events", {"events": [_wire(event_id, row) for _, event_id, row in ready]})
        except _NO_ANSWER as error:
            if not (isinstance(error, urllib.error.HTTPError) and error.code < HTTPStatus.INTERNAL_SERVER_ERROR):
                self.due += ready  # each has an id: sent again, it counts once
                heapq.heapify(self.due)
            raise


def visits(space: Space, url: str, *, rate: float, seed: int, seconds: float | None) -> Iterator[Totals]:
    """Visit at `rate` pages per second; yields the running totals after each page."""
    if not space.world.is_file():
        raise BadInput(f"'{space.name}' is a real log, not a world: there are no simulated viewers for it")
    world = World(config.from_dict(WorldConfig, json.loads(space.world.read_text())))
    for snapshot in versioning.list_snapshots(space.snapshots)[-1:]:
        world.remember(versioning.open_snapshot(space.snapshots, snapshot.snapshot_id).events)
    clock = ContinuedClock(world.config.end_at, SystemClock())
    visitors, random = Visitors(world, url, clock), rng.stream(seed, "visits")
    began = time.monotonic()
    while seconds is None or time.monotonic() - began < seconds:
        time.sleep(max(0.0, began + visitors.totals.pages / rate - time.monotonic()))
        visitors.visit(int(random.choice(world.viewer_ids)))
        yield visitors.totals


def _wire(event_id: str, row: dict[str, Any]) -> dict[str, Any]:
    wire = {name: row[name] for name in (c.KIND, c.REQUEST_ID, c.VALUE) if row.get(name) is not None}
    ids = {name: str(row[name]) for name in (c.VIEWER_ID, c.VIDEO_ID) if row.get(name) is not None}
    return {"event_id": event_id, **ids, **wire}


def _call(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"content-type": "application/json"} if data else {})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
        return json.loads(response.read())
