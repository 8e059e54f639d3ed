"""The JSON routes. They only translate: external ids in, slates out; every decision is made in `serving`.

Pages are decided on a thread beside the event loop (`together`); everything else, pages made ahead of time too, takes less than
the way there and back.
"""

from dataclasses import replace
from typing import Annotated, Any

import polars as pl
from fastapi import APIRouter, Header, Query
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from app import schemas
from app.answers import Json, server_timing, slate_json
from app.ingest import Ingest, require_json
from app.services import Live, Services
from app.telemetry import Telemetry
from app.together import Together
from core import columns as c
from core.ids import to_id
from core.policy import HOME, UP_NEXT, Request

K = Annotated[int, Query(ge=1, le=schemas.MAX_K, description="Number of videos.")]
ViewerId = Annotated[str, Query(max_length=100, description="Any viewer; unknown and empty ones get a page for everybody.")]
Text = Annotated[str, Query(max_length=200, description="Words to look for.")]
Explain = Annotated[bool, Query(description="Add source, scores, features, propensity and time per stage.")]
Deadline = Annotated[
    int | None,
    Header(
        alias="X-Request-Deadline-Ms", ge=1, le=60_000, description="Time for this page; later, what is optional is left out."
    ),
]
Topics = Annotated[
    list[Annotated[str, Field(max_length=100)]],
    Query(max_length=10, description="Categories that a new viewer says to like; heard until there are a few clicks."),
]
Kids = Annotated[bool, Query(description="Only what is for kids, as far as the release's labels tell.")]
Preview = Annotated[bool, Query(description="Nobody sees this page: do not log impressions.")]

_PRIORITY = {
    "name": "X-Priority",
    "in": "header",
    "description": "A `prefetch`, for a page that nobody looks at yet, is the first to be refused when too much is asked for.",
    "schema": {"enum": ["interactive", "prefetch"], "default": "interactive"},
}
_PROBLEMS = schemas.problems(422, 429, 503)
_MISSING = schemas.problems(404, 422, 429, 503)


class Api:
    """Handlers over the services."""

    def __init__(self, services: Services, ingest: Ingest, telemetry: Telemetry) -> None:
        self._services = services
        self._ingest = ingest
        self._telemetry = telemetry
        self._together = Together()

    def router(self) -> APIRouter:
        """All JSON routes."""
        router = APIRouter(default_response_class=Json)
        add = router.add_api_route
        page: dict[str, Any] = {"response_model": schemas.SlateOut, "tags": ["pages"]}
        page["openapi_extra"] = {"parameters": [_PRIORITY]}
        add("/recommend", self.recommend, responses=_PROBLEMS, **page)
        add("/upnext/{video_id}", self.up_next, responses=_MISSING, **page)
        add("/search", self.search, response_model=schemas.Found, responses=_PROBLEMS, tags=["catalogue"])
        add("/browse", self.browse, response_model=schemas.Found, responses=_PROBLEMS, tags=["catalogue"])
        add("/videos/{video_id}", self.video, response_model=schemas.Video, responses=_MISSING, tags=["catalogue"])
        add("/viewers", self.viewers, response_model=schemas.ViewersOut, responses=_PROBLEMS, tags=["catalogue"])
        body = schemas.body_of_many(schemas.EventsIn, "events")
        add(
            "/events", self.events, methods=["POST"], response_model=schemas.Receipt,
            responses=schemas.BATCH, tags=["feedback"], openapi_extra=body,
        )  # fmt: skip
        return router

    async def recommend(
        self,
        http: HttpRequest,
        viewer_id: ViewerId = "",
        k: K = 10,
        explain: Explain = False,
        preview: Preview = False,
        kids: Kids = False,
        topics: Topics = [],  # noqa: B006 FastAPI copies it
        deadline_ms: Deadline = None,
    ) -> Response:
        """The home page of a viewer."""
        live, services = self._services.releases.live, self._services
        request = Request(services.new_id(), to_id(viewer_id), services.clock.now(), HOME, k, kids=kids, topics=tuple(topics))
        return await self._page(http, live, viewer_id, request, deadline_ms, explain=explain, preview=preview)

    async def up_next(
        self,
        http: HttpRequest,
        video_id: str,
        viewer_id: ViewerId = "",
        k: K = 10,
        explain: Explain = False,
        preview: Preview = False,
        kids: Kids = False,
        deadline_ms: Deadline = None,
    ) -> Response:
        """What to watch after a video."""
        live, services = self._services.releases.live, self._services
        _row(live, video_id)
        request = Request(services.new_id(), to_id(viewer_id), services.clock.now(), UP_NEXT, k, to_id(video_id), kids=kids)
        return await self._page(http, live, viewer_id, request, deadline_ms, explain=explain, preview=preview)

    async def _page(
        self,
        http: HttpRequest,
        live: Live,
        viewer: str,
        request: Request,
        deadline_ms: int | None,
        *,
        explain: bool,
        preview: bool,
    ) -> Response:
        allowed_ms = live.deadline_ms if deadline_ms is None else float(deadline_ms)
        request = replace(request, answer_by_s=http.state.arrived_s + allowed_ms / 1e3)
        slate = None if explain else live.ahead(request)
        if slate is None:
            slate = await self._together.recommend(live, request, explain=explain, allowed_ms=allowed_ms)
        if not preview:
            self._services.impressions.put([request], [slate])
        self._telemetry.page(slate, request.surface, request.at)
        answer = slate_json(live, request, slate, viewer, explain=explain)
        return Json(answer, headers={"server-timing": server_timing(slate)})

    async def search(self, q: Text = "", k: K = 20) -> Response:
        """Videos by words of their title, best match first."""
        live = self._services.releases.live
        return Json({"query": q, "videos": live.cards.of(live.visible(live.search.rows(q, k))) if q.strip() else []})

    async def browse(self, category: Text, k: K = 24) -> Response:
        """The newest videos of a category, the same for everybody."""
        live = self._services.releases.live
        rows = live.cards.newest(category, self._services.clock.now(), k)
        return Json({"query": category, "videos": live.cards.of(live.visible(rows))})

    async def video(self, video_id: str) -> Response:
        """One video."""
        live = self._services.releases.live
        return Json(live.cards.of(_row(live, video_id))[0])

    async def viewers(self, q: Text = "", k: K = 20) -> Response:
        """Known viewers; every word must occur in the id or an attribute."""
        found = self._services.releases.live.viewers.frame
        names = (c.EXTERNAL_ID, *c.VIEWER_ATTRIBUTES)
        for word in q.lower().split()[:8]:
            found = found.filter(
                pl.any_horizontal(pl.col(n).str.to_lowercase().str.contains(word, literal=True) for n in names)
            )
        shown = found.head(k).select(pl.col(c.EXTERNAL_ID).alias(c.VIEWER_ID), *c.VIEWER_ATTRIBUTES)
        return Json({"query": q, "viewers": shown.to_dicts()})

    async def events(
        self,
        request: HttpRequest,
        wait: Annotated[bool, Query(description="Answer once the next page can know.")] = False,
    ) -> Response:
        """What viewers did, at most 1,000 at a time. Accepted events are on disk when this answers."""
        require_json(request)
        self._ingest.require_room()
        outcome = await self._ingest.accept(await request.body(), wait=wait)
        self._telemetry.events(outcome.kinds, len(outcome.rejected))
        return outcome.receipt()


def _row(live: Live, video_id: str) -> Any:
    rows = live.find(video_id)
    if not len(rows):
        raise HTTPException(404, f"there is no video '{video_id[:100]}'")
    return rows
