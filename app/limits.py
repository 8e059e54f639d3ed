"""Who is let in: decided before any work is done, from the path, two headers and the client's address.

    429   the client sent more than its token bucket holds
    503   a page would wait too long: expected wait = pages in flight × mean time between two finished pages (Little's law);
          `X-Priority: prefetch` gives up at a shorter wait than the default, `interactive`, so it goes first

Both answers carry Retry-After and say why. Operations are always let in, or nobody could see what is wrong. Clients behind one
address share a bucket. Knows nothing of what a page is.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from math import ceil
from types import SimpleNamespace

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from app.services import Limits
from app.telemetry import Telemetry

PRIORITY, PREFETCH, INTERACTIVE = b"x-priority", "prefetch", "interactive"
_ALWAYS = ("/healthz", "/readyz", "/metrics", "/ops", "/admin/")
_COSTLY = ("/recommend", "/upnext/", "/search", "/browse")
"""Paths that take milliseconds of processor time; the others are files, or wait for a disk."""
_REFUSED = SimpleNamespace(path="refused")
_REMEMBERED = 10_000
_WEIGHT = 0.05
_STALL = 20
"""Gaps longer than so many pages are cut: a machine that stood still for a moment is not a slow service."""


class Buckets:
    """One token bucket per client: `per_s` tokens a second, at most `burst` of them. The longest unseen are forgotten."""

    def __init__(self, per_s: float, burst: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._burst, self._monotonic = per_s, burst, monotonic
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Take one token; seconds until there is one again, 0 when there was."""
        now = self._monotonic()
        tokens, seen = self._left.pop(client, (float(self._burst), now))
        tokens = min(tokens + (now - seen) * self._per_s, float(self._burst))
        enough = tokens >= 1
        self._left[client] = (tokens - enough, now)
        if len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)
        return 0.0 if enough else (1 - tokens) / self._per_s


class Line:
    """Pages in flight, and how long one more would take."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._last = 0.0
        self.in_flight = 0
        self.page_s = 0.01
        """Mean time between two finished pages while there is something to do, recent ones counting most."""

    @property
    def wait_s(self) -> float:
        """Expected wait of one more page."""
        return self.in_flight * self.page_s

    def enter(self) -> None:
        """A page begins."""
        if not self.in_flight:
            self._last = self._monotonic()
        self.in_flight += 1

    def leave(self) -> None:
        """A page has been answered, or given up."""
        now = self._monotonic()
        self.page_s += _WEIGHT * (min(now - self._last, _STALL * self.page_s) - self.page_s)
        self._last = now
        self.in_flight -= 1


class Doorkeeper:
    """ASGI middleware that lets requests in, or says when to come again."""

    def __init__(self, app: ASGIApp, limits: Limits, telemetry: Telemetry) -> None:
        self._app, self._limits, self._telemetry = app, limits, telemetry
        self._buckets = Buckets(limits.per_client_per_s, limits.per_client_burst)
        self._line = Line()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry. Notes the arrival (`time.monotonic`) as the request's state `arrived_s`."""
        if scope["type"] != "http" or scope["path"].startswith(_ALWAYS):
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})["arrived_s"] = time.monotonic()
        pause_s = self._buckets.take((scope.get("client") or ("",))[0])
        if pause_s:
            await self._refuse(scope, send, "client", 429, "too many requests from this address; send fewer", pause_s)
        elif not scope["path"].startswith(_COSTLY):
            await self._app(scope, receive, send)
        elif self._full(priority := _priority(scope)):
            text = "more is asked for than can be answered in time; try again"
            await self._refuse(scope, send, priority, 503, text, self._line.wait_s)
        else:
            self._line.enter()
            try:
                await self._app(scope, receive, send)
            finally:
                self._line.leave()

    def _full(self, priority: str) -> bool:
        limits, line = self._limits, self._line
        most_s = limits.prefetch_wait_s if priority == PREFETCH else limits.interactive_wait_s
        return line.in_flight >= limits.in_flight or (line.in_flight > 0 and line.wait_s > most_s)

    async def _refuse(self, scope: Scope, send: Send, reason: str, status: int, text: str, pause_s: float) -> None:
        self._telemetry.refused(reason)
        scope["route"] = _REFUSED
        body = orjson.dumps({"error": text, "details": []})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        headers.append((b"retry-after", b"%d" % max(ceil(pause_s), 1)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _priority(scope: Scope) -> str:
    asked = next((value for name, value in scope["headers"] if name == PRIORITY), b"")
    return PREFETCH if asked.strip().lower() == PREFETCH.encode() else INTERACTIVE
