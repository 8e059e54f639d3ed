"""A slate into the JSON that leaves the server: external ids and, on request, the reasons behind every slot.

Explanations come from the slate alone (source, propensity, scores) and from `Slate.explanation`, whose key `slots` holds one
mapping per slot with `why` (a sentence) and `features` (name → value). Knows nothing of how a slate was made.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from starlette.responses import JSONResponse

from app.services import Live
from core.policy import Request, Slate


class Json(JSONResponse):
    """JSON by orjson; NaN and infinities become null."""

    def render(self, content: Any) -> bytes:
        """The bytes on the wire."""
        return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def slate_json(live: Live, request: Request, slate: Slate, viewer: str, *, explain: bool) -> dict[str, Any]:
    """The answer to a request for a page."""
    rows = live.catalogue.rows(slate.video_ids)
    kept = np.flatnonzero(rows >= 0)
    videos = live.cards.of(rows[kept])
    for card, slot in zip(videos, kept.tolist(), strict=True):
        card["position"] = slot
        if explain:
            card["explain"] = _slot(slate, slot)
    answer: dict[str, Any] = {
        "request_id": slate.request_id,
        "viewer_id": viewer,
        "surface": request.surface,
        "at": request.at,
        "release": slate.release_id or live.release_id,
        "arm": slate.arm,
        "degraded": bool(slate.degraded),
        "reasons": list(slate.degraded),
        "videos": videos,
    }
    if explain:
        answer["stage_ms"] = {name: round(ms, 3) for name, ms in slate.stage_ms.items()}
    return answer


def server_timing(slate: Slate) -> str:
    """Stages in the form that browsers' network panels draw."""
    return ", ".join(f"{name.replace(' ', '_')};dur={ms:.2f}" for name, ms in slate.stage_ms.items())


def _slot(slate: Slate, slot: int) -> dict[str, Any]:
    slots = slate.explanation.get("slots", ())
    detail: Mapping[str, Any] = slots[slot] if slot < len(slots) else {}
    return {
        "source": slate.sources[slot],
        "propensity": float(slate.propensities[slot]),
        "exploration": bool(slate.exploration[slot]),
        "scores": {head: float(values[slot]) for head, values in slate.scores.items()},
        "features": dict(detail.get("features", {})),
        "why": detail.get("why", ""),
        "team": slate.teams[slot] if slate.teams else None,
    }
