"""Time limits around the parts of the request path that run in this process: the encoder, the index, the ranker.

Nothing can stop a call into a native library. So pages are decided on a thread that can be left behind (`Worker`): a part says
when it is entered and left, who waits for the page looks at that, and where one part takes too long, the worker is given up
on and the page decided again, on a new worker, without that part. While the old call still runs, and after a few failures in a
row for a second, the part is not asked at all. What no worker decides (evaluation, the laboratory) has no limits.
"""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from core.errors import Unavailable
from features.breaker import Breaker

T = TypeVar("T")
_Work = tuple[Callable[[], Any], Callable[[Any, BaseException | None], None]]
_LOOK_S = 0.05
"""How soon to look again at a worker that is in no part."""


class LeftBehind(BaseException):
    """Unwinds a worker whose page is decided by another one."""


class Watchdog:
    """Watches one part. Safe for many threads."""

    def __init__(self, name: str, limit_s: float, breaker: Breaker | None = None) -> None:
        self.name, self.limit_s = name, limit_s
        self.breaker = breaker or Breaker(name=name, error=Unavailable)
        self._stuck: Worker | None = None

    def call(self, part: Callable[[], T]) -> T:
        """What the part returned.

        Raises:
            Unavailable: it failed, or is not asked for now.
            LeftBehind: it returned too late.
        """
        worker = threading.current_thread()
        with self.breaker.guard():
            if self._stuck is not None and self._stuck.part is self:
                raise Unavailable(f"the {self.name} still works on an earlier call")
            if not isinstance(worker, Worker):
                return self._run(part)
            worker.enter(self)
            try:
                return self._run(part)
            finally:
                worker.leave()

    def give_up(self, worker: "Worker") -> None:
        """Count the call that `worker` is in as a failure, and ask nothing more of the part until it has returned."""
        self._stuck = worker
        self.breaker.failed()

    def _run(self, part: Callable[[], T]) -> T:
        try:
            return part()
        except Exception as error:
            raise Unavailable(f"the {self.name} failed: {type(error).__name__}: {error}") from error


class Worker(threading.Thread):
    """A thread that decides pages, one batch after the other, until it is left behind or told to end."""

    def __init__(self) -> None:
        super().__init__(name="pages", daemon=True)
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._since_s = 0.0
        self._left_behind = False
        self.part: Watchdog | None = None
        """What it is in at the moment."""

    def put(self, decide: Callable[[], T], done: Callable[[T | None, BaseException | None], None]) -> None:
        """Have `decide` called, then `done` with its result or what it raised; both on this thread."""
        self._work.put((decide, done))

    def end(self) -> None:
        """Stop after what was put so far."""
        self._work.put(None)

    def patience_s(self) -> float:
        """How long to wait before looking again; 0 when the part that it is in takes longer than allowed."""
        part, since_s = self.part, self._since_s
        return _LOOK_S if part is None else max(since_s + part.limit_s - time.monotonic(), 0.0)

    def leave_behind(self) -> None:
        """Give up on it: what it is in counts as failed, and it ends as soon as that returns."""
        self._left_behind = True
        if (part := self.part) is not None:
            part.give_up(self)
        self.end()

    def run(self) -> None:
        """See Thread."""
        while (work := self._work.get()) is not None:
            decide, done = work
            try:
                result = decide()
            except LeftBehind:
                return
            except BaseException as error:  # whoever waits raises it
                done(None, error)
            else:
                done(result, None)
            del work, decide, done

    def enter(self, part: Watchdog) -> None:
        """A part begins to work."""
        self._since_s, self.part = time.monotonic(), part

    def leave(self) -> None:
        """It has returned. Raises LeftBehind where nobody waits for that any more."""
        self.part = None
        if self._left_behind:
            raise LeftBehind
