"""The event log → the state that features are read from, within moments.

One thread reads the log in commit order and hands each batch to `apply`. The offset says how far the state reaches and must
live and die with it: a `MemoryOffset` that starts at the release's snapshot belongs to state in this process, a `FileOffset`
to state that outlives it. A batch counts once its `apply` returned; a crash between that and saving a FileOffset repeats at
most that batch.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from core import files
from core.errors import Unavailable
from core.event_log import EventLog


class Offset(Protocol):
    """How far into the log a state reaches."""

    def load(self) -> int:
        """The last offset applied."""
        ...

    def save(self, offset: int) -> None:
        """Remember that everything up to `offset` was applied."""
        ...


class MemoryOffset:
    """For state that ends with this process."""

    def __init__(self, start: int = 0) -> None:
        self._offset = start

    def load(self) -> int:
        """See Offset."""
        return self._offset

    def save(self, offset: int) -> None:
        """See Offset."""
        self._offset = offset


class FileOffset:
    """For state that outlives this process; `start` counts until the file exists."""

    def __init__(self, path: Path, start: int = 0) -> None:
        self._path = path
        self._start = start

    def load(self) -> int:
        """See Offset."""
        try:
            return max(int(self._path.read_text()), self._start)
        except (FileNotFoundError, ValueError):
            return self._start

    def save(self, offset: int) -> None:
        """See Offset. Replaced atomically."""
        files.replace_text(self._path, str(offset))


class Consumer:
    """Tails an event log. `replay` before serving, then `start`; `close` at the end."""

    def __init__(
        self, log: EventLog, apply: Callable[[pa.Table], None], offset: Offset, *, poll_s: float = 0.25, attempts: int = 5
    ) -> None:
        """Args:
        log: what to read.
        apply: takes events in log order.
        offset: where to begin, and where to note progress.
        poll_s: pause between looks at the log when nobody calls `notify` (other processes append, too).
        attempts: tries before a batch that breaks `apply` is skipped and counted; outages are waited for instead.
        """
        self._log, self._apply, self._saved = log, apply, offset
        self._poll_s, self._attempts = poll_s, attempts
        self._grown, self._closing = threading.Event(), threading.Event()
        self._progress = threading.Condition()
        self._offset = offset.load()
        self._asked = self._answered = 0
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="consumer", daemon=True)
        self.skipped = 0
        """Events given up because `apply` failed on their batch again and again."""

    @property
    def offset(self) -> int:
        """Everything up to here is in the state."""
        return self._offset

    def replay(self) -> int:
        """Apply what the log holds, in the calling thread, before `start`; returns the number of events.

        Raises:
            Unavailable: the log or the state did not answer.
        """
        total = 0
        while count := self._step():
            total += count
        return total

    def start(self) -> None:
        """Start following."""
        self._thread.start()

    def notify(self) -> None:
        """Say that the log grew."""
        self._grown.set()

    def catch_up(self, timeout_s: float) -> bool:
        """Wait until everything that is in the log now has been applied; False when that took too long."""
        with self._progress:
            self._asked += 1
            wanted = self._asked
        self.notify()
        with self._progress:
            return self._progress.wait_for(lambda: self._answered >= wanted, timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """End the thread after the batch in hand."""
        self._closing.set()
        self._grown.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._grown.wait(self._poll_s)
            self._grown.clear()
            asked = self._asked
            try:
                while self._step() and not self._closing.is_set():
                    pass
            except Exception as error:
                logging.getLogger("upnext.serving").warning("events wait to be applied: %s: %s", type(error).__name__, error)
                time.sleep(min(self._poll_s, 0.1))
                continue
            with self._progress:
                self._answered = max(self._answered, asked)
                self._progress.notify_all()

    def _step(self) -> int:
        """Apply one batch; the number of events in it."""
        events, following = self._log.read(self._offset)
        if following == self._offset:
            return 0
        try:
            self._apply(events)
        except Unavailable:
            raise
        except Exception:
            self._failures += 1
            if self._failures < self._attempts:
                raise
            logging.getLogger("upnext.serving").exception("%d events are skipped: the state cannot take them", len(events))
            self.skipped += len(events)
        self._failures = 0
        self._saved.save(following)
        with self._progress:
            self._offset = following
            self._progress.notify_all()
        return len(events)
