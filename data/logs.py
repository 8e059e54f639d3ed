"""The event log of a space: a file beside its releases, or a stream of a server that many share, as the settings say."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from core.event_log import EventLog, SqliteEventLog

_KEPT, _KEPT_S = 4, 2.0
"""Reads that are kept for whoever follows, and for how long: several times a follower's pause."""


class OwnLog(EventLog, Protocol):
    """An event log that this process opened."""

    def newest_at(self) -> int:
        """The latest `received_at` in the log, 0 when it is empty."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def existing_log(path: Path, url: str | None = None) -> OwnLog | None:
    """The log as `open_log` opens it; None when it would be a file, and there is none yet."""
    return None if url is None and not path.is_file() else open_log(path, url)


def open_log(path: Path, url: str | None = None) -> OwnLog:
    """The log in the file `path` of a space, or at `url` under the space's name.

    Raises:
        LogUnavailable: there is a `url`, and nobody answers there.
    """
    if url is None:
        return SqliteEventLog(path)
    from data.stream_log import StreamLog

    return StreamLog(url, path.parent.name)


class SharedReads:
    """A log that several followers in one process read once between them.

    The release that serves, the one kept warm, challengers and pages made ahead all follow the log, and most of the work of
    that is to make tables of what the log holds. Whoever asks for what another has just been given gets the same table. It ends
    where that one ended, although the log may have grown: the next read goes on from there.
    """

    def __init__(self, log: OwnLog, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log, self._monotonic = log, monotonic
        self._lock = threading.Lock()
        self._kept: dict[tuple[int, int], tuple[float, pa.Table, int]] = {}
        """After and limit → when it was read, and what."""
        self._erasures = 0

    def append(self, events: pa.Table) -> list[str | None]:
        """See EventLog."""
        return self._log.append(events)

    def read(self, after: int = 0, limit: int = 10_000) -> tuple[pa.Table, int]:
        """See EventLog."""
        with self._lock:
            oldest_s, erasures = self._monotonic() - _KEPT_S, self._erasures
            self._kept = {asked: kept for asked, kept in self._kept.items() if kept[0] >= oldest_s}
            if (found := self._kept.get((after, limit))) is not None:
                return found[1:]
        events, following = self._log.read(after, limit)
        with self._lock:
            if following != after and erasures == self._erasures:
                while len(self._kept) >= _KEPT:
                    del self._kept[next(iter(self._kept))]
                self._kept[after, limit] = (self._monotonic(), events, following)
        return events, following

    def of_viewer(self, viewer_id: int) -> pa.Table:
        """See EventLog."""
        return self._log.of_viewer(viewer_id)

    def forget(self, viewer_id: int) -> int:
        """See EventLog. What is being read meanwhile is not kept."""
        try:
            return self._log.forget(viewer_id)
        finally:
            with self._lock:
                self._erasures += 1
                self._kept.clear()

    def newest_at(self) -> int:
        """See OwnLog."""
        return self._log.newest_at()

    def close(self) -> None:
        """See OwnLog."""
        self._log.close()
