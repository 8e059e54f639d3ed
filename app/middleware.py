"""What every request passes through, as plain ASGI: a limit on size and time of its body, security headers, a timer.

The policy forbids inline script and style and any other origin, so nothing a title contains can run.
"""

import asyncio
import time

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.telemetry import Telemetry

MAX_BODY = 1_000_000
BODY_S = 10.0
"""A body must have arrived by then: a client that sends a byte a minute holds nothing for longer."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"cache-control", b"no-store"),
)
"""Sent with every answer that does not say otherwise."""


class Guard:
    """Adds headers, limits bodies to MAX_BODY bytes (413) and BODY_S seconds (408), and times every answer."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def guarded_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status, headers = message["status"], message["headers"]
                said = {name for name, _ in headers}
                message["headers"] = [*headers, *(header for header in _HEADERS if header[0] not in said)]
            await send(message)

        try:
            await self._app(scope, _limited(scope, receive), guarded_send)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            self._telemetry.request(route, status, time.perf_counter() - began)


def _limited(scope: Scope, receive: Receive) -> Receive:
    declared = Headers(scope=scope).get("content-length", "")
    told = int(declared[:18]) if declared.isascii() and declared.isdigit() else 0  # int() refuses thousands of digits
    received, complete, until = told if told > MAX_BODY else 0, False, asyncio.get_running_loop().time() + BODY_S

    async def limited_receive() -> Message:
        nonlocal received, complete
        if complete:  # what comes now is the end of the connection
            return await receive()
        if received > MAX_BODY:
            message: Message = {"type": "http.request"}
        else:
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(408, f"the body did not arrive within {BODY_S:.0f} seconds") from error
        complete = not message.get("more_body", False)
        received += len(message.get("body", b""))
        if received > MAX_BODY:
            raise HTTPException(413, f"the body is larger than {MAX_BODY:,} bytes; send smaller batches")
        return message

    return limited_receive
