"""What the features page shows: every declared feature, how old its served values are, and what the newest audit found.

Which features there are is code (`features.listing`), the ages are the live release's, and the audit is what `upnext features
skew` has left in the space. Reading is open and changes nothing.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from app.answers import Json
from app.services import Services
from features import listing
from features.freshness import Age


class FeatureList:
    """The page's data over HTTP."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def router(self) -> APIRouter:
        """Its route."""
        router = APIRouter(default_response_class=Json, tags=["operations"])
        router.add_api_route("/ops/features/summary", self.summary)
        return router

    async def summary(self) -> Response:
        """Every declared feature with the ages of what feeds it, and the newest audit of served values, null without one."""
        return Json(await run_in_threadpool(self._summary))

    def _summary(self) -> dict[str, Any]:
        services = self._services
        ages = services.releases.live.ages(services.clock.now())
        return {
            "features": [one.to_json() | {"ages": _of(one.name, ages)} for one in listing.entries()],
            "viewers_held": services.viewers_held(),
            "audit": services.reports().get("skew"),
        }


def _of(name: str, ages: Sequence[Age]) -> list[dict[str, Any]]:
    """Of every group that feeds a feature; empty for one that the live release does not read."""
    wanted = ("group", "age_s", "budget_s", "late")
    return [{key: said[key] for key in wanted} for age in ages if name in age.features for said in [age.to_json()]]
