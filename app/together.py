"""Pages that are asked for while another one is decided are decided in one batch: it costs two thirds of one by one.

No request waits for company, and none hurries another: only those with the same time allowed share a batch. The event loop
hands a batch to one worker thread and goes on letting requests in; so it can answer at once that there is too much to do, and
can leave a worker behind that hangs (`serving.watchdog`).
"""

import asyncio
import weakref
from contextlib import suppress
from dataclasses import dataclass

from app.services import Live
from core.policy import Request, Slate
from serving.watchdog import Worker

MAX_TOGETHER = 16
"""Largest batch: the last page of a batch waits for all of it."""


@dataclass(frozen=True)
class _Asked:
    """A request, and where its page goes."""

    live: Live
    explain: bool
    allowed_ms: float
    request: Request
    slate: "asyncio.Future[Slate]"

    def goes_with(self, other: "_Asked") -> bool:
        return self.live is other.live and (self.explain, self.allowed_ms) == (other.explain, other.allowed_ms)


class Together:
    """Collects requests of one event loop."""

    def __init__(self) -> None:
        self._waiting: list[_Asked] = []
        self._batch: list[_Asked] = []
        """What the worker decides now."""
        self._worker: Worker | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def recommend(self, live: Live, request: Request, *, explain: bool, allowed_ms: float = 0.0) -> Slate:
        """The slate of one request. Raises what the recommender raised for its batch.

        Args:
            live: what decides it.
            request: with its deadline.
            explain: fill `Slate.explanation`.
            allowed_ms: time it had on arrival.
        """
        loop = asyncio.get_running_loop()
        slate: asyncio.Future[Slate] = loop.create_future()
        if not self._waiting and not self._batch:
            loop.call_soon(self._next, loop)
        self._waiting.append(_Asked(live, explain, allowed_ms, request, slate))
        return await slate

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        first = self._waiting[0]
        self._batch = [asked for asked in self._waiting if asked.goes_with(first)][:MAX_TOGETHER]
        taken = {id(asked) for asked in self._batch}
        self._waiting = [asked for asked in self._waiting if id(asked) not in taken]
        self._decide(loop)

    def _decide(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand the batch to a worker, and look after a while whether it hangs."""
        batch, worker = self._batch, self._worker
        if worker is None:
            worker = self._worker = Worker()
            worker.start()
            weakref.finalize(self, worker.end)
        recommender, explain = batch[0].live.recommender, batch[0].explain

        def done(slates: list[Slate] | None, error: BaseException | None) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(self._done, loop, batch, slates, error)

        worker.put(lambda: recommender.recommend([asked.request for asked in batch], explain=explain), done)
        self._timer = loop.call_later(worker.patience_s(), self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        assert self._worker is not None
        if patience_s := self._worker.patience_s():
            self._timer = loop.call_later(patience_s, self._look, loop)
            return
        self._worker.leave_behind()
        self._worker = None
        self._decide(loop)

    def _done(
        self, loop: asyncio.AbstractEventLoop, batch: list[_Asked], slates: list[Slate] | None, error: BaseException | None
    ) -> None:
        if batch is not self._batch:  # of a worker that was left behind
            return
        if self._timer is not None:
            self._timer.cancel()
        self._batch = []
        for place, asked in enumerate(batch):
            if asked.slate.done():  # its client has gone
                continue
            if slates is None:
                asked.slate.set_exception(error or RuntimeError("no page was decided"))
            else:
                asked.slate.set_result(slates[place])
        if self._waiting:
            self._next(loop)
