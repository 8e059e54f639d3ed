"""Shapes of requests and answers on the wire, with examples: the source of the API page.

All ids are the caller's own strings; instants are milliseconds since 1970-01-01T00:00Z; `_s` seconds, `_ms` milliseconds.
"""

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

MAX_K = 100
MAX_EVENTS = 1_000
MAX_WATCH_S = 86_400.0
MAX_LOAD_S = 600.0

ClientKind = Literal[
    "click", "watch", "like", "dislike", "dismiss", "regret", "survey", "subscribe", "unsubscribe", "loaded", "failed"
]
"""Kinds a page may send; impressions are written by the server."""


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Token = Annotated[str, BeforeValidator(_text), Field(min_length=1, max_length=100)]


PathId = Annotated[str, Path(min_length=1, max_length=100, description="As the source writes it.")]


class EventIn(BaseModel):
    """Something a viewer did, or what a page was like for them: how long it took to appear, or that it failed."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "event_id": "f1c9…:742:click", "kind": "click", "viewer_id": "17", "video_id": "742",
                "request_id": "f1c9…", "position": 3,
            }
        },
    )  # fmt: skip

    kind: ClientKind
    viewer_id: Token
    video_id: Token | None = None
    """Absent where a page `failed` only."""
    event_id: Token | None = None
    """Dedupe key: sending it twice counts once. The server makes one when absent."""
    request_id: Token | None = None
    """The page that showed the video."""
    position: Annotated[int, Field(ge=0, lt=1_000)] | None = None
    surface: Annotated[str, Field(max_length=40)] | None = None
    event_at: Annotated[int, Field(ge=0, lt=1 << 62)] | None = None
    value: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Seconds for `watch` and `loaded`, 1 to 5 for `survey`."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "EventIn":
        if self.video_id is None and self.kind != "failed":
            raise ValueError(f"a {self.kind} needs a video_id")
        if self.kind == "loaded" and not (self.value is not None and 0 <= self.value <= MAX_LOAD_S):
            raise ValueError(f"a loaded page needs a value between 0 and {MAX_LOAD_S:.0f} seconds")
        if self.kind == "watch" and not (self.value is not None and 0 <= self.value <= MAX_WATCH_S):
            raise ValueError(f"a watch needs a value between 0 and {MAX_WATCH_S:.0f} seconds")
        if self.kind == "survey" and not (self.value is not None and 1 <= self.value <= 5):
            raise ValueError("a survey needs a value from 1 to 5")
        return self


class EventsIn(BaseModel):
    """A batch of events; each stands or falls alone."""

    events: Annotated[list[EventIn], Field(min_length=1, max_length=MAX_EVENTS)]


class Rejected(BaseModel):
    """An event that was not accepted."""

    index: int
    reason: str


class Receipt(BaseModel):
    """What became of a batch. Accepted events are on disk."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "accepted": ["f1c9…:742:click"],
                "rejected": [{"index": 1, "reason": "unknown video '0'"}],
                "applied": True,
            }
        }
    )

    accepted: list[str]
    rejected: list[Rejected]
    applied: bool
    """Whether the next page already knows of them; only ever true with `wait=true`."""


class Video(BaseModel):
    """What a page shows of a video."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "video_id": "742", "title": "The endgame nobody teaches", "channel": "Quiet Rooks", "channel_id": "31",
                "category": "Chess", "duration_s": 734.0, "uploaded_at": 1767225600000,
            }
        }
    )  # fmt: skip

    video_id: str
    title: str
    channel: str
    channel_id: str
    category: str
    duration_s: float | None
    uploaded_at: int | None


class Explain(BaseModel):
    """Why a video is in its slot."""

    source: str
    """Who proposed it first."""
    propensity: float
    """Probability that it lands in this slot, given the slots before."""
    exploration: bool
    scores: dict[str, float]
    features: dict[str, Any]
    why: str
    team: str | None = None
    """On a page that merges two rankings: which of them, `a` or `b`, is credited with a click."""


class VideoIn(BaseModel):
    """A new video. All but its id may be left out; what is unknown cannot help it to be found."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "video_id": "900001", "title": "A queen sacrifice, slowly", "channel_id": "31", "channel": "Quiet Rooks",
                "category": "Chess", "language": "en", "duration_s": 734.0,
            }
        },
    )  # fmt: skip

    video_id: Token
    title: Annotated[str, Field(max_length=500)] | None = None
    channel_id: Token | None = None
    channel: Annotated[str, Field(max_length=200)] | None = None
    category: Annotated[str, Field(max_length=100)] | None = None
    language: Annotated[str, Field(max_length=40)] | None = None
    duration_s: Annotated[float, Field(ge=0, le=MAX_WATCH_S)] | None = None
    uploaded_at: Annotated[int, Field(ge=0, lt=1 << 62)] | None = None
    """Now when absent, and never later."""
    content: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(max_length=4_096)] | None = None
    """A vector like those that the release was trained with; without one the video is found by its other attributes."""


class VideosIn(BaseModel):
    """New videos; each stands or falls alone."""

    videos: Annotated[list[VideoIn], Field(min_length=1, max_length=MAX_EVENTS)]


class Placed(Video):
    """A video in a slot."""

    position: int
    explain: Explain | None = None


class SlateOut(BaseModel):
    """A page: videos in display order, and how it came about."""

    request_id: str
    viewer_id: str
    surface: str
    at: int
    release: str
    arm: str
    degraded: bool
    reasons: list[str]
    """What was missing, in plain words."""
    videos: list[Placed]
    stage_ms: dict[str, float] | None = None


class Found(BaseModel):
    """Videos found by title or category."""

    query: str
    videos: list[Video]


class ViewerOut(BaseModel):
    """A known viewer."""

    viewer_id: str
    age_band: str
    gender: str
    country: str
    language: str
    device: str
    segment: str


class ViewersOut(BaseModel):
    """Viewers whose id or attributes match."""

    query: str
    viewers: list[ViewerOut]


class ViewerData(BaseModel):
    """Everything that the service holds of a viewer."""

    viewer_id: str
    profile: dict[str, str] | None
    """Attributes in the live release."""
    events: list[dict[str, Any]]
    """The live log's, oldest first."""
    features: dict[str, Any]
    """The online store's: counters as (sum, tile, amount), clicks as (video, instant), lengths of watches; and `ahead`, the
    page and the nearest videos that were found ahead of time, by release."""
    records: list[dict[str, Any]]
    """Of a share of pages, what they were chosen from (`serving.counterfactual`), oldest first."""


class Deleted(BaseModel):
    """What went away when a viewer was forgotten."""

    viewer_id: str
    forgotten_at: int
    """When it was first asked for."""
    events: int
    """Removed from the live log by this request."""
    features: bool
    """Whether the online store held anything."""
    records: int
    """Records of pages removed by this request."""
    stays_in: list[str]
    """Where something may be left, and what removes it there."""


class Problem(BaseModel):
    """Every error answer."""

    model_config = ConfigDict(json_schema_extra={"example": {"error": "there is no video '0'", "details": []}})

    error: str
    details: list[dict[str, Any]] = []


_MEANINGS = {
    401: "Wrong or missing token",
    403: "Admin routes are off: the server has no token",
    404: "Unknown video",
    408: "The body took too long to arrive",
    409: "The release was refused; the one before keeps serving",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "Nothing of it can be taken: arguments out of range",
    429: "Too many requests from this address",
    503: "Something did not answer, or too much is asked for; Retry-After says when to come again",
}
ADMIN = (401, 403)
"""What a route behind the token may answer."""
BODY = (408, 413, 415)
"""What a route that reads a body may answer."""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Error answers of a route, for the API's description."""
    return {status: {"model": Problem, "description": _MEANINGS[status]} for status in sorted(statuses)}


BATCH = problems(*BODY, 422, 429, 503) | {
    422: {"model": Receipt | Problem, "description": "Nothing of it can be taken, and why"}
}
"""Of routes that take many things at once."""


def body(schema: dict[str, Any]) -> dict[str, Any]:
    """What the API's description says of a route that reads its body itself."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def body_of_many(batch: type[BaseModel], name: str) -> dict[str, Any]:
    """The same of a body `{name: [item, …]}`, with the item's example."""
    schema = batch.model_json_schema()
    (item,) = schema.pop("$defs").values()
    schema["properties"][name]["items"] = item
    schema["example"] = {name: [item["example"]]}
    return body(schema)
