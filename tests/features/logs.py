"""Small random logs, with the troubles of real ones: late events, equal timestamps, unknown videos, missing lengths."""

import numpy as np
import polars as pl
from hypothesis import strategies as st

from core import columns as c
from core import events as ev
from core.clock import DAY_MS, HOUR_MS
from data import dataset
from data.catalogue import Catalogue, ViewerTable

START_AT = 1_699_920_000_000  # a Tuesday, 00:00 UTC
NUM_VIDEOS = 12
VIEWER_IDS = np.arange(1, 6)
_CATEGORIES = ("chess", "music", "news", c.UNKNOWN)


def catalogue(content_size: int = 8) -> Catalogue:
    """Twelve videos; the last has nothing known about it."""
    vectors = np.random.default_rng(7).normal(size=(NUM_VIDEOS, max(content_size, 1))).astype(np.float32)
    rows = [
        {
            c.VIDEO_ID: 100 + i,
            c.EXTERNAL_ID: str(100 + i),
            c.TITLE: f"video {i}",
            c.CHANNEL_ID: i // 3,
            c.CHANNEL: f"channel {i // 3}",
            c.CATEGORY: _CATEGORIES[i % 4],
            c.LANGUAGE: ("en", "de")[i % 2],
            c.DURATION_S: None if i == NUM_VIDEOS - 1 else 40.0 * (i + 1) ** 2,
            c.UPLOADED_AT: None if i == NUM_VIDEOS - 1 else START_AT + (i - 6) * DAY_MS,
            c.CONTENT: None if i == NUM_VIDEOS - 1 or not content_size else vectors[i].tolist(),
        }
        for i in range(NUM_VIDEOS)
    ]
    return Catalogue.of(dataset.conform(pl.DataFrame(rows), c.VIDEOS))


def viewers() -> ViewerTable:
    """Four of the five viewers."""
    rows = [
        {c.VIEWER_ID: i, c.EXTERNAL_ID: str(i), c.AGE_BAND: ("18-24", "25-34")[i % 2], c.LANGUAGE: ("de", "fr", "en")[i % 3]}
        | {c.GENDER: "f", c.COUNTRY: "DE", c.DEVICE: ("phone", "tv")[i % 2], c.SEGMENT: "s"}
        for i in VIEWER_IDS[:4].tolist()
    ]
    return ViewerTable.of(dataset.conform(pl.DataFrame(rows), c.VIEWERS))


def frame(rows: list[dict]) -> pl.DataFrame:
    """Events in log order."""
    numbered = [{c.EVENT_ID: f"e{i:06d}", c.REQUEST_ID: None, c.VALUE: None, **row} for i, row in enumerate(rows)]
    empty = pl.from_arrow(c.EVENTS.empty_table())
    return dataset.conform(pl.DataFrame(numbered, schema_overrides=dict(empty.schema)) if rows else empty, c.EVENTS).sort(
        c.RECEIVED_AT, c.EVENT_ID
    )


def instants() -> st.SearchStrategy[int]:
    """Instants over forty days, often exactly at or beside the edge of a tile, often equal."""
    edge = st.integers(0, 40 * 8).map(lambda tile: START_AT + tile * 3 * HOUR_MS)
    return st.builds(lambda at, shift: at + shift, edge, st.sampled_from([-1, 0, 0, 1, 60_000, HOUR_MS]))


@st.composite
def event_rows(draw: st.DrawFn) -> dict:
    """One event."""
    kind = draw(st.sampled_from([ev.IMPRESSION, ev.CLICK, ev.CLICK, ev.WATCH, ev.LIKE, ev.DISLIKE, ev.REGRET]))
    received_at = draw(instants())
    late_ms = draw(st.sampled_from([0, 0, 1, HOUR_MS, DAY_MS, 9 * DAY_MS, 40 * DAY_MS, -HOUR_MS]))
    value = draw(st.sampled_from([None, 0.0, 0.4, 31.7, 1234.5678, 1e9])) if kind == ev.WATCH else None
    return {
        c.KIND: kind,
        c.RECEIVED_AT: received_at,
        c.EVENT_AT: received_at - late_ms,
        c.VIEWER_ID: draw(st.sampled_from(VIEWER_IDS.tolist())),
        c.VIDEO_ID: draw(st.sampled_from([100 + i for i in range(NUM_VIDEOS)] + [999, None])),
        c.VALUE: value,
    }


def event_logs(max_size: int = 60) -> st.SearchStrategy[pl.DataFrame]:
    """Whole logs."""
    return st.lists(event_rows(), max_size=max_size).map(frame)


def random_log(seed: int, num: int) -> pl.DataFrame:
    """A longer log, for statements that need not shrink."""
    random = np.random.default_rng(seed)
    received_at = START_AT + np.sort(random.integers(0, 40 * DAY_MS, num))
    kind = random.choice([ev.IMPRESSION, ev.CLICK, ev.WATCH, ev.LIKE], num, p=[0.6, 0.25, 0.1, 0.05])
    late = np.where(random.random(num) < 0.2, random.integers(0, 8 * DAY_MS, num), 0)
    return dataset.conform(
        pl.DataFrame(
            {
                c.EVENT_ID: [f"e{i:08d}" for i in range(num)],
                c.KIND: kind,
                c.EVENT_AT: received_at - late,
                c.RECEIVED_AT: received_at,
                c.VIEWER_ID: random.choice(VIEWER_IDS, num),
                c.VIDEO_ID: 100 + random.integers(0, NUM_VIDEOS + 1, num),
                c.VALUE: np.where(kind == ev.WATCH, random.exponential(300.0, num), np.nan),
            }
        ).with_columns(pl.col(c.VALUE).fill_nan(None)),
        c.EVENTS,
    )
