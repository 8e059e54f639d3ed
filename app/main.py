"""The composition root: builds every object once and hands it over by constructor. Nothing is built at import."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app import problems
from app.api import Api
from app.ingest import Ingest
from app.middleware import Guard
from app.ops import Ops
from app.pages import Pages
from app.services import Services
from app.telemetry import Telemetry

_ABOUT = (
    "Recommendations for a video site: two-tower retrieval, ranking, exploration, and the feedback loop that keeps them honest."
)


def create_app(services: Services) -> FastAPI:
    """The ASGI application over `services`; starts and closes them with its own life."""
    telemetry, ingest, pages = Telemetry(services), Ingest(services), Pages(services)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        services.start()
        try:
            yield
        finally:
            ingest.close()
            services.close()

    app = FastAPI(title="upnext", version="0.1.0", description=_ABOUT, lifespan=life, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, telemetry=telemetry)
    problems.install(app, pages.error)
    for part in (Api(services, ingest, telemetry), Ops(services, telemetry), pages):
        app.include_router(part.router())
    return app
