"""What every request passes through, as plain ASGI: a size limit, security headers, a timer.

The policy forbids inline script and style and any other origin, so nothing a title contains can run.
"""

import time

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.telemetry import Telemetry

MAX_BODY = 1_000_000
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
    """Adds headers, limits bodies to MAX_BODY bytes (413) and times every answer."""

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
    received = int(declared) if declared.isdigit() and int(declared) > MAX_BODY else 0

    async def limited_receive() -> Message:
        nonlocal received
        message = {"type": "http.request"} if received > MAX_BODY else await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY:
            raise HTTPException(413, f"the body is larger than {MAX_BODY:,} bytes; send smaller batches")
        return message

    return limited_receive
