"""Requests whose features are audited: logged ones asked again, or made-up visits, through the serving code as in service.

Events reach the release when they were received: event log → consumer → store and counters; a request at `at` is asked when
everything received before `at` has arrived, and nothing else.
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from core import columns as c
from core import events as ev
from core.clock import HOUR_MS, SECOND_MS
from core.errors import StoreUnavailable
from core.event_log import SqliteEventLog
from core.policy import HOME, Request
from core.settings import Settings
from features import audit, kinds, redis_server
from features.memory_store import MemoryStore
from features.redis_store import RedisStore
from features.schema import FeatureBatch
from features.store import OnlineStore
from serving import impressions
from serving.consumer import MemoryOffset
from serving.live import LiveRelease

_CANDIDATES = 20
"""Videos whose features each request asks for: those of its page, then others by chance."""
_PATIENT_S = 5.0
_VISITORS, _STRANGERS = 25, 5


@dataclass(frozen=True)
class Page:
    """A request, and what answered it."""

    viewer_id: int
    at: int
    video_ids: NDArray[np.int64]
    feature_hash: str | None
    """As served; None where the page does not say, or was made of more than the store knows."""


@dataclass(frozen=True)
class Served:
    """Everything that was asked, and what it read."""

    pages: Sequence[Page]
    video_RK: NDArray[np.int32]
    features: FeatureBatch
    events: pl.DataFrame
    """What happened meanwhile, in the order in which it was received."""
    traffic: str
    """`recorded` or `made up`."""
    lag_ms: int = 0
    """How much later than received an event may have reached the pages' own features: in service, the stream's budget."""


@contextmanager
def store_for(settings: Settings) -> Iterator[OnlineStore]:
    """A store as in service where there is a server for it, else one in memory."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(redis_server.running(settings))
        except StoreUnavailable:
            yield MemoryStore()
            return
        store = RedisStore(url, f"audit:{uuid.uuid4().hex[:8]}", timeout_s=_PATIENT_S)
        stack.callback(store.close)
        stack.callback(store.clear)
        yield store


class Replay:
    """Events reach a release in service when they were received: event log, consumer, store, counters."""

    def __init__(self, live: LiveRelease, folder: Path) -> None:
        self._log = SqliteEventLog(folder / "events.db")
        self._consumer = live.consumer(self._log, MemoryOffset(0))
        self._waiting = frame(c.EVENTS.empty_table())
        self._known: list[pl.DataFrame] = []

    def expect(self, events: pl.DataFrame) -> None:
        """These are going to be received."""
        self._waiting = pl.concat([self._waiting, events]).sort(c.RECEIVED_AT, c.EVENT_ID)

    def until(self, at: int) -> None:
        """Everything received before `at` is in the features when this returns."""
        end = int(self._waiting[c.RECEIVED_AT].search_sorted(at, side="left"))
        due, self._waiting = self._waiting[:end], self._waiting[end:]
        if len(due):
            self._log.append(due.to_arrow().cast(c.EVENTS))
            self._consumer.replay()
            self._known.append(due)

    def close(self) -> pl.DataFrame:
        """Everything that ever was expected, in order."""
        self._log.close()
        return pl.concat([*self._known, self._waiting])


def logged_pages(events: pl.DataFrame, live: LiveRelease, random: np.random.Generator, most: int) -> list[Page]:
    """Pages that the live release answered since it was trained, in the order of their requests; a sample of `most`."""
    release_id, end_at = live.loaded.release_id, live.loaded.end_at
    shown = events.filter(
        (pl.col(c.KIND) == ev.IMPRESSION) & (pl.col(c.RELEASE_ID) == release_id) & (pl.col(c.EVENT_AT) > end_at)
    )
    # The video that an up-next page was asked beside is not in the log, nor are newer videos in the catalogue.
    newer = pl.col(c.VIDEO_ID).is_not_null() & ~pl.col(c.VIDEO_ID).is_in(live.loaded.catalogue.video_ids)
    unsure = (pl.col(c.SURFACE) != HOME) | pl.col(c.VIEWER_ID).is_in(events.filter(newer)[c.VIEWER_ID].implode())
    shown = shown.with_columns(pl.when(~unsure).then(c.FEATURE_HASH).alias(c.FEATURE_HASH))
    columns = (c.VIEWER_ID, c.EVENT_AT, c.FEATURE_HASH)
    found = shown.sort(c.POSITION).group_by(c.REQUEST_ID).agg(*(pl.col(n).first() for n in columns), pl.col(c.VIDEO_ID))
    found = found.sort(c.EVENT_AT, c.REQUEST_ID)
    sampled = found[np.sort(random.permutation(len(found))[:most])].to_dicts()
    return [Page(row[c.VIEWER_ID], row[c.EVENT_AT], np.array(row[c.VIDEO_ID]), row[c.FEATURE_HASH]) for row in sampled]


def replay(live: LiveRelease, folder: Path, events: pl.DataFrame, pages: Sequence[Page], random: np.random.Generator) -> Served:
    """Ask logged requests again, each when everything received before it has arrived."""
    feed, asked = Replay(live, folder), _Asked(live, random)
    feed.expect(events)
    for page in pages:
        feed.until(page.at)
        asked.ask(page)
    return asked.served(feed.close(), "recorded", lag_ms=kinds.STREAM_S * SECOND_MS)


def made_up(live: LiveRelease, folder: Path, num_pages: int, random: np.random.Generator) -> Served:
    """Visits of a few viewers, known and unknown, over about a day and a half, and what they do."""
    feed, asked = Replay(live, folder), _Asked(live, random)
    known = live.loaded.viewers.viewer_ids
    strangers = 2**61 + np.arange(_STRANGERS)
    visitors = np.concatenate([random.choice(known, min(_VISITORS, len(known)), replace=False), strangers])
    at = live.loaded.end_at + SECOND_MS
    for number in range(num_pages):
        pause_s = random.exponential(40.0) + 5 * HOUR_MS / SECOND_MS * (random.random() < 0.02)
        at += int(pause_s * SECOND_MS)
        feed.until(at)
        request = Request(f"skew-{number}", int(random.choice(visitors)), at)
        (slate,) = live.recommender.recommend([request])
        asked.ask(Page(request.viewer_id, at, slate.video_ids, slate.feature_hash))
        feed.expect(frame(impressions.to_table([request], [slate], at + 50)))
        feed.expect(frame(ev.to_table(_reactions(request, slate.video_ids, random))))
    return asked.served(feed.close(), "made up")


def _reactions(request: Request, video_ids: NDArray[np.int64], random: np.random.Generator) -> Iterator[ev.Event]:
    """Clicks on some videos, with a watch, sometimes a like; sometimes received hours after they happened."""
    for video_id in video_ids[random.random(len(video_ids)) < 0.2].tolist():
        late_ms = int(random.integers(0, 30 * HOUR_MS)) if random.random() < 0.1 else 0
        clicked_at = request.at + int(random.integers(1, 10 * SECOND_MS))
        watch_s = float(random.exponential(200.0))
        said: list[tuple[type[ev.Event], int, dict[str, float]]] = [(ev.Click, clicked_at, {})]
        said.append((ev.Watch, clicked_at + int(watch_s * SECOND_MS), {"watch_s": watch_s}))
        if random.random() < 0.2:
            said.append((ev.Like, clicked_at + SECOND_MS, {}))
        for kind, event_at, more in said:
            yield kind(
                event_id=f"{request.request_id}:{video_id}:{kind.kind}", event_at=event_at, received_at=event_at + late_ms,
                viewer_id=request.viewer_id, video_id=video_id, request_id=request.request_id, **more,
            )  # fmt: skip


class _Asked:
    """Asks the online features, page by page."""

    def __init__(self, live: LiveRelease, random: np.random.Generator) -> None:
        self._live, self._random = live, random
        self._pages: list[Page] = []
        self._batches: list[FeatureBatch] = []

    def ask(self, page: Page) -> None:
        """The features of the page's viewer and videos, at its instant."""
        rows = self._live.loaded.catalogue.rows(page.video_ids)
        others = self._random.integers(0, len(self._live.loaded.catalogue), _CANDIDATES)
        video_1K = np.concatenate([rows[rows >= 0], others])[None, :_CANDIDATES].astype(np.int32)
        at = np.array([page.at])
        part = self._live.features.viewer_part(np.array([page.viewer_id]), at)
        self._batches.append(self._live.features.assemble(part, video_1K, at))
        self._pages.append(page)

    def served(self, events: pl.DataFrame, traffic: str, lag_ms: int = 0) -> Served:
        """All of it."""
        features = audit.joined(self._batches)
        return Served(self._pages, features.video_BK, features, events, traffic, lag_ms)


def frame(table: pa.Table) -> pl.DataFrame:
    """An Arrow table as a frame."""
    found = pl.from_arrow(table)
    assert isinstance(found, pl.DataFrame)
    return found
