"""Small stand-ins for every part of the request path: deterministic, without files or models.

For tests and for working on callers. `parts(…)` is a complete set of working parts; replace one with `Broken` to see what the
recommender does without it.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from core import columns as c
from core import rng
from core.clock import DAY_MS
from core.errors import LogUnavailable, StoreUnavailable
from data.catalogue import Catalogue, ViewerTable
from data.dataset import conform
from features.schema import FeatureBatch, FeatureSchema, ViewerPart
from ranking.config import CombineConfig
from retrieval.cowatch import CoWatch
from retrieval.sources import CoWatchSource, FreshSource, TrendingSource, TwoTowerSource
from serving import filters
from serving.config import ServingConfig
from serving.onboarding import Onboarding
from serving.recommender import Parts
from serving.suppressed import Suppressed

NOW = 1_700_000_000_000
TOPICS = ("Chess", "Cooking", "Space", "Music")
Floats = NDArray[np.float32]
Rows = NDArray[np.int32]

SCHEMA = FeatureSchema(
    viewer_dense=("history_size",),
    viewer_codes=(*c.VIEWER_ATTRIBUTES, "hour", "weekday"),
    viewer_code_sizes=(3, 1, 1, 1, 1, 1, 24, 7),
    video_dense=("video_age",),
    cross_dense=("category_share",),
    cross_codes=("age_band_x_category",),
    cross_code_sizes=(15,),
    history_length=10,
    content_size=0,
    video_code_sizes=(5, 9, 2),
)


def catalogue(num_videos: int = 200) -> Catalogue:
    """Videos 1 … n; video i has topic i mod 4, channel i mod 8, and was uploaded n − i days before NOW."""
    ids = np.arange(1, num_videos + 1)
    topics = [TOPICS[i % len(TOPICS)] for i in ids]
    frame = {
        c.VIDEO_ID: ids,
        c.EXTERNAL_ID: [str(i) for i in ids],
        c.TITLE: [f"{topic} {i}" for topic, i in zip(topics, ids, strict=True)],
        c.CHANNEL_ID: ids % 8 + 1,
        c.CHANNEL: [f"channel {i % 8 + 1}" for i in ids],
        c.CATEGORY: topics,
        c.LANGUAGE: ["en"] * num_videos,
        c.DURATION_S: np.full(num_videos, 300.0),
        c.UPLOADED_AT: NOW - (num_videos - ids) * DAY_MS,
    }
    return Catalogue.of(conform(pl.DataFrame(frame), c.VIDEOS))


def viewers(num_viewers: int = 20) -> ViewerTable:
    """Viewers 1 … n with an age band and nothing else."""
    ids = np.arange(1, num_viewers + 1)
    rest = {name: ["unknown"] * num_viewers for name in c.VIEWER_ATTRIBUTES if name != c.AGE_BAND}
    bands = {c.AGE_BAND: ["18-24" if i % 2 else "25-34" for i in ids]}
    return ViewerTable.of(
        conform(pl.DataFrame({c.VIEWER_ID: ids, c.EXTERNAL_ID: [str(i) for i in ids], **bands, **rest}), c.VIEWERS)
    )


class Features:
    """FeatureReader over a dictionary of histories (rows, latest first)."""

    def __init__(self, videos: Catalogue, viewer_table: ViewerTable, histories: Mapping[int, list[int]]) -> None:
        self.catalogue = videos
        self.viewers = viewer_table
        self.histories = dict(histories)

    def viewer_part(self, viewer_ids: NDArray[np.int64], at: NDArray[np.int64]) -> ViewerPart:
        """See FeatureReader."""
        return self._part(viewer_ids, [self.histories.get(int(viewer), []) for viewer in viewer_ids])

    def blank_part(self, viewer_ids: NDArray[np.int64], at: NDArray[np.int64]) -> ViewerPart:
        """See FeatureReader."""
        return self._part(viewer_ids, [[] for _ in viewer_ids])

    def assemble(self, part: ViewerPart, video_BK: Rows, at: NDArray[np.int64]) -> FeatureBatch:
        """See FeatureReader."""
        category_BK = self.catalogue.category[video_BK]
        watched = np.where(part.history_BL >= 0, self.catalogue.category[part.history_BL], -1)
        share = (watched[:, None, :] == category_BK[:, :, None]).mean(axis=2)
        age = np.log1p(np.maximum(at[:, None] - self.catalogue.uploaded_at[video_BK], 0) / DAY_MS)
        codes = (part.codes_BC[:, :1] * 5 + category_BK)[..., None]
        as_floats = [matrix[..., None].astype(np.float32) for matrix in (age, share)]
        return FeatureBatch(part, video_BK, as_floats[0], as_floats[1], codes.astype(np.int32))

    def _part(self, viewer_ids: NDArray[np.int64], histories: list[list[int]]) -> ViewerPart:
        length = SCHEMA.history_length
        padded = [(rows + [-1] * length)[:length] for rows in histories]
        codes = np.concatenate([self.viewers.attributes(viewer_ids), np.zeros((len(viewer_ids), 2), dtype=np.int32)], axis=1)
        return ViewerPart(
            dense_BF=np.array([[len(rows) / length] for rows in histories], dtype=np.float32),
            codes_BC=codes.astype(np.int32),
            history_BL=np.array(padded, dtype=np.int32).reshape(len(histories), length),
            history_age_BL=np.zeros((len(histories), length), dtype=np.float32),
            seen=tuple(np.array(rows, dtype=np.int32) for rows in histories),
        )


@dataclass(frozen=True)
class Encoder:
    """Encoder: the mean of the history's video vectors."""

    video_VD: Floats

    def encode(self, part: ViewerPart) -> Floats:
        """See Encoder in `stages`."""
        history = part.history_BL
        mean = (self.video_VD[history] * (history >= 0)[..., None]).sum(axis=1)
        norm = np.linalg.norm(mean, axis=1, keepdims=True)
        return np.where(norm > 0, mean / np.maximum(norm, 1e-9), self.video_VD.shape[1] ** -0.5).astype(np.float32)


@dataclass(frozen=True)
class Index:
    """Exact search with −1 padding."""

    video_VD: Floats

    def search(self, queries: Floats, k: int) -> tuple[Floats, Rows]:
        """See Index in `retrieval.sources`."""
        scores = queries @ self.video_VD.T
        top = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        rows = np.full((len(queries), k), -1, dtype=np.int32)
        rows[:, : top.shape[1]] = top
        best = np.zeros((len(queries), k), dtype=np.float32)
        best[:, : top.shape[1]] = np.take_along_axis(scores, top, axis=1)
        return best, rows


@dataclass(frozen=True)
class Scorer:
    """Scorer: P(click) grows with affinity and with the category's share of the history."""

    combine: CombineConfig = field(default_factory=CombineConfig)

    def score(self, batch: FeatureBatch, affinity_BK: Floats) -> dict[str, Floats]:
        """See Scorer in `stages`."""
        click = 1 / (1 + np.exp(2 - affinity_BK - batch.cross_dense_BKF[..., 0]))
        return {"click": click.astype(np.float32), "watch": (300 * click).astype(np.float32)}


@dataclass(frozen=True)
class Counts:
    """VideoCounts that never change."""

    of_now: ClassVar[bool] = False
    clicks_V: Floats
    impressions_V: Floats

    def clicks(self, at: int) -> Floats:
        """See VideoCounts."""
        return self.clicks_V

    def impressions(self, at: int) -> Floats:
        """See VideoCounts."""
        return self.impressions_V


class Broken:
    """Any part, out of order: every method raises."""

    def __init__(self, error: Exception | None = None, name: str = "broken") -> None:
        self._error = error or StoreUnavailable("nobody answers")
        self.name = name
        self.combine = CombineConfig()

    def __getattr__(self, method: str) -> Any:
        def fail(*args: Any, **kwargs: Any) -> NoReturn:
            raise self._error

        return fail


class MemoryLog:
    """EventLog in a list; set `down` to make it refuse."""

    def __init__(self) -> None:
        self.down = False
        self._rows: list[dict[str, Any]] = []
        self._ids: set[str] = set()
        self._lock = threading.Lock()

    def append(self, events: pa.Table) -> list[str]:
        """See EventLog."""
        with self._lock:
            self._refuse_if_down()
            rows = events.to_pylist()
            for row in rows:
                if row[c.EVENT_ID] not in self._ids:
                    self._ids.add(row[c.EVENT_ID])
                    self._rows.append(row)
            return [row[c.EVENT_ID] for row in rows]

    def read(self, after: int = 0, limit: int = 10_000) -> tuple[pa.Table, int]:
        """See EventLog."""
        with self._lock:
            self._refuse_if_down()
            found = self._rows[after : after + limit]
            return pa.Table.from_pylist(found, schema=c.EVENTS), after + len(found)

    def of_viewer(self, viewer_id: int) -> pa.Table:
        """See EventLog."""
        return pa.Table.from_pylist([row for row in self._rows if row[c.VIEWER_ID] == viewer_id], schema=c.EVENTS)

    def forget(self, viewer_id: int) -> int:
        """See EventLog. Leaves gaps' offsets to its reader: the rows move up."""
        with self._lock:
            before, self._rows = len(self._rows), [row for row in self._rows if row[c.VIEWER_ID] != viewer_id]
            return before - len(self._rows)

    def _refuse_if_down(self) -> None:
        if self.down:
            raise LogUnavailable("the log is down")


def vectors(videos: Catalogue, dim: int = 16) -> Floats:
    """Unit vectors in which videos of one topic are near each other."""
    centres = rng.stream(0, "fake topics").normal(size=(len(videos.vocabularies[0]), dim))
    noise = rng.stream(0, "fake videos").normal(size=(len(videos), dim))
    raw = centres[videos.category] + 0.5 * noise
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


def neighbours(videos: Catalogue, top: int = 5) -> CoWatch:
    """Each video's neighbours are the next ones."""
    size = len(videos)
    rows = (np.arange(size)[:, None] + np.arange(1, top + 1)) % max(size, 1)
    return CoWatch(rows.astype(np.int32), np.full((size, top), 0.5, dtype=np.float32))


def parts(
    num_videos: int = 200,
    histories: Mapping[int, list[int]] | None = None,
    config: ServingConfig | None = None,
    suppressed: Suppressed | None = None,
) -> Parts:
    """A complete recommender's parts. Viewer 1 has watched rows 3, 7 and 11 (all Space) unless told otherwise."""
    videos, viewer_table = catalogue(num_videos), viewers()
    video_VD = vectors(videos)
    counts = Counts(np.arange(num_videos, 0, -1, dtype=np.float32), np.arange(num_videos, dtype=np.float32))
    suppressed = suppressed or Suppressed(videos)
    return Parts(
        catalogue=videos,
        features=Features(videos, viewer_table, {1: [3, 7, 11]} if histories is None else histories),
        encoder=Encoder(video_VD),
        video_VD=video_VD,
        sources=(
            TwoTowerSource(Index(video_VD)),
            CoWatchSource(neighbours(videos)),
            TrendingSource(counts, videos.uploaded_at),
            FreshSource(counts, videos.uploaded_at),
        ),
        filters=(
            filters.Removed(suppressed),
            filters.NotYetUploaded(videos.uploaded_at),
            filters.Current(),
            filters.Seen(num_videos),
            filters.Dismissed(suppressed, num_videos),
        ),
        scorer=Scorer(),
        onboarding=Onboarding(videos, counts),
        schema=SCHEMA,
        release_id="fake",
        config=config or ServingConfig(),
    )
