"""New videos become candidates within seconds, without training: the release in service, grown by what was uploaded.

    Upload events → rows at the end of the catalogue → vectors from the release's own video tower → the index, beside its own

A new video has no row in any table: its vector comes from content, category, channel, language and age; the ranker knows its
content and codes; its counters start at zero, and nothing has been watched next to it. Attribute values that the release never
saw count as unknown. Rows so far stay what they are, so the arrays that readers index by row are copied, made longer, and
replaced as one reference by the thread that applies events; a request that began before ends with what it began with.

Vectors of uploads wait in a small exact index beside the main one; `merge`, called now and then from another thread, builds one
index over all while events go on to be applied. A video that was taken down before never comes in.

Growing takes longer the larger the catalogue is; uploads that arrive together grow it once. The daily cap on exploration and
the breakers begin anew. Knows nothing of how logs are stored, or of HTTP.
"""

import json
import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from core import columns as c
from core import events as ev
from core.errors import BadInput
from core.event_log import EventLog
from core.policy import Request, Slate
from data.catalogue import Catalogue, lookup
from data.dataset import conform
from retrieval import index as indexes
from retrieval.config import IndexConfig
from retrieval.cowatch import CoWatch
from retrieval.encoder import VideoEncoder
from serving.consumer import Consumer
from serving.live import LiveRelease
from serving.releases import LoadedRelease
from serving.search import LongerSearch

_PLAIN = {c.CHANNEL_ID: 0, **dict.fromkeys((c.TITLE, c.CHANNEL, c.CATEGORY, c.LANGUAGE), c.UNKNOWN)}
"""What an upload need not say."""
_MOST_BESIDE = 0.5
"""Share of all vectors that may wait beside the main index before they are merged on the spot."""


def _nothing() -> None:
    """Nobody listens."""


class GrowingRelease:
    """A release in service whose catalogue grows with the log. One thread applies events, many ask."""

    def __init__(self, live: LiveRelease) -> None:
        self._live = self._told = live
        self._tower: VideoEncoder | None = None
        self._lock = threading.Lock()
        self.changed: Callable[[], None] = _nothing
        """Called after `live` has become another one, by the thread that did it."""

    @property
    def live(self) -> LiveRelease:
        """The present one; read it once per request."""
        return self._live

    def recommend(self, requests: Sequence[Request], *, explain: bool = False) -> list[Slate]:
        """See `core.policy.Policy`."""
        return self._live.recommender.recommend(requests, explain=explain)

    def apply(self, events: pa.Table) -> None:
        """Take in events in log order, uploads first. Raises StoreUnavailable; apply the same events again then."""
        with self._lock:
            before, uploads = self._live, events.filter(pc.equal(events[c.KIND], ev.UPLOAD))
            if len(uploads):
                if self._tower is None:
                    self._tower = VideoEncoder.load(before.loaded.path)
                found = uploaded(uploads, before.loaded.catalogue, before.suppressed.removed_ids)
                self._live = grown(before, found, self._tower)
            self._live.apply(events)
        self._tell()

    def merge(self) -> bool:
        """One index over all vectors; False where there are none beside the main one. Slow: call it from a thread of its own.

        Raises:
            IndexRefused: that index would find too few of its vectors; the two stay.
        """
        index, video_VD = self._live.loaded.index, self._live.loaded.video_VD
        if index.newer is None:
            return False
        whole = indexes.on_gpu(indexes.build(video_VD, IndexConfig(kind=index.kind)), video_VD)
        with self._lock:
            loaded = self._live.loaded
            self._live = self._live.over(replace(loaded, index=whole.extended(loaded.video_VD, most=1.0)))
        self._tell()
        return True

    def consumer(self, log: EventLog) -> Consumer:
        """A consumer that continues where the release's states end."""
        return self._live.consumer(log, apply=self.apply)

    def _tell(self) -> None:
        """Once everything of a batch is in: also when the batch that made it longer had to be applied again."""
        if self._live is not self._told:
            self._told = self._live
            self.changed()


@dataclass(frozen=True)
class GrownCatalogue(Catalogue):
    """A catalogue whose first `num_released` rows are sorted by id, and whose others are in the order in which they came."""

    num_released: int = 0

    def rows(self, video_ids: ArrayLike) -> NDArray[np.int32]:
        """See Catalogue."""
        row = lookup(self.video_ids[: self.num_released], video_ids)
        newer_ids, order = self._newer
        place = lookup(newer_ids, video_ids)
        return np.where(place >= 0, order[place] + self.num_released, row).astype(np.int32) if len(order) else row

    @cached_property
    def _newer(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        ids = self.video_ids[self.num_released :]
        order = np.argsort(ids, kind="stable")
        return ids[order], order


def uploaded(events: pa.Table, catalogue: Catalogue, removed_ids: Collection[int] = ()) -> pl.DataFrame:
    """New videos of schema `columns.VIDEOS` from Upload events: each once, without those known to the catalogue or taken down.

    An upload that cannot be read is left out and logged. A content vector of another width than the release's is dropped.
    """
    found: dict[int, pl.DataFrame] = {}
    for video_id, event_at, detail in zip(*(events[n].to_pylist() for n in (c.VIDEO_ID, c.EVENT_AT, c.DETAIL)), strict=True):
        if video_id is None or video_id in found or video_id in removed_ids or catalogue.rows([video_id])[0] >= 0:
            continue
        try:
            row = _attributes(json.loads(detail or "{}"), video_id, event_at, catalogue.content.shape[1])
            found[video_id] = conform(pl.DataFrame([row]), c.VIDEOS)
        except (ValueError, TypeError, BadInput, pl.exceptions.PolarsError) as error:
            logging.getLogger("upnext.serving").warning("upload of video %d cannot be read: %s", video_id, error)
    return pl.concat(found.values()) if found else catalogue.frame[:0]


def _attributes(said: Mapping[str, Any], video_id: int, event_at: int, width: int) -> dict[str, Any]:
    if not isinstance(said, Mapping):
        raise BadInput("its attributes are no object")
    known = {field.name: said[field.name] for field in c.VIDEOS if said.get(field.name) is not None}
    content = np.asarray(known.get(c.CONTENT, ()), dtype=np.float32)
    fits = content.shape == (width,) and bool(np.isfinite(content).all())
    plain = _PLAIN | {c.EXTERNAL_ID: str(video_id), c.UPLOADED_AT: event_at}
    row = plain | known | {c.VIDEO_ID: video_id, c.CONTENT: content.tolist() if fits else None}
    return row | {name: str(row[name]) for name in (c.EXTERNAL_ID, c.TITLE, c.CHANNEL, c.CATEGORY, c.LANGUAGE)}


def grown(live: LiveRelease, videos: pl.DataFrame, tower: VideoEncoder) -> LiveRelease:
    """The same release in service with more videos, `live` itself where there are none. Feed only the result afterwards."""
    return live.over(_longer(live.loaded, videos, tower)) if len(videos) else live


def _longer(loaded: LoadedRelease, videos: pl.DataFrame, tower: VideoEncoder) -> LoadedRelease:
    """Every array with a row per video, made longer."""
    before = loaded.catalogue
    new = _wide(Catalogue.coded(videos, before.vocabularies), before.content.shape[1])
    at = max(tower.trained_at, int(new.uploaded_at.max()))
    vectors = tower.encode(new.content, new.codes, new.uploaded_at, at)
    video_VD = np.concatenate([loaded.video_VD, vectors])
    fill = ((0, len(new)), (0, 0))
    neighbours = loaded.cowatch
    return replace(
        loaded,
        catalogue=_joined(before, new),
        video_VD=video_VD,
        index=loaded.index.extended(video_VD, most=_MOST_BESIDE),
        scorer=loaded.scorer.with_videos(new),
        search=_search(loaded).with_more(new.frame),
        cowatch=CoWatch(np.pad(neighbours.rows_VN, fill, constant_values=-1), np.pad(neighbours.weights_VN, fill)),
        video_state=loaded.video_state.longer(len(new)),
    )


def _wide(catalogue: Catalogue, width: int) -> Catalogue:
    """With content of the release's width even where no upload had any."""
    return (
        catalogue
        if catalogue.content.shape[1] == width
        else replace(catalogue, content=np.zeros((len(catalogue), width), np.float32))
    )


def _joined(before: Catalogue, new: Catalogue) -> GrownCatalogue:
    arrays = {
        name: np.concatenate([getattr(before, name), getattr(new, name)])
        for name in ("video_ids", "codes", "duration_s", "uploaded_at", "content")
    }
    return GrownCatalogue(
        frame=pl.concat([before.frame, new.frame], how="diagonal_relaxed"),  # nobody has labelled an upload
        vocabularies=before.vocabularies,
        num_released=before.num_released if isinstance(before, GrownCatalogue) else len(before),
        **arrays,
    )


def _search(loaded: LoadedRelease) -> LongerSearch:
    found = loaded.search
    return found if isinstance(found, LongerSearch) else LongerSearch(found, len(loaded.catalogue))
