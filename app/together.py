"""Pages that are asked for at the same moment are decided in one batch: it costs two thirds of deciding them one by one.

No request waits for company, and none hurries another: only those with the same time allowed share a batch. Handlers that the
event loop starts in one turn hand their request in; the next turn decides all of them at once. When the server is idle that is
a batch of one; when it is busy, the queue empties faster than it grows.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from app.services import Live
from core.policy import Request, Slate

MAX_TOGETHER = 16
"""Largest batch: the last page of a batch waits for all of it."""


@dataclass
class Together:
    """Collects requests of one event loop."""

    waiting: list[tuple[Live, tuple[bool, float], Request, "asyncio.Future[Slate]"]] = field(default_factory=list)

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
        if not self.waiting:
            loop.call_soon(self._decide)
        self.waiting.append((live, (explain, allowed_ms), request, slate))
        return await slate

    def _decide(self) -> None:
        now, self.waiting = self.waiting[:MAX_TOGETHER], self.waiting[MAX_TOGETHER:]
        if self.waiting:
            asyncio.get_running_loop().call_soon(self._decide)
        batches = defaultdict(list)
        for live, kind, request, slate in now:
            batches[id(live), kind].append((live, request, slate))
        for (_, (explain, _)), batch in batches.items():
            _answer(batch, explain)


def _answer(batch: list[tuple[Live, Request, "asyncio.Future[Slate]"]], explain: bool) -> None:
    live = batch[0][0]
    try:
        slates = live.recommender.recommend([request for _, request, _ in batch], explain=explain)
    except Exception as error:  # each of the waiting handlers answers with it
        for _, _, future in batch:
            if not future.done():
                future.set_exception(error)
        return
    for (_, _, future), slate in zip(batch, slates, strict=True):
        if not future.done():  # its client may have gone
            future.set_result(slate)
