"""Errors into answers: one JSON shape for programs, a page for people. Internal details never leave the server."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.answers import Json
from core.errors import BadInput, ReleaseRefused, Unavailable

Handler = Callable[[Request, Exception], Awaitable[Response]]
ErrorPage = Callable[[int, str], Response]


def install(app: FastAPI, page: ErrorPage) -> None:
    """Register a handler for everything that may be raised."""

    def answer(request: Request, status: int, text: str, details: list[dict[str, Any]] | None = None) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return page(status, text)
        return Json({"error": text, "details": details or []}, status)

    async def http(request: Request, error: Exception) -> Response:
        known = cast(HTTPException, error)
        response = answer(request, known.status_code, str(known.detail))
        response.headers.update(known.headers or {})
        return response

    async def invalid(request: Request, error: Exception) -> Response:
        found = cast(RequestValidationError, error).errors()
        details = [{"where": ".".join(map(str, one["loc"])), "reason": one["msg"]} for one in found]
        return answer(request, 422, "; ".join(f"{d['where']}: {d['reason']}" for d in details), details)

    async def unexpected(request: Request, error: Exception) -> Response:
        # The server logs the traceback; it is raised again after this answer.
        return answer(request, 500, "something went wrong on the server; it has been logged")

    app.add_exception_handler(HTTPException, cast(Any, http))
    app.add_exception_handler(RequestValidationError, cast(Any, invalid))
    app.add_exception_handler(BadInput, cast(Any, _plain(answer, 422)))
    app.add_exception_handler(ReleaseRefused, cast(Any, _plain(answer, 409)))
    app.add_exception_handler(Unavailable, cast(Any, _plain(answer, 503, {"retry-after": "1"})))
    app.add_exception_handler(Exception, cast(Any, unexpected))


def _plain(
    answer: Callable[[Request, int, str], Response], status: int, headers: Mapping[str, str] = MappingProxyType({})
) -> Handler:
    async def handle(request: Request, error: Exception) -> Response:
        response = answer(request, status, str(error))
        response.headers.update(headers)
        return response

    return handle
