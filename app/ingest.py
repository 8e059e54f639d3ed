"""Bytes from a page into rows of the event log: each event is checked alone, good ones are kept, broken ones named.

An event is acknowledged only after the log committed it, or had it before; one whose id belongs to an event that says something
else is broken. `received_at` is this server's clock; `event_at` is the sender's, never later than that. Appends go through one
thread, because SQLite has one writer and a commit waits for the disk. What waits for the log is bounded; beyond that, and while
the log fails again and again, batches are refused at once: a slow log costs senders a retry, never this process its memory.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from app.answers import Json
from app.schemas import MAX_EVENTS, EventIn
from app.services import Live, Services
from core import columns as c
from core.clock import DAY_MS, Clock
from core.errors import BadInput, LogUnavailable
from core.ids import to_id, to_ids
from features.breaker import Breaker

MAX_AGE_MS, MAX_AHEAD_MS = 7 * DAY_MS, DAY_MS
"""How far a sender's clock may be from this server's. What seems to have happened in the next moments happened now."""
WAIT_S = 1.0
_MOST_WAITERS = 8


@dataclass
class Outcome:
    """What became of a batch."""

    accepted: list[str] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    applied: bool = False
    kinds: Counter[str] = field(default_factory=Counter)

    def settle(self, rows: Sequence[Mapping[str, Any]], safe: Sequence[str | None]) -> None:
        """Take the rows that are safe, as the log says (`EventLog.append`), and name the others."""
        broken = {one["index"] for one in self.rejected}
        places = (index for index in range(len(rows) + len(broken)) if index not in broken)
        for row, event_id, index in zip(rows, safe, places, strict=True):
            if event_id is None:
                self.rejected.append({"index": index, "reason": f"event_id '{row[c.EVENT_ID]}' belongs to another event"})
            else:
                self.accepted.append(event_id)
                self.kinds[row[c.KIND]] += 1
        self.rejected.sort(key=lambda one: one["index"])

    def receipt(self) -> Json:
        """The answer to whoever sent it; 422 where nothing was taken."""
        said = {"accepted": self.accepted, "rejected": self.rejected, "applied": self.applied}
        return Json(said, 200 if self.accepted else 422)


class Ingest:
    """The way into the event log."""

    def __init__(self, services: Services, wall: Clock | None = None) -> None:
        """`wall` is the time of day outside, where the log's own time may be another."""
        self._services, self._wall = services, wall or services.clock
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="event-log")
        self._waiters = ThreadPoolExecutor(max_workers=_MOST_WAITERS, thread_name_prefix="catch-up")
        self._num_waiters = 0
        self.breaker = Breaker(name="event log", error=LogUnavailable)
        self.waiting = 0
        """Batches that wait for the log, those that were given up on included."""

    def require_room(self) -> None:
        """Raises LogUnavailable when as many batches wait as may."""
        if self.waiting >= self._services.limits.waiting_batches:
            raise LogUnavailable(f"{self.waiting} batches wait for the event log; send this one again")

    async def accept(self, body: bytes, *, wait: bool) -> Outcome:
        """Check, commit and acknowledge one batch; with `wait`, return after the features know of it (or a second passed).

        Raises:
            BadInput: the body is not a batch at all.
            LogUnavailable: nothing is known to be committed; send it again. Events with ids of their own count once.
        """
        self.require_room()
        services = self._services
        now = services.clock.now()
        latest_at = max(now, self._wall.now()) + MAX_AHEAD_MS
        rows, rejected = check(parse(body), services.releases.live, now, latest_at, services.new_id)
        return await self.keep(rows, rejected, wait=wait)

    async def keep(self, rows: list[dict[str, Any]], rejected: list[dict[str, Any]], *, wait: bool) -> Outcome:
        """Commit and acknowledge rows of `columns.EVENTS` that were checked; otherwise as `accept`."""
        outcome = Outcome(rejected=rejected)
        if rows:
            table = pa.Table.from_pylist(rows, schema=c.EVENTS)
            outcome.settle(rows, await self._commit(table))
            self._services.follower.notify()
            outcome.applied = wait and await self._applied()
        return outcome

    def close(self) -> None:
        """Finish what was begun."""
        self._writer.shutdown(wait=True)
        self._waiters.shutdown(wait=True)

    async def _commit(self, table: pa.Table) -> list[str | None]:
        self.waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._writer, self._append, table)
        future.add_done_callback(self._committed)
        limit_s = self._services.limits.commit_s
        try:
            return await asyncio.wait_for(asyncio.shield(future), limit_s)
        except TimeoutError as error:
            raise LogUnavailable(f"the event log has not committed within {limit_s:g} s; send the events again") from error

    def _append(self, table: pa.Table) -> list[str | None]:
        with self.breaker.guard():
            return self._services.event_log.append(table)

    def _committed(self, future: "asyncio.Future[list[str | None]]") -> None:
        self.waiting -= 1
        if not future.cancelled():
            future.exception()  # looked at here, because whoever asked may have gone

    async def _applied(self) -> bool:
        """Whether the features know of everything committed so far; False at once when too many ask."""
        if self._num_waiters >= _MOST_WAITERS:
            return False
        self._num_waiters += 1
        try:
            follow = self._services.follower.catch_up
            return await asyncio.get_running_loop().run_in_executor(self._waiters, follow, WAIT_S)
        finally:
            self._num_waiters -= 1


def parse(body: bytes, name: str = "events") -> list[Any]:
    """The raw events, or whatever else `name` says, of a batch.

    Raises:
        BadInput: not JSON, not `{"events": [...]}`, empty, or too many.
    """
    try:
        batch = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        batch = _parse_leniently(body, error)
    found = batch.get(name) if isinstance(batch, dict) else None
    if not isinstance(found, list) or not found:
        raise BadInput(f'the body must be {{"{name}": [ … ]}} with at least one of them')
    if len(found) > MAX_EVENTS:
        raise BadInput(f"{len(found)} {name} in one batch; send at most {MAX_EVENTS}")
    return found


def _parse_leniently(body: bytes, error: orjson.JSONDecodeError) -> Any:
    """With what Python's parser lets through, and its writer writes: NaN is the fault of one event, not of its batch."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise BadInput(f"the body is not JSON: {error}") from error


def check(
    events: Sequence[Any], live: Live, now: int, latest_at: int, new_id: Callable[[], str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of `columns.EVENTS` for the good ones; index and reason for the others.

    Args:
        events: as they came.
        live: knows the videos.
        now: the present (ms), in the log's time.
        latest_at: no sender's clock can be right that says it is later.
        new_id: names events that have no id.
    """
    return each_alone(events, lambda raw: _row(EventIn.model_validate(raw), live, now, latest_at, new_id))


def each_alone(found: Sequence[Any], row: Callable[[Any], dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """`row` of everything it takes; index and reason of what it refuses with ValidationError or BadInput."""
    rows, rejected = [], []
    for index, raw in enumerate(found):
        try:
            orjson.dumps(raw)  # half a character would pass for text until the log has to write it
            rows.append(row(raw))
        except orjson.JSONEncodeError as error:
            rejected.append({"index": index, "reason": f"cannot be written down: {error}"})
        except ValidationError as error:
            rejected.append({"index": index, "reason": reason(error)})
        except BadInput as error:
            rejected.append({"index": index, "reason": str(error)})
    return rows, rejected


def require_json(request: Request) -> None:
    """Raises HTTPException 415: a form on another site cannot send this type without asking first."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send content-type: application/json")


def _row(event: EventIn, live: Live, now: int, latest_at: int, new_id: Callable[[], str]) -> dict[str, Any]:
    video_id = None if event.video_id is None else to_id(event.video_id)
    if event.video_id is not None and live.catalogue.rows(to_ids([event.video_id]))[0] < 0:
        raise BadInput(f"unknown video '{event.video_id}'")
    if event.event_at is not None and event.event_at > latest_at:
        raise BadInput("event_at is more than a day in the future; is the sender's clock right?")
    event_at = now if event.event_at is None else min(event.event_at, now)
    if now - event_at > MAX_AGE_MS:
        raise BadInput("event_at is more than 7 days ago; too late to count")
    return {
        c.EVENT_ID: event.event_id or new_id(),
        c.KIND: event.kind,
        c.EVENT_AT: event_at,
        c.RECEIVED_AT: now,
        c.VIEWER_ID: to_id(event.viewer_id),
        c.VIDEO_ID: video_id,
        c.REQUEST_ID: event.request_id,
        c.POSITION: event.position,
        c.SURFACE: event.surface,
        c.VALUE: event.value,
    }


def reason(error: ValidationError) -> str:
    """The first thing that is wrong, and where."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
