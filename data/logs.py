"""The event log of a space: a file beside its releases, or a stream of a server that many share, as the settings say."""

from pathlib import Path
from typing import Protocol

from core.event_log import EventLog, SqliteEventLog


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
