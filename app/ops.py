"""Routes for whoever runs the service: health, readiness, metrics, the operations summary, and changing the release.

Reading is open; changing needs the token from UPNEXT_ADMIN_TOKEN as `Authorization: Bearer …`, compared in constant time.
"""

import hmac
from typing import Any

from fastapi import APIRouter, Security
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app import schemas
from app.answers import Json
from app.services import Live, Services
from app.telemetry import Telemetry
from core.errors import LogUnavailable

ADMIN = [Security(HTTPBearer(scheme_name="admin token", description="From UPNEXT_ADMIN_TOKEN.", auto_error=False))]
"""Dependencies of admin routes: they say so in the API's description. `require_token` decides."""


class Ops:
    """Handlers over the services."""

    def __init__(self, services: Services, telemetry: Telemetry) -> None:
        self._services = services
        self._telemetry = telemetry

    def router(self) -> APIRouter:
        """All operations routes."""
        router = APIRouter(default_response_class=Json, tags=["operations"])
        router.add_api_route("/healthz", self.health)
        router.add_api_route("/readyz", self.ready, responses=schemas.problems(503))
        router.add_api_route("/metrics", self.metrics, response_class=PlainTextResponse)
        router.add_api_route("/ops/summary", self.summary)
        changes: dict[str, Any] = {"methods": ["POST"], "dependencies": ADMIN}
        changes["responses"] = schemas.problems(*schemas.ADMIN, 409, 503)
        router.add_api_route("/admin/reload", self.reload, **changes)
        router.add_api_route("/admin/promote", self.promote, **changes)
        router.add_api_route("/admin/rollback", self.rollback, **changes)
        return router

    async def health(self) -> Response:
        """The process answers."""
        return Json({"status": "ok"})

    async def ready(self) -> Response:
        """A release is loaded and the event log can be read; 503 says what is missing."""
        checks = {"release": self._services.releases.live.release_id, "event_log": "ok"}
        try:
            self._services.event_log.read(after=2**62, limit=1)
        except LogUnavailable as error:
            checks["event_log"] = str(error)
        ready = checks["event_log"] == "ok"
        return Json({"ready": ready, "checks": checks}, 200 if ready else 503)

    async def metrics(self) -> Response:
        """Prometheus text."""
        return Response(self._telemetry.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def summary(self) -> Response:
        """The last pages: time per stage, sources, what was missing."""
        return Json({"release": _facts(self._services.releases.live), **self._telemetry.summary()})

    async def reload(self, request: Request) -> Response:
        """Serve what the `live` pointer names now."""
        require_token(request, self._services.settings.admin_token)
        return Json(_facts(await run_in_threadpool(self._services.releases.reload)))

    async def promote(self, request: Request) -> Response:
        """Serve the candidate, where its gates were asked and passed."""
        require_token(request, self._services.settings.admin_token)
        return Json(_facts(await run_in_threadpool(self._services.releases.promote)))

    async def rollback(self, request: Request) -> Response:
        """Serve the previous release again."""
        require_token(request, self._services.settings.admin_token)
        return Json(_facts(await run_in_threadpool(self._services.releases.rollback)))


def require_token(request: Request, token: str | None) -> None:
    """Raises HTTPException 403 when no token is configured, 401 when the request does not carry it."""
    if not token:
        raise HTTPException(403, "admin routes are off; start the server with UPNEXT_ADMIN_TOKEN set")
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise HTTPException(401, "wrong or missing token", headers={"www-authenticate": "Bearer"})


def _facts(live: Live) -> dict[str, Any]:
    return {"release_id": live.release_id, "num_videos": len(live.catalogue), "num_viewers": len(live.viewers), **live.facts}
