"""Bytes from a page into rows of the event log: each event is checked alone, good ones are kept, broken ones named.

An event is acknowledged only after the log committed it. `received_at` is this server's clock; `event_at` is the sender's,
never later than that. Appends go through one thread, because SQLite has one writer and a commit waits for the disk.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa
from pydantic import ValidationError

from app.schemas import MAX_EVENTS, EventIn
from app.services import Live, Services
from core import columns as c
from core.clock import DAY_MS
from core.errors import BadInput
from core.ids import to_id, to_ids

MAX_AGE_MS = 7 * DAY_MS
WAIT_S = 1.0


@dataclass
class Outcome:
    """What became of a batch."""

    accepted: list[str] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    applied: bool = False
    kinds: Counter[str] = field(default_factory=Counter)

    def json(self) -> dict[str, Any]:
        """The receipt on the wire."""
        return {"accepted": self.accepted, "rejected": self.rejected, "applied": self.applied}


class Ingest:
    """The way into the event log."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="event-log")

    async def accept(self, body: bytes, *, wait: bool) -> Outcome:
        """Check, commit and acknowledge one batch; with `wait`, return after the features know of it (or a second passed).

        Raises:
            BadInput: the body is not a batch at all.
            LogUnavailable: nothing was committed; send it again.
        """
        services, loop = self._services, asyncio.get_running_loop()
        rows, rejected = check(parse(body), services.releases.live, services.clock.now(), services.new_id)
        outcome = Outcome(rejected=rejected)
        if rows:
            table = pa.Table.from_pylist(rows, schema=c.EVENTS)
            outcome.accepted = await loop.run_in_executor(self._writer, services.event_log.append, table)
            outcome.kinds.update(row[c.KIND] for row in rows)
            services.follower.notify()
            if wait:
                outcome.applied = await loop.run_in_executor(None, services.follower.catch_up, WAIT_S)
        return outcome

    def close(self) -> None:
        """Finish what was begun."""
        self._writer.shutdown(wait=True)


def parse(body: bytes) -> list[Any]:
    """The raw events of a batch.

    Raises:
        BadInput: not JSON, not `{"events": [...]}`, empty, or too many.
    """
    try:
        batch = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"the body is not JSON: {error}") from error
    events = batch.get("events") if isinstance(batch, dict) else None
    if not isinstance(events, list) or not events:
        raise BadInput('the body must be {"events": [ … ]} with at least one event')
    if len(events) > MAX_EVENTS:
        raise BadInput(f"{len(events)} events in one batch; send at most {MAX_EVENTS}")
    return events


def check(
    events: Sequence[Any], live: Live, now: int, new_id: Callable[[], str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of `columns.EVENTS` for the good ones; index and reason for the others."""
    rows, rejected = [], []
    for index, raw in enumerate(events):
        try:
            rows.append(_row(EventIn.model_validate(raw), live, now, new_id))
        except ValidationError as error:
            rejected.append({"index": index, "reason": _reason(error)})
        except BadInput as error:
            rejected.append({"index": index, "reason": str(error)})
    return rows, rejected


def _row(event: EventIn, live: Live, now: int, new_id: Callable[[], str]) -> dict[str, Any]:
    video_id = to_id(event.video_id)
    if live.catalogue.rows(to_ids([event.video_id]))[0] < 0:
        raise BadInput(f"unknown video '{event.video_id}'")
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


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
