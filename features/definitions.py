"""The features of this project, each declared once. Training, serving and the release's schema hash all read this.

To add a feature, add a line here; to add a kind of feature, see `kinds`.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from core import columns as c
from core import events as ev
from core.clock import DAY_MS
from data.catalogue import Catalogue, ViewerTable
from features import kinds as k
from features.schema import FeatureSchema
from features.tiles import SHARE_PCT, WATCH_MS, Sum, distinct

F = TypeVar("F", bound=k.Feature)

HISTORY_LENGTH = 50
REMEMBERED_WATCHES = 20
_LONG_AGO = 10.0  # log1p of 2.5 years in hours: further away than anything a window remembers

LENGTH_EDGES_S = (60.0, 240.0, 720.0, 1800.0)
"""Edges of the length buckets: unknown, then under 1, 4, 12, 30 minutes, and longer."""
DAYPARTS = 4
"""Night, morning, afternoon, evening: six hours each, UTC."""


@dataclass(frozen=True)
class Definitions:
    """All declared features, by the matrix they end in."""

    history: k.LastN
    watches: k.LastN
    viewer: tuple[k.Feature, ...]
    viewer_codes: tuple[k.Attribute, ...]
    context_codes: tuple[k.CalendarPart, ...]
    video: tuple[k.Feature, ...]
    cross: tuple[k.Feature, ...]
    cross_codes: tuple[k.Cross, ...]

    def __iter__(self) -> Iterator[k.Feature]:
        yield from (self.history, self.watches, *self.viewer, *self.viewer_codes, *self.context_codes)
        yield from (*self.video, *self.cross, *self.cross_codes)

    def of(self, schema: Mapping[str, Any]) -> "Definitions":
        """Those that a release was trained with, by the names of its columns: features declared since are not read for it."""

        def kept(declared: tuple[F, ...], columns: str) -> tuple[F, ...]:
            return tuple(feature for feature in declared if feature.name in schema.get(columns, ()))

        return dataclasses.replace(
            self,
            viewer=kept(self.viewer, "viewer_dense"),
            viewer_codes=kept(self.viewer_codes, "viewer_codes"),
            context_codes=kept(self.context_codes, "viewer_codes"),
            video=kept(self.video, "video_dense"),
            cross=kept(self.cross, "cross_dense"),
            cross_codes=kept(self.cross_codes, "cross_codes"),
        )

    @cached_property
    def viewer_sums(self) -> tuple[Sum, ...]:
        """Window sums kept per viewer; the position of each is its index in a ViewerState."""
        return distinct(spec for feature in self.viewer for spec in feature.sums)

    @cached_property
    def video_sums(self) -> tuple[Sum, ...]:
        """Window sums kept per video."""
        return distinct(spec for feature in self.video for spec in feature.sums)

    def schema(self, catalogue: Catalogue, viewers: ViewerTable) -> FeatureSchema:
        """Names of all columns, and the sizes that the catalogue and the viewer table give to the codes."""
        sizes = code_sizes(catalogue, viewers)
        return FeatureSchema(
            viewer_dense=tuple(feature.name for feature in self.viewer),
            viewer_codes=tuple(feature.name for feature in (*self.viewer_codes, *self.context_codes)),
            viewer_code_sizes=(
                *(sizes[feature.column] for feature in self.viewer_codes),
                *(feature.codes for feature in self.context_codes),
            ),
            video_dense=tuple(feature.name for feature in self.video),
            cross_dense=tuple(feature.name for feature in self.cross),
            cross_codes=tuple(feature.name for feature in self.cross_codes),
            cross_code_sizes=tuple(sizes[feature.left] * sizes[feature.right] for feature in self.cross_codes),
            history_length=self.history.n,
            content_size=int(catalogue.content.shape[1]),
            video_code_sizes=tuple(len(vocabulary) for vocabulary in catalogue.vocabularies),
        )


def code_sizes(catalogue: Catalogue, viewers: ViewerTable) -> dict[str, int]:
    """How many values each code has that a cross may name."""
    sizes = dict(zip(c.VIEWER_ATTRIBUTES, (len(v) for v in viewers.vocabularies), strict=True))
    return {**sizes, c.CATEGORY: len(catalogue.vocabularies[0]), "length": len(LENGTH_EDGES_S) + 2, "daypart": DAYPARTS}


def schema_hash(schema: FeatureSchema, definitions: Definitions | None = None) -> str:
    """16 hex digits over every column, size and declaration: a release and the code that serves it must agree."""
    declared = [(type(f).__name__, _meaning(f)) for f in definitions or default_definitions()]
    text = json.dumps([dataclasses.asdict(schema), declared], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _meaning(feature: k.Feature) -> dict[str, Any]:
    """All fields but those that are for people only."""
    told = {spec.name for spec in dataclasses.fields(feature) if k.TOLD in spec.metadata}
    return {name: value for name, value in dataclasses.asdict(feature).items() if name not in told}


def default_definitions(labels: Iterable[str] = (), *, shelved: bool = False) -> Definitions:
    """The features that models read; `labels` are the questions that the catalogue carries labels of.

    With `shelved`, also those that are declared and can be served, but have not earned a place in a model (`_shelved`).
    """
    return Definitions(
        history=k.LastN(
            name="history", entity="viewer", event=ev.CLICK, n=HISTORY_LENGTH, description="videos of the latest clicks"
        ),
        watches=k.LastN(
            name="watches", entity="viewer", event=ev.WATCH, n=REMEMBERED_WATCHES, description="lengths of the latest watches"
        ),
        viewer=(*_viewer(), *(_shelved() if shelved else ())),
        viewer_codes=tuple(
            k.Attribute(name=n, entity="viewer", column=n, freshness_s=k.RELEASE_S, description=f"the viewer's {n}")
            for n in c.VIEWER_ATTRIBUTES
        ),
        context_codes=(
            k.CalendarPart(name="hour", entity="context", part="hour", description="hour of the request, UTC"),
            k.CalendarPart(name="weekday", entity="context", part="weekday", description="weekday of the request, Monday 0"),
        ),
        video=(*_video(), *_labels(labels)),
        cross=_cross(),
        cross_codes=_cross_codes(),
    )


def _viewer() -> tuple[k.Feature, ...]:
    return (
        k.WindowCount(
            name="viewer_impressions_1d", entity="viewer", event=ev.IMPRESSION, window=k.DAY, description="impressions in a day"
        ),
        k.WindowCount(name="viewer_clicks_1d", entity="viewer", event=ev.CLICK, window=k.DAY, description="clicks in a day"),
        k.WindowCount(name="viewer_clicks_7d", entity="viewer", event=ev.CLICK, window=k.WEEK, description="clicks in a week"),
        k.WindowCount(name="viewer_likes_30d", entity="viewer", event=ev.LIKE, window=k.MONTH, description="likes in a month"),
        k.Rate(
            name="viewer_ctr_7d", entity="viewer", event=ev.CLICK, chance=ev.IMPRESSION, window=k.WEEK,
            prior=0.1, strength=20.0, description="share of shown videos that were clicked, shrunk towards 10 %",
        ),
        k.Mean(
            name="viewer_watch_mean_30d", entity="viewer", event=ev.WATCH, quantity=WATCH_MS, window=k.MONTH,
            unit=1000.0, log=True, description="mean seconds of a watch, log",
        ),
        k.Std(name="viewer_watch_std", entity="viewer", description="spread of the latest watch lengths, log seconds"),
        k.SessionCount(name="session_clicks", entity="viewer", description="clicks of the running session"),
        k.TimeSince(
            name="hours_since_click", entity="viewer", of="click", default=_LONG_AGO, description="hours since the latest click"
        ),
        k.Size(name="history_size", entity="viewer", longest=HISTORY_LENGTH, description="how full the history is"),
        k.Share(
            name="top_category_share", entity="viewer", of="top category",
            description="share of the most frequent category in the history",
        ),
    )  # fmt: skip


def _shelved() -> tuple[k.Feature, ...]:
    """Features of viewers that no model reads: with all four, nDCG@10 was lower in three of four tiny worlds."""
    return (
        k.WatchQuantile(
            name="viewer_watch_min", entity="viewer", quantile=0.0, description="shortest of the latest watches, log seconds"
        ),
        k.WatchQuantile(
            name="viewer_watch_median", entity="viewer", quantile=0.5, description="median of the latest watches, log seconds"
        ),
        k.WatchQuantile(
            name="viewer_watch_max", entity="viewer", quantile=1.0, description="longest of the latest watches, log seconds"
        ),
        k.SessionMean(
            name="session_clicks_mean_30d", entity="viewer", span_ms=30 * DAY_MS,
            description="clicks per session, of the remembered ones of 30 days",
        ),
    )  # fmt: skip


def _video() -> tuple[k.Feature, ...]:
    return (
        k.WindowCount(
            name="video_impressions_1d", entity="video", event=ev.IMPRESSION, window=k.DAY, description="times shown in a day"
        ),
        k.WindowCount(name="video_clicks_1d", entity="video", event=ev.CLICK, window=k.DAY, description="clicks in a day"),
        k.WindowCount(name="video_clicks_7d", entity="video", event=ev.CLICK, window=k.WEEK, description="clicks in a week"),
        k.Rate(
            name="video_ctr_7d", entity="video", event=ev.CLICK, chance=ev.IMPRESSION, window=k.WEEK,
            prior=0.1, strength=20.0, description="share of impressions that were clicked, shrunk towards 10 %",
        ),
        k.Mean(
            name="video_watch_share_7d", entity="video", event=ev.WATCH, quantity=SHARE_PCT, window=k.WEEK,
            unit=100.0, strength=5.0, default=0.4, description="mean share of the video that was watched, shrunk towards 40 %",
        ),
        k.Rate(
            name="video_like_rate_30d", entity="video", event=ev.LIKE, chance=ev.CLICK, window=k.MONTH,
            prior=0.05, strength=20.0, description="likes per click, shrunk towards 5 %",
        ),
        k.TimeSince(
            name="video_age", entity="video", of="upload", unit_hours=24.0, freshness_s=k.RELEASE_S,
            description="days since the upload, log; 0 where unknown",
        ),
        k.Attribute(
            name="video_age_known", entity="video", column="age_known", freshness_s=k.RELEASE_S,
            description="whether the upload time is known",
        ),
        k.Attribute(
            name="video_duration", entity="video", column="duration_s", log=True, freshness_s=k.RELEASE_S,
            description="length in seconds, log; 0 where unknown",
        ),
    )  # fmt: skip


def _cross() -> tuple[k.Feature, ...]:
    return (
        k.Share(name="category_share", entity="cross", of="category", description="share of the history in this category"),
        k.Share(name="channel_share", entity="cross", of="channel", description="share of the history from this channel"),
        k.TimeSince(
            name="hours_since_category", entity="cross", of="category", default=_LONG_AGO,
            description="hours since the latest click in this category",
        ),
        k.TimeSince(
            name="hours_since_channel", entity="cross", of="channel", default=_LONG_AGO,
            description="hours since the latest click on this channel",
        ),
        k.Vector(name="content_cosine", entity="cross", of="content", description="candidate against the history's content"),
        k.Attribute(
            name="same_language", entity="cross", column="same_language", freshness_s=k.RELEASE_S,
            description="whether viewer and video share a known language",
        ),
    )  # fmt: skip


def _cross_codes() -> tuple[k.Cross, ...]:
    pairs = ((c.AGE_BAND, c.CATEGORY), (c.DEVICE, "length"), ("daypart", c.CATEGORY))
    return tuple(
        k.Cross(name=f"{left}_x_{right}", entity="cross", left=left, right=right, description=f"{left} with {right}")
        for left, right in pairs
    )


def _labels(questions: Iterable[str]) -> tuple[k.Feature, ...]:
    return tuple(
        k.Attribute(
            name=f"video_{question}", entity="video", column=question, freshness_s=k.RELEASE_S,
            description=f"probability of the label '{question}'; 0 where unknown",
        )
        for question in questions
    )  # fmt: skip


def length_bucket(duration_s: np.ndarray) -> np.ndarray:
    """0 unknown, then 1 … 5 by `LENGTH_EDGES_S`."""
    return np.where(duration_s > 0, 1 + np.searchsorted(LENGTH_EDGES_S, duration_s, side="right"), 0).astype(np.int32)
