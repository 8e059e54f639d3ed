"""A time limit and a breaker around one part of the request path that runs in this process: the encoder, the index, the ranker.

Nothing can stop a call into a native library, so the call runs in a thread of its own and is given up on when it takes longer
than the limit. While it still runs, and after a few failures in a row for a second, the part is not asked at all. The hop to
the thread and back costs about 40 µs.
"""

import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from core.errors import Unavailable
from features.breaker import Breaker

T = TypeVar("T")
_Work = tuple[Callable[[], Any], "Future[Any]"]


class Watchdog:
    """Watches one part. Safe for many threads; calls run one at a time."""

    def __init__(self, name: str, limit_s: float, breaker: Breaker | None = None) -> None:
        self._name, self._limit_s = name, limit_s
        self.breaker = breaker or Breaker(name=name, error=Unavailable)
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stuck: Future[Any] | None = None
        self._lock = threading.Lock()
        weakref.finalize(self, self._work.put, None)

    def call(self, part: Callable[[], T]) -> T:
        """What the part returned.

        Raises:
            Unavailable: it failed, took too long, or is not asked for now.
        """
        with self.breaker.guard():
            if self._stuck is not None and not self._stuck.done():
                raise Unavailable(f"the {self._name} still works on an earlier call")
            future = self._begin(part)
            try:
                return future.result(self._limit_s)
            except TimeoutError as error:
                if not future.cancel():
                    self._stuck = future
                raise Unavailable(f"the {self._name} took longer than {self._limit_s * 1e3:.0f} ms") from error
            except Exception as error:
                raise Unavailable(f"the {self._name} failed: {type(error).__name__}: {error}") from error

    def _begin(self, part: Callable[[], T]) -> "Future[T]":
        future: Future[T] = Future()
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=_work, args=(self._work,), name=self._name, daemon=True)
                self._thread.start()
        self._work.put((part, future))
        return future


def _work(calls: "queue.SimpleQueue[_Work | None]") -> None:
    """Run calls until None comes, which the watchdog's end puts there."""
    while (work := calls.get()) is not None:
        part, future = work
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(part())
        except BaseException as error:  # whoever waits raises it
            future.set_exception(error)
        del work, part, future
