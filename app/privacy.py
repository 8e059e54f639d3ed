"""What is held of one viewer, and how it goes away. For whoever has the admin token.

Deleting marks the viewer as forgotten (`data.tombstones`: later training runs and restarts leave the viewer out), removes the
events from the live log, the records of pages (`serving.counterfactual`), and the state from the store. Doing it twice is doing
it once. The answer also says where something stays, and what removes it there.
"""

from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pyarrow as pa
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from app import schemas
from app.answers import Json
from app.ops import ADMIN, require_token
from app.scoreboard import Scoreboard
from app.services import Services
from core import columns as c
from core.errors import LogUnavailable, StoreUnavailable
from core.ids import to_id
from serving import met
from serving.counterfactual import Writer

STAYS = (
    "daily partitions, until `upnext data compact`",
    "old snapshots, until `upnext data gc`",
    "models and profiles inside a release, until the next `upnext train`",
    "sums over many viewers, such as how often a video was clicked",
    "dismissals and arms of experiments in this process's memory, until it restarts",
)
_WAIT_S = 2.0
_PROBLEMS = schemas.problems(*schemas.ADMIN, 422, 429, 503)


class Privacy:
    """Handlers over the services."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def router(self) -> APIRouter:
        """Both routes."""
        router = APIRouter(default_response_class=Json, tags=["privacy"], dependencies=ADMIN, responses=_PROBLEMS)
        router.add_api_route("/viewers/{viewer_id}/data", self.export, response_model=schemas.ViewerData)
        router.add_api_route("/viewers/{viewer_id}", self.delete, methods=["DELETE"], response_model=schemas.Deleted)
        return router

    async def export(self, request: Request, viewer_id: schemas.PathId) -> Response:
        """Everything that the service holds of a viewer."""
        require_token(request, self._services.settings.admin_token)
        return Json(await run_in_threadpool(self._held, viewer_id))

    async def delete(self, request: Request, viewer_id: schemas.PathId) -> Response:
        """Forget a viewer; 503 when a part did not answer, and then delete again."""
        require_token(request, self._services.settings.admin_token)
        return Json(await run_in_threadpool(self._forget, viewer_id))

    def _held(self, viewer: str) -> dict[str, Any]:
        services, viewer_id = self._services, to_id(viewer)
        known = services.releases.live.viewers.frame.filter(pl.col(c.VIEWER_ID) == viewer_id)
        return {
            "viewer_id": viewer,
            "profile": known.select(c.EXTERNAL_ID, *c.VIEWER_ATTRIBUTES).to_dicts()[0] if len(known) else None,
            "events": _plain(services.event_log.of_viewer(viewer_id)),
            "features": services.follower.state(viewer_id),
            "records": services.records.of_viewer(viewer_id),
        }

    def _forget(self, viewer: str) -> dict[str, Any]:
        services, viewer_id = self._services, to_id(viewer)
        forgotten_at = services.mark_forgotten(viewer_id)
        if not services.impressions.flush(_WAIT_S):
            raise LogUnavailable("pages of this viewer still wait to be logged; delete again")
        events = services.event_log.forget(viewer_id)
        if not services.follower.catch_up(_WAIT_S):  # events read before they were removed must not come after the state went
            raise StoreUnavailable("events are still on their way to the features; delete again")
        features, records = services.follower.forget(viewer_id), services.records.forget(viewer_id)
        return {
            "viewer_id": viewer,
            "forgotten_at": forgotten_at,
            "events": events,
            "features": features,
            "records": records,
            "stays_in": list(STAYS),
        }


class PageRecords:
    """`services.Records` of a real service: the files of its folder, and what experiments know of a viewer."""

    def __init__(self, space: Path, writer: Writer, scoreboard: Scoreboard) -> None:
        self._space, self._writer, self._scoreboard = space, writer, scoreboard

    def of_viewer(self, viewer_id: int) -> list[dict[str, Any]]:
        """See Records."""
        return self._writer.of_viewer(viewer_id)

    def forget(self, viewer_id: int) -> int:
        """See Records."""
        self._scoreboard.forget(viewer_id)
        met.forget(self._space, viewer_id)
        return self._writer.forget(viewer_id)


def _plain(events: pa.Table) -> list[dict[str, Any]]:
    """Events without empty fields."""
    rows = [{name: value for name, value in row.items() if value is not None} for row in events.to_pylist()]
    return [row | ({c.DETAIL: orjson.loads(row[c.DETAIL])} if c.DETAIL in row else {}) for row in rows]
