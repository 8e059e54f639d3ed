"""A small invented site in memory: the same app without models, stores or files, for tests and for working on the pages.

The recommender is a toy with one honest property: categories that a viewer clicked come first next time.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from app.cards import Cards
from app.services import Live, Services, new_id
from core import columns as c
from core import events as ev
from core import rng
from core.clock import DAY_MS, Clock
from core.errors import ReleaseRefused
from core.event_log import SAID
from core.ids import to_id
from core.policy import UP_NEXT, Request, Slate
from core.settings import Settings
from data.catalogue import Catalogue, ViewerTable
from data.dataset import conform
from data.labels.answers import Answers

_TITLES = {
    "Chess": ("The endgame nobody teaches", "Sicilian traps in five minutes", "I played a grandmaster blindfold"),
    "Cooking": ("Bread that needs no kneading", "One pan, twelve dinners", "What a knife can really do"),
    "Space": ("How a star forgets its name", "Landing on a moving comet", "A year of light from Mars"),
    "Music": ("Why this chord feels like rain", "Recording drums in a bathroom", "A song from four notes"),
    "Travel": ("Night train across the Alps", "Lisbon on foot before sunrise", "The quiet islands of the north"),
    "Gaming": ("Beating it without jumping", "The level that took a decade", "Speedrun, explained frame by frame"),
    "Gardening": ("Tomatoes on a windowsill", "What your soil is telling you", "A garden that waters itself"),
    "Football": ("The pass that changed the final", "Pressing, drawn on a napkin", "Goalkeepers and game theory"),
    "History": ("The winter the river froze", "Letters from a lost library", "How maps lied on purpose"),
    "Programming": ("Deleting half the code", "A database in an afternoon", "What the compiler knows about you"),
    "Film": ("One scene, ninety cuts", "Lighting a face with a window", "The sound you never noticed"),
    "Fitness": ("Ten minutes, no equipment", "Running slower to get faster", "The stretch you skip"),
}
_CHANNELS = ("Lab", "Stories", "Daily", "Workshop")
_SOURCES = ("two_tower", "cowatch", "trending", "fresh")


def videos(at: int, per_category: int = 20) -> pl.DataFrame:
    """An invented catalogue."""
    random, records = rng.stream(0, "fake videos"), []
    for index, category in enumerate(name for name in _TITLES for _ in range(per_category)):
        titles, part = _TITLES[category], index % per_category
        title = titles[part % len(titles)] + (f", part {part // len(titles) + 1}" if part >= len(titles) else "")
        channel = f"{category} {_CHANNELS[part % len(_CHANNELS)]}"
        records.append(
            {
                c.VIDEO_ID: index + 1, c.EXTERNAL_ID: str(index + 1), c.TITLE: title, c.CHANNEL: channel,
                c.CHANNEL_ID: to_id(channel), c.CATEGORY: category, c.LANGUAGE: "en",
                c.DURATION_S: float(random.integers(60, 2400)), c.UPLOADED_AT: at - int(random.integers(1, 400)) * DAY_MS // 4,
            }
        )  # fmt: skip
    return conform(pl.DataFrame(records), c.VIDEOS)


def viewers(count: int = 40) -> pl.DataFrame:
    """Invented viewers."""
    random = rng.stream(0, "fake viewers")
    choices = {
        c.AGE_BAND: ("18-24", "25-34", "35-44", "45+"), c.GENDER: ("female", "male", "unknown"),
        c.COUNTRY: ("DE", "BR", "IN", "US"), c.LANGUAGE: ("de", "pt", "hi", "en"), c.DEVICE: ("phone", "tv", "desktop"),
        c.SEGMENT: ("new", "casual", "daily"),
    }  # fmt: skip
    columns = {name: [values[i] for i in random.integers(len(values), size=count)] for name, values in choices.items()}
    ids = list(range(1, count + 1))
    return conform(pl.DataFrame({c.VIEWER_ID: ids, c.EXTERNAL_ID: [str(i) for i in ids], **columns}), c.VIEWERS)


class MemoryLog:
    """EventLog in a list."""

    def __init__(self) -> None:
        self.rows: list[dict] = []
        self._said: dict[str, tuple[Any, ...]] = {}
        self._lock = threading.Lock()

    def append(self, events: pa.Table) -> list[str | None]:
        """See EventLog."""
        with self._lock:
            safe: list[str | None] = []
            for row in events.to_pylist():
                event_id, says = row[c.EVENT_ID], tuple(row[name] for name in SAID)
                if event_id not in self._said:
                    self.rows.append(row)
                safe.append(event_id if self._said.setdefault(event_id, says) == says else None)
            return safe

    def read(self, after: int = 0, limit: int = 10_000) -> tuple[pa.Table, int]:
        """See EventLog."""
        found = self.rows[after : after + limit]
        return pa.Table.from_pylist(found, schema=c.EVENTS), after + len(found)

    def of_viewer(self, viewer_id: int) -> pa.Table:
        """See EventLog."""
        return pa.Table.from_pylist([row for row in self.rows if row[c.VIEWER_ID] == viewer_id], schema=c.EVENTS)

    def forget(self, viewer_id: int) -> int:
        """See EventLog. Leaves gaps' offsets to its reader: the rows move up."""
        with self._lock:
            before, self.rows = len(self.rows), [row for row in self.rows if row[c.VIEWER_ID] != viewer_id]
            return before - len(self.rows)


class ToyRecommender:
    """A Recommender: score = noise fixed per viewer and video + clicks of this viewer in the video's category."""

    def __init__(self, catalogue: Catalogue, log: MemoryLog) -> None:
        self._catalogue = catalogue
        self._log = log
        self.degraded: tuple[str, ...] = ()
        """Set by a test to see how the pages say it."""

    def recommend(self, requests: Sequence[Request], *, explain: bool = False) -> list[Slate]:
        """See Recommender; always explains."""
        return [self._slate(request) for request in requests]

    def _slate(self, request: Request) -> Slate:
        catalogue = self._catalogue
        clicked = [row for row in self._log.rows if row[c.VIEWER_ID] == request.viewer_id and row[c.KIND] == ev.CLICK]
        rows = catalogue.rows([int(row[c.VIDEO_ID]) for row in clicked])
        taste = np.bincount(catalogue.category[rows], minlength=len(catalogue.vocabularies[0])).astype(float)
        if request.surface == UP_NEXT:
            taste[catalogue.category[catalogue.rows([request.video_id or -1])]] += 2
        noise = rng.stream(0, "toy taste", request.viewer_id).random(len(catalogue))
        score = noise + 0.25 * taste[catalogue.category]
        score[rows] = -1
        if request.video_id is not None:
            score[catalogue.rows([request.video_id])] = -1
        best = np.argsort(-score, kind="stable")[: request.k].astype(np.int32)
        return self._answer(request, best, score[best], len(clicked))

    def _answer(self, request: Request, best: NDArray[np.int32], score: NDArray[np.float64], num_clicks: int) -> Slate:
        k = len(best)
        exploration = np.arange(k) % 10 == 7
        likely = (0.3 * score / max(float(score.max(initial=1e-9)), 1e-9)).astype(np.float32)
        slots = [
            {
                "why": "A little exploration: to learn whether you like it." if explored else "Close to what you watched.",
                "features": {"clicks_7d": num_clicks, "category_share": round(float(value), 3), "age_days": 3.5},
            }
            for explored, value in zip(exploration, likely, strict=True)
        ]
        watch = (900 * likely).astype(np.float32)
        return Slate(
            request_id=request.request_id,
            video_ids=self._catalogue.video_ids[best],
            propensities=np.where(exploration, 0.0016, 0.95),
            exploration=exploration,
            sources=tuple("fresh" if explored else _SOURCES[i % 3] for i, explored in enumerate(exploration)),
            scores={
                "click": likely,
                "watch": watch,
                "like": (0.2 * likely).astype(np.float32),
                "dislike": (0.03 * likely).astype(np.float32),
                "utility": watch + 60 * likely,
            },
            release_id="0123456789abcdef",
            degraded=self.degraded,
            stage_ms={
                "viewer_features": 0.6,
                "retrieval": 1.9,
                "filters": 0.2,
                "video_features": 0.9,
                "ranking": 2.1,
                "rerank": 0.5,
            },
            explanation={"slots": slots},
        )


class WordSearch:
    """TitleSearch by plain substring."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._titles = [title.lower() for title in catalogue.frame[c.TITLE]]

    def rows(self, text: str, k: int) -> NDArray[np.int32]:
        """See TitleSearch."""
        words = text.lower().split()
        found = [row for row, title in enumerate(self._titles) if all(word in title for word in words)]
        return np.array(found[:k], dtype=np.int32)


class OneRelease:
    """Releases that never change."""

    def __init__(self, live: Live) -> None:
        self.live = live

    def reload(self) -> Live:
        """The same one."""
        return self.live

    def promote(self) -> Live:
        """Refused."""
        raise ReleaseRefused("there is no candidate")

    def rollback(self, why: str = "by hand") -> Live:
        """Refused."""
        raise ReleaseRefused("there is no previous release to go back to")


class ShownList:
    """ImpressionLog in a list."""

    def __init__(self) -> None:
        self.shown: list[Slate] = []
        self.queued = 0
        self.dropped = 0

    def put(self, requests: Sequence[Request], slates: Sequence[Slate]) -> None:
        """See ImpressionLog."""
        self.shown += slates

    def flush(self, timeout_s: float) -> bool:
        """Always."""
        return True


class InstantFollower:
    """Follower for features that read the log themselves."""

    def notify(self) -> None:
        """Nothing to do."""

    def catch_up(self, timeout_s: float) -> bool:
        """Always."""
        return True

    def state(self, viewer_id: int) -> dict[str, Any]:
        """Nothing is held."""
        return {}

    def forget(self, viewer_id: int) -> bool:
        """Nothing was held."""
        return False


def services(
    clock: Clock, *, admin_token: str | None = None, make_id: Callable[[], str] = new_id, frame: pl.DataFrame | None = None
) -> Services:
    """A complete invented site; `frame` replaces its videos."""
    catalogue = Catalogue.of(videos(clock.now()) if frame is None else frame)
    viewer_table, log = ViewerTable.of(viewers()), MemoryLog()
    live = Live(
        release_id="0123456789abcdef",
        recommender=ToyRecommender(catalogue, log),
        catalogue=catalogue,
        viewers=viewer_table,
        search=WordSearch(catalogue),
        cards=Cards(catalogue),
        budgets_ms={"viewer_features": 3.0, "retrieval": 1.5},
        facts={"snapshot": "an invented site", "metrics": {"ndcg@10": 0.213, "recall@500": 0.61}},
    )
    settings = Settings(var_dir=Path("var"), redis_url=None, admin_token=admin_token, data_dir=None)
    return Services(OneRelease(live), log, ShownList(), InstantFollower(), settings, clock, Answers(MemoryLog()), make_id)
