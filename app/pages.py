"""The HTML pages: shells filled by small modules in the browser, which talk to the same JSON routes as everybody else.

Assets live under a path that contains their own hash, so a browser may keep them for ever and never mixes two versions.
Everything is read once, when the app is built.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.labelling import QUESTIONS
from app.services import Services
from core import columns as c

_WEB = Path(__file__).parent / "web"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOR_EVER = {"cache-control": "public, max-age=31536000, immutable"}


class Pages:
    """Handlers that render templates."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._assets = {path.name: path.read_bytes() for path in sorted(_WEB.iterdir()) if path.suffix in _TYPES}
        self._version = hashlib.sha256(b"\0".join(self._assets.values())).hexdigest()[:12]
        self._templates = Environment(
            loader=FileSystemLoader(_WEB), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )

    def router(self) -> APIRouter:
        """All page routes; they are not part of the API description."""
        router = APIRouter(include_in_schema=False)
        handlers: dict[str, Callable[..., Any]] = {
            "/": self.home,
            "/watch/{video_id}": self.watch,
            "/ops": self.ops,
            "/ops/experiments": self.experiments,
            "/ops/reports": self.reports,
            "/ops/features": self.features,
            "/ops/tables": self.tables,
            "/label": self.label,
            "/docs": self.docs,
            "/favicon.ico": self.favicon,
            "/static/{version}/{name}": self.asset,
        }
        for path, handler in handlers.items():
            router.add_api_route(path, handler, response_class=HTMLResponse)
        return router

    async def home(self) -> Response:
        """The feed; `?q=` and `?category=` show search results and one category."""
        return self._render("home.html")

    async def watch(self, video_id: str) -> Response:
        """One video with what to watch next."""
        live = self._services.releases.live
        rows = live.find(video_id)
        if not len(rows):
            raise HTTPException(404, f"there is no video '{video_id[:100]}'")
        return self._render("watch.html", video=live.cards.of(rows)[0])

    async def ops(self) -> Response:
        """Latency, sources and state of the service."""
        return self._render("ops.html")

    async def experiments(self) -> Response:
        """What is tried, and what it shows so far."""
        return self._render("experiments.html")

    async def reports(self) -> Response:
        """Where the live release comes from, its gates, the checks of its data, and drift since."""
        return self._render("reports.html")

    async def features(self) -> Response:
        """What is declared, how old what is served is, and whether it is what the log says."""
        return self._render("features.html")

    async def tables(self) -> Response:
        """Tables of the live release, the releases there are, and the way back."""
        return self._render("tables.html")

    async def label(self) -> Response:
        """One video after another, for people to answer a question about."""
        return self._render("label.html", questions=QUESTIONS)

    async def docs(self, request: Request) -> Response:
        """The API, from its own description."""
        app: FastAPI = request.app
        return self._render("docs.html", api=app.openapi(), groups=_by_tag(app.openapi()))

    async def favicon(self) -> Response:
        """The mark."""
        return RedirectResponse(f"/static/{self._version}/mark.svg", status_code=308)

    async def asset(self, version: str, name: str) -> Response:
        """A style sheet, module or picture."""
        if name not in self._assets:
            raise HTTPException(404, "there is no such file")
        headers = _FOR_EVER if version == self._version else {"cache-control": "no-cache"}
        return Response(self._assets[name], media_type=_TYPES[Path(name).suffix], headers=headers)

    def error(self, status: int, text: str) -> Response:
        """A page for a person who took a wrong turn."""
        return self._render("error.html", status=status, text=text)

    def _render(self, template: str, **values: Any) -> Response:
        live = self._services.releases.live
        first = live.viewers.frame[c.EXTERNAL_ID][0] if len(live.viewers) else ""
        html = self._templates.get_template(template).render(
            static=f"/static/{self._version}",
            categories=live.cards.categories(),
            first_viewer=first,
            release_id=live.release_id,
            **values,
        )
        return HTMLResponse(html, status_code=values.get("status", 200))


def _by_tag(api: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append({"path": path, "method": method.upper(), **operation})
    return groups
