"""EventLog as a stream in Redis or Valkey, single or clustered: for several servers that share one log.

One entry per event, `0-<offset>`: Redis numbers them without gaps, so offsets grow with commits. One script appends a batch,
whole or not at all, and skips what it has seen: every event's id is a key of its own, with a digest of what the event says,
that expires a week after the service would refuse so old an event. All keys of a log share a hash tag, so in a cluster they
live on one node, whose memory holds the whole log (`trim` lets go of what a training run has taken).

What "acknowledged" means is up to the server. With its append-only file on, an append returns after WAITAOF says that the file
is on the server's disk: at once under `appendfsync always`, with the next flush under `everysec`. Without that file, a server
that ends takes acknowledged events with it, and this log warns of it when it is opened. A replica that takes over may lack the
last moments in any case: replication is asynchronous.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import orjson
import pyarrow as pa

from core import columns as c
from core import events as ev
from core.clock import DAY_MS, SECOND_MS
from core.errors import BadInput, LogUnavailable
from core.event_log import said
from data.redis_nodes import FAILURES, Client, Nodes, connect

T = TypeVar("T")
_NAMES = [field.name for field in c.EVENTS]
_VIEWER, _KIND, _ID = _NAMES.index(c.VIEWER_ID), _NAMES.index(c.KIND), _NAMES.index(c.EVENT_ID)
_REMEMBER_S = 14 * DAY_MS // SECOND_MS
_BLOCK = 10_000
_APPEND = """
local others = {}
for i = 2, #KEYS do
  local said = ARGV[#KEYS + i]
  if redis.call('SET', KEYS[i], said, 'NX', 'EX', ARGV[1]) then
    redis.call('XADD', KEYS[1], '0-*', 'v', ARGV[2], 'e', ARGV[i + 1])
  elseif redis.call('GET', KEYS[i]) ~= said then
    others[#others + 1] = i - 2
  end
end
return others
"""
_Row = tuple[int, list[Any]]
"""Offset and values in the order of `columns.EVENTS`."""


class StreamLog:
    """See EventLog. Safe for many threads and servers."""

    def __init__(self, url: str, name: str, *, timeout_s: float = 5.0) -> None:
        """Open the log `name` of the server or cluster (`data.redis_nodes`) at `url`.

        Raises:
            LogUnavailable: nobody answers there.
        """
        self._url, self._timeout_s = url, timeout_s
        self._stem = f"upnext:{{{name}}}"
        self._stream = f"{self._stem}:events"
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._nodes: Nodes | None = None
        self._durable = self._ask(_writes_to_disk)
        if not self._durable:
            logging.getLogger("upnext.data").warning(
                "the event log's server has no append-only file: acknowledged events are lost when it ends"
            )

    def append(self, events: pa.Table) -> list[str | None]:
        """See EventLog."""
        short = [f.name for f in c.EVENTS if not f.nullable and events[f.name].null_count]
        if short:
            raise BadInput(f"an event lacks a required field, nothing of the batch was kept: {', '.join(short)}")
        rows = list(zip(*(events[name].to_pylist() for name in _NAMES), strict=True))
        others = self._ask(lambda client: self._append(client, rows)) if rows else set()
        return [None if place in others else row[_ID] for place, row in enumerate(rows)]

    def read(self, after: int = 0, limit: int = 10_000) -> tuple[pa.Table, int]:
        """See EventLog. Older schema versions are lifted on the way out."""
        rows = self._rows(after, limit)
        return _table(rows), rows[-1][0] if rows else after

    def of_viewer(self, viewer_id: int) -> pa.Table:
        """See EventLog. Uploads and removals are their channel's, not a viewer's."""
        return _table(list(self._by(viewer_id)))

    def forget(self, viewer_id: int) -> int:
        """See EventLog. An append-only file keeps the bytes until the server rewrites it."""
        rows = list(self._by(viewer_id))
        for begin in range(0, len(rows), _BLOCK):
            self._ask(partial(self._remove, rows[begin : begin + _BLOCK]))
        return len(rows)

    def newest_at(self) -> int:
        """`received_at` of the last event, 0 when the log is empty."""
        newest: Any = self._ask(lambda client: client.xrevrange(self._stream, count=1))
        return int(_values(newest[0])[1][_NAMES.index(c.RECEIVED_AT)]) if newest else 0

    def trim(self, upto: int) -> int:
        """Let go of events up to an offset that a training run has taken into a snapshot; how many there were."""
        return int(self._ask(lambda client: client.xtrim(self._stream, minid=_entry(upto + 1), approximate=False)))

    def close(self) -> None:
        """Let go of connections."""
        if self._client is not None:
            self._client.close()

    def _append(self, client: Client, rows: list[tuple[Any, ...]]) -> set[int]:
        """Places of the rows whose ids belong to other events."""
        keys = [self._stream, *(self._id_key(row[_ID]) for row in rows)]
        digests = [hashlib.blake2b(orjson.dumps(said(row)), digest_size=8).digest() for row in rows]
        values: list[Any] = [_REMEMBER_S, ev.SCHEMA_VERSION, *(orjson.dumps(row) for row in rows), *digests]
        pipe = client.pipeline(transaction=False)  # one connection: WAITAOF speaks of what this one wrote
        pipe.eval(_APPEND, len(keys), *keys, *values)
        if self._durable:
            pipe.execute_command("WAITAOF", 1, 0, int(self._timeout_s * 900))
        answers = pipe.execute()
        if self._durable and answers[1][0] < 1:
            raise LogUnavailable("the event log's server has not written the events to its disk in time; send them again")
        return set(answers[0])

    def _remove(self, rows: list[_Row], client: Client) -> None:
        client.xdel(self._stream, *(_entry(offset) for offset, _ in rows))
        client.unlink(*(self._id_key(values[_ID]) for _, values in rows))

    def _rows(self, after: int, limit: int) -> list[_Row]:
        found: Any = self._ask(lambda client: client.xrange(self._stream, min=_entry(after + 1), count=limit))
        return [_values(entry) for entry in found]

    def _by(self, viewer_id: int) -> Iterator[_Row]:
        after = 0
        while rows := self._rows(after, _BLOCK):
            after = rows[-1][0]
            yield from (row for row in rows if row[1][_VIEWER] == viewer_id and row[1][_KIND] not in (ev.UPLOAD, ev.REMOVE))

    def _id_key(self, event_id: str) -> str:
        return f"{self._stem}:id:{event_id}"

    def _ask(self, question: Callable[[Client], T]) -> T:
        """The answer of the server that holds the log; one that fails is looked for anew the next time."""
        try:
            return question(self._connected())
        except FAILURES as error:
            with self._lock:
                self._client = None
            raise LogUnavailable(f"the event log's server did not answer: {error}") from error

    def _connected(self) -> Client:
        with self._lock:
            if self._client is None:
                if self._nodes is None:
                    self._nodes = Nodes(self._url, self._timeout_s)
                else:
                    self._nodes.look()
                self._client = connect(self._nodes.of(self._stream), self._timeout_s)
            return self._client


def _writes_to_disk(client: Client) -> bool:
    return bool(client.info("persistence")["aof_enabled"])


def _entry(offset: int) -> str:
    return f"0-{offset}"


def _values(entry: Any) -> _Row:
    """Offset and values of today's schema."""
    name, fields = entry
    values, version = orjson.loads(fields[b"e"]), int(fields[b"v"])
    if version != ev.SCHEMA_VERSION:
        lifted = ev.migrate(dict(zip(_NAMES, values, strict=False)), version)
        values = [lifted[column] for column in _NAMES]
    return int(name.partition(b"-")[2]), values


def _table(rows: list[_Row]) -> pa.Table:
    columns = list(zip(*(values for _, values in rows), strict=True)) if rows else [()] * len(_NAMES)
    return pa.table(
        {field.name: pa.array(column, field.type) for field, column in zip(c.EVENTS, columns, strict=True)}, schema=c.EVENTS
    )
