"""Shown pages on their way to work that no answer waits for: a bounded queue, and one background thread that empties it.

What does not fit, or breaks the work, is dropped and counted: a slow disk or a challenger that hangs must not delay answers.
"""

import logging
import queue
import threading
from collections.abc import Callable

from core.policy import Request, Slate

Page = tuple[Request, Slate]


class PageQueue:
    """Start it, put pages, close it."""

    def __init__(
        self, name: str, work: Callable[[list[Page]], None], capacity: int, *, most: int = 1, gather_s: float = 0.0
    ) -> None:
        """Args:
        name: of the thread.
        work: takes some pages, in the order they came. When it raises, they count as dropped.
        capacity: pages that may wait.
        most: pages at a time.
        gather_s: how long the first page of a batch waits for others.
        """
        self._name, self._work, self._most, self._gather_s = name, work, most, gather_s
        self._queue: queue.Queue[Page] = queue.Queue(capacity)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.closing = threading.Event()
        """Set when the thread is to end; work that waits should wait on this."""
        self.dropped = 0
        """Pages for which nothing was done."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, page: Page) -> None:
        """Hand over a page; never waits."""
        try:
            self._queue.put_nowait(page)
        except queue.Full:
            self.dropped += 1

    def __len__(self) -> int:
        """Pages that wait."""
        return self._queue.qsize()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything put so far was worked on or dropped; False when that took too long."""
        done = self._queue.all_tasks_done
        with done:
            return done.wait_for(lambda: not self._queue.unfinished_tasks, timeout_s)

    def close(self, timeout_s: float) -> bool:
        """End the thread after the pages in hand; False when it hangs there. What waits is left."""
        self.closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self.closing.is_set():
            pages = self._take()
            if not pages:
                continue
            try:
                self._work(pages)
            except Exception:  # pages that break the work must not end it
                self.dropped += len(pages)
                logging.getLogger("upnext.serving").exception("%s: nothing was done for %d pages", self._name, len(pages))
            finally:
                for _ in pages:
                    self._queue.task_done()

    def _take(self) -> list[Page]:
        try:
            pages = [self._queue.get(timeout=0.1)]
        except queue.Empty:
            return []
        if self._gather_s:
            self.closing.wait(self._gather_s)
        while len(pages) < self._most:
            try:
                pages.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return pages
