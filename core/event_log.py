"""The event log: append-only, deduplicated, and durable before it is acknowledged.

`EventLog` is the protocol; `SqliteEventLog` the embedded default (WAL, one file, many readers). Offsets are positive,
increase with commits, and are the `after` of the next read.
"""

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from core import columns as c
from core import events as ev
from core.errors import BadInput, LogUnavailable

_NAMES = [field.name for field in c.EVENTS]
_MOST_MARKS = 10_000
_BY_VIEWERS = f"{c.KIND} NOT IN ('{ev.UPLOAD}', '{ev.REMOVE}')"
SAID = (c.KIND, c.VIEWER_ID, c.VIDEO_ID, c.REQUEST_ID, c.POSITION, c.SURFACE, c.VALUE)
"""What an event says happened. Its instants may differ when it is sent again."""
_PLACES = [_NAMES.index(name) for name in SAID]
_SQL_TYPES = {pa.int64(): "INTEGER", pa.int32(): "INTEGER", pa.bool_(): "INTEGER", pa.float64(): "REAL", pa.string(): "TEXT"}


class EventLog(Protocol):
    """Where events go first."""

    def append(self, events: pa.Table) -> list[str | None]:
        """Make events durable; returns the id of each that is now safe, in order.

        An event that is there already is safe. The first event of an id keeps it: one that says something else is not kept, and
        has None in place of its id.

        Raises:
            LogUnavailable: nothing of the batch was accepted.
            BadInput: an event lacks a required field; nothing of the batch was accepted.
        """
        ...

    def read(self, after: int = 0, limit: int = 10_000) -> tuple[pa.Table, int]:
        """Events with offset > `after` in commit order, and the offset to continue from."""
        ...

    def of_viewer(self, viewer_id: int) -> pa.Table:
        """All events of one viewer, in commit order. Walks the whole log."""
        ...

    def forget(self, viewer_id: int) -> int:
        """Remove all events of one viewer for good; how many there were. Offsets of the others stay as they are.

        Raises:
            LogUnavailable: nothing was removed.
        """
        ...


def said(values: Sequence[Any]) -> tuple[Any, ...]:
    """`SAID` of an event, from its values in the order of `columns.EVENTS`."""
    return tuple(values[place] for place in _PLACES)


def batches(log: EventLog, after: int = 0, limit: int = 10_000) -> Iterator[tuple[pa.Table, int]]:
    """Everything in the log after an offset, in commit order, part by part: events, and the offset that they reach."""
    while True:
        events, following = log.read(after, limit)
        if following == after:
            return
        yield events, following
        after = following


class SqliteEventLog:
    """EventLog in one SQLite file. Safe for many threads and processes on one machine."""

    def __init__(self, path: Path, busy_timeout_s: float = 2.0) -> None:
        self._path = path
        self._timeout_s = busy_timeout_s
        self._local = threading.local()
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = ", ".join(f"{f.name} {_SQL_TYPES[f.type]}{'' if f.nullable else ' NOT NULL'}" for f in c.EVENTS)
        with self._connection() as connection:
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS events (log_offset INTEGER PRIMARY KEY AUTOINCREMENT, "
                f"schema_version INTEGER NOT NULL, {columns}, UNIQUE ({c.EVENT_ID}))"
            )

    def append(self, events: pa.Table) -> list[str | None]:
        """See EventLog. Acknowledged only after the commit reached the disk (synchronous=FULL)."""
        # By column: a table's own to_pylist makes a dict per event, and takes several times as long.
        rows = list(zip([ev.SCHEMA_VERSION] * len(events), *(events[name].to_pylist() for name in _NAMES), strict=True))
        marks = ", ".join("?" * (len(_NAMES) + 1))
        names = ", ".join(_NAMES)
        sql = f"INSERT INTO events (schema_version, {names}) VALUES ({marks}) ON CONFLICT ({c.EVENT_ID}) DO NOTHING"
        try:
            with self._connection() as connection:
                num_new = connection.executemany(sql, rows).rowcount
            known = {} if num_new == len(rows) else self._known([row[1] for row in rows])
        except sqlite3.IntegrityError as error:
            raise BadInput(f"an event lacks a required field, nothing of the batch was kept: {error}") from error
        except sqlite3.Error as error:
            raise LogUnavailable(f"the event log at {self._path} could not commit: {error}") from error
        return [row[1] if not known or known[row[1]] == said(row[1:]) else None for row in rows]

    def read(self, after: int = 0, limit: int = 10_000) -> tuple[pa.Table, int]:
        """See EventLog. Older schema versions are lifted on the way out."""
        found = self._select("log_offset > ?", after, limit)
        return _table([_present(version, values) for _, version, *values in found]), found[-1][0] if found else after

    def of_viewer(self, viewer_id: int) -> pa.Table:
        """See EventLog. Uploads and removals are their channel's, not a viewer's."""
        found = self._select(f"{c.VIEWER_ID} = ? AND {_BY_VIEWERS}", viewer_id)
        return _table([_present(version, values) for _, version, *values in found])

    def forget(self, viewer_id: int) -> int:
        """See EventLog. The bytes are overwritten in the file, and the write-ahead log is emptied if no reader needs it."""
        try:
            connection = self._connection()
            connection.execute("PRAGMA secure_delete=ON")
            with connection:
                removed = connection.execute(f"DELETE FROM events WHERE {c.VIEWER_ID} = ? AND {_BY_VIEWERS}", (viewer_id,))
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise LogUnavailable(f"the event log at {self._path} could not forget: {error}") from error
        return removed.rowcount

    def _known(self, event_ids: Sequence[str]) -> Mapping[str, tuple[Any, ...]]:
        """What the log's events of these ids say."""
        found: dict[str, tuple[Any, ...]] = {}
        for begin in range(0, len(event_ids), _MOST_MARKS):
            some = event_ids[begin : begin + _MOST_MARKS]
            sql = f"SELECT {c.EVENT_ID}, {', '.join(SAID)} FROM events WHERE {c.EVENT_ID} IN ({', '.join('?' * len(some))})"
            found.update((event_id, tuple(values)) for event_id, *values in self._connection().execute(sql, some))
        return found

    def _select(self, condition: str, value: int, limit: int = -1) -> list[Any]:
        wanted = ", ".join(["log_offset", "schema_version", *_NAMES])
        sql = f"SELECT {wanted} FROM events WHERE {condition} ORDER BY log_offset LIMIT ?"
        try:
            return self._connection().execute(sql, (value, limit)).fetchall()
        except sqlite3.Error as error:
            raise LogUnavailable(f"the event log at {self._path} could not be read: {error}") from error

    def newest_at(self) -> int:
        """The latest `received_at` in the log, 0 when it is empty."""
        try:
            found = self._connection().execute(f"SELECT max({c.RECEIVED_AT}) FROM events").fetchone()
        except sqlite3.Error as error:
            raise LogUnavailable(f"the event log at {self._path} could not be read: {error}") from error
        return int(found[0] or 0)

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _connection(self) -> sqlite3.Connection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, timeout=self._timeout_s)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            self._local.connection = connection
        return connection


def _present(version: int, values: list[Any]) -> list[Any]:
    """A row of today's schema."""
    if version == ev.SCHEMA_VERSION:
        return values
    lifted = ev.migrate(dict(zip(_NAMES, values, strict=True)), version)
    return [lifted[name] for name in _NAMES]


def _table(rows: list[list[Any]]) -> pa.Table:
    columns = dict(zip(_NAMES, zip(*rows, strict=True), strict=True)) if rows else {}
    if rows:  # SQLite has no booleans
        columns[c.EXPLORATION] = tuple(None if flag is None else bool(flag) for flag in columns[c.EXPLORATION])
    return pa.table({field.name: pa.array(columns.get(field.name, ()), field.type) for field in c.EVENTS}, schema=c.EVENTS)
