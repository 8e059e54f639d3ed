"""From pages and clicks to event frames: ids, kinds, instants, delays and losses.

Event ids are `<request>/<position>/<kind>` for impressions and `<request>/<video>/<kind>` for what follows, so writing twice
makes a duplicate and not a second event. Knows nothing of why anything happened.
"""

import json

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import events as ev
from core.clock import DAY_MS, HOUR_MS
from core.policy import HOME
from data.world.behaviour import Clicks, Pages
from data.world.config import DeliveryConfig
from data.world.history_policy import RANDOM, SOURCES, HistoryPages

HISTORY = "history"
_THINK_MS = 1_000


def impressions(
    request_ids: pl.Series, pages: Pages, shown: HistoryPages, viewer_ids: NDArray[np.int64], video_ids: NDArray[np.int64]
) -> pl.DataFrame:
    """One event per filled slot."""
    page, position = np.nonzero(pages.video_rows_PK >= 0)
    source = shown.source_PK[page, position]
    frame = pl.DataFrame(
        {
            c.REQUEST_ID: request_ids.gather(page),
            c.EVENT_AT: pages.at[page],
            c.VIEWER_ID: viewer_ids[pages.viewer_rows[page]],
            c.VIDEO_ID: video_ids[pages.video_rows_PK[page, position]],
            c.POSITION: position.astype(np.int32),
            c.SOURCE: pl.Series(SOURCES).gather(source),
            c.PROPENSITY: pl.Series(shown.propensity_PK[page, position], nan_to_null=True),
            c.EXPLORATION: source == RANDOM,
        }
    )
    return frame.with_columns(
        pl.concat_str(c.REQUEST_ID, c.POSITION, pl.lit(ev.IMPRESSION), separator="/").alias(c.EVENT_ID),
        pl.lit(ev.IMPRESSION).alias(c.KIND),
        pl.lit(HOME).alias(c.SURFACE),
        pl.lit(HISTORY).alias(c.RELEASE_ID),
        pl.lit("control").alias(c.ARM),
    )


def outcomes(
    request_ids: pl.Series, clicks: Clicks, viewer_ids: NDArray[np.int64], video_ids: NDArray[np.int64]
) -> pl.DataFrame:
    """Clicks, watches, likes, dislikes, subscriptions, and regrets 18 to 30 hours later."""
    ended_at = clicks.at + np.ceil(clicks.watch_s * 1_000).astype(np.int64)
    regret_at = ended_at + ((0.75 + 0.5 * clicks.later) * DAY_MS).astype(np.int64)
    every = np.ones(len(clicks), dtype=bool)
    kinds = (
        (ev.CLICK, every, clicks.at),
        (ev.WATCH, every, ended_at),
        (ev.LIKE, clicks.liked, ended_at + _THINK_MS),
        (ev.DISLIKE, clicks.disliked, ended_at + _THINK_MS),
        (ev.SUBSCRIBE, clicks.subscribed, ended_at + 2 * _THINK_MS),
        (ev.REGRET, clicks.regretted, regret_at),
    )
    parts = []
    for kind, happened, at in kinds:
        where = np.flatnonzero(happened)
        parts.append(
            pl.DataFrame(
                {
                    c.REQUEST_ID: request_ids.gather(clicks.page[where]),
                    c.KIND: pl.repeat(kind, len(where), dtype=pl.String, eager=True),
                    c.EVENT_AT: at[where],
                    c.VIEWER_ID: viewer_ids[clicks.viewer_rows[where]],
                    c.VIDEO_ID: video_ids[clicks.video_rows[where]],
                    c.VALUE: pl.Series(clicks.watch_s[where] if kind == ev.WATCH else [None] * len(where), dtype=pl.Float64),
                }
            )
        )
    joined = pl.concat(parts)
    return joined.with_columns(pl.concat_str(c.REQUEST_ID, c.VIDEO_ID, c.KIND, separator="/").alias(c.EVENT_ID))


def uploads(videos: pl.DataFrame) -> pl.DataFrame:
    """One event per catalogue row; `detail` carries its columns, the actor is the channel."""
    details = [json.dumps(_attributes(row), sort_keys=True) for row in videos.iter_rows(named=True)]
    return videos.select(
        pl.concat_str(pl.lit(ev.UPLOAD), c.VIDEO_ID, separator="/").alias(c.EVENT_ID),
        pl.lit(ev.UPLOAD).alias(c.KIND),
        pl.col(c.UPLOADED_AT).alias(c.EVENT_AT),
        pl.col(c.CHANNEL_ID).alias(c.VIEWER_ID),
        c.VIDEO_ID,
        pl.Series(c.DETAIL, details, dtype=pl.String),
    )


def _attributes(row: dict[str, object]) -> dict[str, object]:
    content = row[c.CONTENT]
    assert isinstance(content, list)
    return {**row, c.CONTENT: [round(x, 4) for x in content]}


def nothing() -> pl.DataFrame:
    """No events, with schema `columns.EVENTS`."""
    return pl.DataFrame(pl.from_arrow(c.EVENTS.empty_table()))


def punctual(events: pl.DataFrame) -> pl.DataFrame:
    """Events that arrive the moment they happen."""
    return events.with_columns(pl.col(c.EVENT_AT).alias(c.RECEIVED_AT))


def deliver(events: pl.DataFrame, config: DeliveryConfig, random: np.random.Generator) -> pl.DataFrame:
    """Events as the log gets them: all a little later, some hours late, some never. Impressions are only a little late."""
    if not len(events):
        return punctual(events)
    from_server = events[c.KIND].is_in([ev.IMPRESSION, ev.UPLOAD]).to_numpy()
    delay = random.exponential(config.delay_ms, len(events))
    late = random.random(len(events)) < config.late_rate
    delay = delay + np.where(late & ~from_server, random.exponential(config.late_h * HOUR_MS, len(events)), 0.0)
    kept = from_server | (random.random(len(events)) >= config.missing_rate)
    delayed = pl.Series(np.where(from_server, delay / 40, delay).astype(np.int64))
    return events.with_columns((pl.col(c.EVENT_AT) + delayed).alias(c.RECEIVED_AT)).filter(pl.Series(kept))
