"""New videos in, and videos out, while the service runs. For whoever has the admin token.

Both are events in the log, so they are on disk before they are acknowledged, reach every server that follows the log, survive a
restart, and go into the next release. A video that was taken down stays away under its id for good. Ids of events follow from
ids of videos: sending something again changes nothing.
"""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app import schemas
from app.answers import Json
from app.ingest import Ingest, each_alone, parse, require_json
from app.ops import ADMIN, require_token
from app.services import Live, Services
from core import columns as c
from core import events as ev
from core.errors import BadInput
from core.ids import to_id

Wait = Annotated[bool, Query(description="Answer once the next page can know.")]
_UPLOAD, _REMOVE = schemas.BATCH | schemas.problems(*schemas.ADMIN), schemas.problems(*schemas.ADMIN, 404, 422, 429, 503)


class Uploads:
    """Handlers over the services."""

    def __init__(self, services: Services, ingest: Ingest) -> None:
        self._services, self._ingest = services, ingest

    def router(self) -> APIRouter:
        """Both routes."""
        router = APIRouter(default_response_class=Json, tags=["catalogue"], dependencies=ADMIN)
        body = schemas.body_of_many(schemas.VideosIn, "videos")
        router.add_api_route(
            "/videos", self.upload, methods=["POST"], response_model=schemas.Receipt, responses=_UPLOAD, openapi_extra=body
        )
        router.add_api_route(
            "/videos/{video_id}", self.remove, methods=["DELETE"], response_model=schemas.Receipt, responses=_REMOVE
        )
        return router

    async def upload(self, request: Request, wait: Wait = False) -> Response:
        """Add videos, at most 1,000 at a time. They can be shown as soon as the features know of them: with `wait`, now."""
        require_token(request, self._services.settings.admin_token)
        require_json(request)
        live, now = self._services.releases.live, self._services.clock.now()
        found = parse(await request.body(), "videos")
        rows, rejected = each_alone(found, lambda raw: _upload(schemas.VideoIn.model_validate(raw), live, now))
        return (await self._ingest.keep(rows, rejected, wait=wait)).receipt()

    async def remove(self, request: Request, video_id: schemas.PathId, wait: Wait = False) -> Response:
        """Take a video down. No page, search or list shows it again, under no later release."""
        require_token(request, self._services.settings.admin_token)
        live = self._services.releases.live
        row = live.find(video_id)
        if not len(row):
            raise HTTPException(404, f"there is no video '{video_id[:100]}'")
        at, channel = self._services.clock.now(), int(live.catalogue.frame[c.CHANNEL_ID][int(row[0])])
        removal = _event(ev.REMOVE, to_id(video_id), channel, at, at)
        return (await self._ingest.keep([removal], [], wait=wait)).receipt()


def _upload(video: schemas.VideoIn, live: Live, now: int) -> dict[str, Any]:
    video_id = to_id(video.video_id)
    if live.gone(video_id):
        raise BadInput(f"the video '{video.video_id}' was taken down; upload it under another id")
    if live.catalogue.rows([video_id])[0] >= 0:
        raise BadInput(f"there is a video '{video.video_id}' already")
    width = live.catalogue.content.shape[1]
    if video.content is not None and len(video.content) != width:
        raise BadInput(f"content of {len(video.content)} numbers; those of the live release have {width}")
    at = now if video.uploaded_at is None else min(video.uploaded_at, now)
    channel = to_id(video.channel_id or video.channel or c.UNKNOWN)
    said = video.model_dump(exclude_none=True, exclude={"video_id"})
    said |= {c.EXTERNAL_ID: video.video_id, c.CHANNEL_ID: channel, c.UPLOADED_AT: at}
    return _event(ev.UPLOAD, video_id, channel, at, now) | {c.DETAIL: json.dumps(said, sort_keys=True)}


def _event(kind: str, video_id: int, channel: int, at: int, now: int) -> dict[str, Any]:
    """A row of `columns.EVENTS` whose id says what it is about."""
    return {
        c.EVENT_ID: f"{kind}/{video_id}",
        c.KIND: kind,
        c.EVENT_AT: at,
        c.RECEIVED_AT: now,
        c.VIEWER_ID: channel,
        c.VIDEO_ID: video_id,
    }
