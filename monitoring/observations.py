"""From a log to what a monitor looks at: one row per impression, with its outcome, its viewer and its video.

An outcome counts when it was received in time after its impression, so that an hour can be judged once that time has passed
and is never judged differently later: two hours for clicks, watches and likes, a day and a half for regrets. Knows no
model; a prediction is a number that the log carries.

    hour                  of the page, hours since 1970
    release_id            what served it; `a1 as canary-a1-2` where it did so in that step of its canary
    predicted             the release's P(click) as logged (`$.click` of the scores), null where the log has none
    clicked liked disliked regretted    whether it happened in time
    reported, watch_s     whether a watch arrived, and the seconds it says (null where it says none)
    feature_age_h         hours between the page and the newest event its served features knew, null where not logged
    crowd                 impressions of the same viewer in the day until then, this one included
    country device age_band known category    segments; known is `new` within a day of the viewer's first impression in the log
"""

import numpy as np
import polars as pl

from core import columns as c
from core import events as ev
from core.clock import DAY_MS, HOUR_MS
from data.labels import definitions as labels

HOUR, PREDICTED, REPORTED, FEATURE_AGE_H, CROWD, KNOWN = "hour", "predicted", "reported", "feature_age_h", "crowd", "known"
VIEWER_SEGMENTS = (c.COUNTRY, c.DEVICE, c.AGE_BAND, KNOWN)
SEGMENTS = (*VIEWER_SEGMENTS, c.CATEGORY)
SETTLED_H = 2
"""Hours after which an hour's clicks and watches are complete."""
REGRETS_SETTLED_H = 36
_PAIR = [c.REQUEST_ID, c.VIDEO_ID]
_LOGGED_CLICK = "$.click"
_CANARY_ARM = ":canary"
"""How the arm ends of whoever meets a canary; see `experiments.canary`."""
_AS = " as "


def observe(
    events: pl.DataFrame, viewers: pl.DataFrame, videos: pl.DataFrame, served: pl.DataFrame | None = None
) -> pl.DataFrame:
    """One row per impression, in the order of the log; the columns above, those of the impression, and `duration_s`.

    Args:
        events: schema `columns.EVENTS`.
        viewers: schema `columns.VIEWERS`.
        videos: schema `columns.VIDEOS`.
        served: what the log itself does not say about pages, one row per impression: request_id, video_id, and `predicted`,
            `feature_age_h` or both.
    """
    shown = events.filter(pl.col(c.KIND) == ev.IMPRESSION).unique(_PAIR, keep="first", maintain_order=True)
    shown = shown.select(
        *_PAIR,
        c.VIEWER_ID,
        pl.col(c.RECEIVED_AT).alias(labels.AT),
        (pl.col(c.RECEIVED_AT) // HOUR_MS).alias(HOUR),
        c.POSITION,
        _serving(),
        c.SOURCE,
        pl.col(c.EXPLORATION).fill_null(False),
        pl.col(c.DETAIL).str.json_path_match(_LOGGED_CLICK).cast(pl.Float64).alias(PREDICTED),
    )
    window_ms = SETTLED_H * HOUR_MS
    outcomes = labels.impression_outcomes(events, window_ms, REGRETS_SETTLED_H * HOUR_MS).drop(
        c.VIEWER_ID, labels.AT, c.POSITION, c.SOURCE, c.PROPENSITY, labels.WATCH_S
    )
    joined = shown.join(outcomes, on=_PAIR, how="left", maintain_order="left")
    joined = joined.join(_watches(events, shown, window_ms), on=_PAIR, how="left", maintain_order="left")
    joined = _with_served(joined, served).with_columns(
        pl.col(REPORTED).fill_null(False), _known().alias(KNOWN), _crowd(joined).alias(CROWD)
    )
    attributes = viewers.select(c.VIEWER_ID, c.COUNTRY, c.DEVICE, c.AGE_BAND)
    joined = joined.join(attributes, on=c.VIEWER_ID, how="left", maintain_order="left")
    facts = videos.select(c.VIDEO_ID, c.CATEGORY, c.DURATION_S).unique(c.VIDEO_ID)
    return joined.join(facts, on=c.VIDEO_ID, how="left", maintain_order="left").with_columns(
        pl.col(*SEGMENTS).fill_null(c.UNKNOWN)
    )


def release_of(name: str) -> str:
    """The release behind a `release_id` of the observations."""
    return name.partition(_AS)[0]


def in_canary(name: str) -> bool:
    """Whether a `release_id` of the observations is a canary."""
    return _AS in name


def _serving() -> pl.Expr:
    """A release begins with every share of its canary, and once more for everybody: clicks may fall at each."""
    step = pl.when(pl.col(c.ARM).str.ends_with(_CANARY_ARM)).then(_AS + pl.col(c.ARM).str.strip_suffix(_CANARY_ARM))
    return pl.concat_str(c.RELEASE_ID, step.otherwise(pl.lit("")))


def _watches(events: pl.DataFrame, shown: pl.DataFrame, window_ms: int) -> pl.DataFrame:
    """Request, video, reported, watch_s of the watches that came in time; the longest where several did."""
    found = events.filter(pl.col(c.KIND) == ev.WATCH).join(shown.select(*_PAIR, labels.AT), on=_PAIR)
    timely = found.filter(pl.col(c.RECEIVED_AT) - pl.col(labels.AT) <= window_ms)
    return timely.group_by(_PAIR).agg(pl.lit(True).alias(REPORTED), pl.col(c.VALUE).max().alias(labels.WATCH_S))


def _with_served(rows: pl.DataFrame, served: pl.DataFrame | None) -> pl.DataFrame:
    if served is None:
        return rows.with_columns(pl.lit(None, dtype=pl.Float64).alias(FEATURE_AGE_H))
    replaced = [name for name in served.columns if name not in _PAIR and name in rows.columns]
    joined = rows.drop(replaced).join(served, on=_PAIR, how="left", maintain_order="left")
    absent = [name for name in (PREDICTED, FEATURE_AGE_H) if name not in joined.columns]
    return joined.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in absent)


def _crowd(rows: pl.DataFrame) -> pl.Series:
    """Two binary searches per row in the (viewer, instant) order."""
    _, viewer = np.unique(rows[c.VIEWER_ID].to_numpy(), return_inverse=True)
    at = rows[labels.AT].to_numpy()
    since = at - int(at.min() if len(at) else 0) + DAY_MS
    key = viewer.astype(np.int64) * (int(since.max(initial=0)) + DAY_MS + 1) + since
    ordered = np.sort(key)
    counts = np.searchsorted(ordered, key, side="right") - np.searchsorted(ordered, key - DAY_MS, side="right")
    return pl.Series(CROWD, counts)


def _known() -> pl.Expr:
    age = pl.col(labels.AT) - pl.col(labels.AT).min().over(c.VIEWER_ID)
    return pl.when(age < DAY_MS).then(pl.lit("new")).otherwise(pl.lit("known"))
