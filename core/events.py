"""The events a recommender lives on, as frozen dataclasses at the edge and Arrow tables inside.

`event_id` is the dedupe key. `event_at` is when it happened, `received_at` when the log accepted it; features may only use
an event at time t when `received_at <= t`. Versioned: `migrate` lifts a stored record of any older version to this one.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa

from core import columns as c

SCHEMA_VERSION = 1

IMPRESSION, CLICK, WATCH, LIKE, DISLIKE = "impression", "click", "watch", "like", "dislike"
DISMISS, REGRET, SURVEY, SUBSCRIBE, UNSUBSCRIBE = "dismiss", "regret", "survey", "subscribe", "unsubscribe"
UPLOAD, REMOVE, LABEL = "upload", "remove", "label"
LOADED, FAILED = "loaded", "failed"
OF_PAGES = (LOADED, FAILED)
"""What a page was like for whoever asked for it: nothing that a viewer did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What all events share. `viewer_id` is the actor (the uploader for uploads)."""

    kind: ClassVar[str] = ""
    event_id: str
    event_at: int
    received_at: int
    viewer_id: int
    video_id: int | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Impression(Event):
    """A video was shown. `propensity` is the probability that the policy put this video into this slot."""

    kind: ClassVar[str] = IMPRESSION
    position: int
    surface: str
    release_id: str
    arm: str
    team: str | None = None
    source: str
    propensity: float
    exploration: bool
    feature_hash: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Click(Event):
    """The viewer opened the video."""

    kind: ClassVar[str] = CLICK


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch(Event):
    """The viewer stopped watching after `watch_s` seconds."""

    kind: ClassVar[str] = WATCH
    watch_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Like(Event):
    """Thumb up."""

    kind: ClassVar[str] = LIKE


@dataclass(frozen=True, slots=True, kw_only=True)
class Dislike(Event):
    """Thumb down."""

    kind: ClassVar[str] = DISLIKE


@dataclass(frozen=True, slots=True, kw_only=True)
class Dismiss(Event):
    """ "Not interested", or a skip past a shown video."""

    kind: ClassVar[str] = DISMISS


@dataclass(frozen=True, slots=True, kw_only=True)
class Regret(Event):
    """The viewer says, a day later, that the time was badly spent."""

    kind: ClassVar[str] = REGRET


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey(Event):
    """An answer to "how was this video?", 1 to 5."""

    kind: ClassVar[str] = SURVEY
    rating: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe(Event):
    """Follows the channel of `video_id`."""

    kind: ClassVar[str] = SUBSCRIBE


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe(Event):
    """No longer follows the channel of `video_id`."""

    kind: ClassVar[str] = UNSUBSCRIBE


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload(Event):
    """A new video; `attributes` are its catalogue columns."""

    kind: ClassVar[str] = UPLOAD
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove(Event):
    """The video was taken down."""

    kind: ClassVar[str] = REMOVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Event):
    """A person's annotation: `value` for the question named in `surface`."""

    kind: ClassVar[str] = LABEL
    surface: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(Event):
    """A page stood on the viewer's screen, `load_s` seconds after it was asked for; `video_id` is its first video."""

    kind: ClassVar[str] = LOADED
    load_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    """A page that the viewer asked for did not appear, or broke: the service did not answer, or a script ended by a mistake."""

    kind: ClassVar[str] = FAILED


KINDS: dict[str, type[Event]] = {
    cls.kind: cls
    for cls in (
        Impression, Click, Watch, Like, Dislike, Dismiss, Regret, Survey, Subscribe, Unsubscribe, Upload, Remove, Label,
        Loaded, Failed,
    )
}  # fmt: skip

_VALUE_FIELDS = {"watch_s", "rating", "value", "load_s"}
_DETAIL_FIELDS = {"scores", "attributes"}


def to_row(event: Event) -> dict[str, Any]:
    """The event as one row of `columns.EVENTS`."""
    row: dict[str, Any] = {c.KIND: event.kind}
    for spec in dataclasses.fields(event):
        value = getattr(event, spec.name)
        if spec.name in _VALUE_FIELDS:
            row[c.VALUE] = value
        elif spec.name in _DETAIL_FIELDS:
            row[c.DETAIL] = json.dumps(dict(value), sort_keys=True) if value else None
        else:
            row[spec.name] = value
    return row


def from_row(row: Mapping[str, Any]) -> Event:
    """The inverse of `to_row`. Raises KeyError on an unknown kind."""
    cls = KINDS[row[c.KIND]]
    values: dict[str, Any] = {}
    for spec in dataclasses.fields(cls):
        if spec.name in _VALUE_FIELDS:
            values[spec.name] = row[c.VALUE]
        elif spec.name in _DETAIL_FIELDS:
            values[spec.name] = json.loads(row.get(c.DETAIL) or "{}")
        else:
            values[spec.name] = row.get(spec.name)
    return cls(**values)


def to_table(events: Iterable[Event]) -> pa.Table:
    """Events as an Arrow table of schema `columns.EVENTS`."""
    return pa.Table.from_pylist([to_row(event) for event in events], schema=c.EVENTS)


def from_table(table: pa.Table) -> list[Event]:
    """The inverse of `to_table`; for the edge and tests, not for bulk work."""
    return [from_row(row) for row in table.to_pylist()]


# version -> the step that lifts a stored row to version + 1
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def migrate(row: dict[str, Any], version: int) -> dict[str, Any]:
    """Lift a stored row to SCHEMA_VERSION. Raises ValueError when it comes from the future."""
    if version > SCHEMA_VERSION:
        raise ValueError(f"event schema version {version} is newer than this program's {SCHEMA_VERSION}; upgrade upnext")
    for step in range(version, SCHEMA_VERSION):
        row = MIGRATIONS[step](row)
    return row
