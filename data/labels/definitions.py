"""Implicit labels: what a viewer's behaviour says about a video, one definition for training, evaluation and experiments.

    impression_outcomes   a log that says what was shown: one row per impression, what came of it within a window
    clicked_feedback      a log that does not: one row per click, what the viewer thought of it within a window

An outcome belongs to the impression with its (request_id, video_id). Only what was *received* in time counts, as in service:
a label that waits longer would know the future.
"""

import polars as pl

from core import columns as c
from core import events as ev
from core.clock import DAY_MS

AT, CLICKED, WATCH_S, LIKED, DISLIKED, REGRETTED = "at", "clicked", "watch_s", "liked", "disliked", "regretted"
_FLAGS = {CLICKED: ev.CLICK, LIKED: ev.LIKE, DISLIKED: ev.DISLIKE, REGRETTED: ev.REGRET}
_PAIR = [c.REQUEST_ID, c.VIDEO_ID]


def impression_outcomes(events: pl.DataFrame, window_ms: int = DAY_MS, regret_window_ms: int = 3 * DAY_MS) -> pl.DataFrame:
    """One row per impression, in the order of the log.

    Args:
        events: schema `columns.EVENTS`.
        window_ms: an outcome counts if received at most this long after the impression was.
        regret_window_ms: the same for regret, which people feel a day later.

    Returns:
        viewer_id, video_id, request_id, at (received_at of the impression, ms), position, source, propensity; clicked, liked,
        disliked, regretted (bool); watch_s (float, summed): 0 without a click, null where a click's length never arrived or
        the log has no watch time at all. A second impression of the same (request_id, video_id) is dropped.
    """
    shown = events.filter(
        (pl.col(c.KIND) == ev.IMPRESSION) & pl.col(c.VIDEO_ID).is_not_null() & pl.col(c.REQUEST_ID).is_not_null()
    )
    shown = shown.unique(_PAIR, keep="first", maintain_order=True).select(
        c.VIEWER_ID, c.VIDEO_ID, c.REQUEST_ID, pl.col(c.RECEIVED_AT).alias(AT), c.POSITION, c.SOURCE, c.PROPENSITY
    )
    outcomes = events.filter(pl.col(c.KIND).is_in([*_FLAGS.values(), ev.WATCH])).select(*_PAIR, c.KIND, c.RECEIVED_AT, c.VALUE)
    wait = pl.col(c.RECEIVED_AT) - pl.col(AT)
    window = pl.when(pl.col(c.KIND) == ev.REGRET).then(regret_window_ms).otherwise(window_ms)
    timely = outcomes.join(shown.select(*_PAIR, AT), on=_PAIR, how="inner").filter(wait <= window)
    found = timely.group_by(_PAIR).agg(*_happened())
    labelled = shown.join(found, on=_PAIR, how="left", maintain_order="left")
    return _filled(labelled, list(_FLAGS), has_watch=_has_watch(events))


def clicked_feedback(events: pl.DataFrame, window_ms: int = DAY_MS) -> pl.DataFrame:
    """One row per click, in the order of the log; for logs without impressions.

    Likes, dislikes and watches belong to the viewer's latest click on the same video, at most `window_ms` before.

    Returns:
        event_id (of the click), viewer_id, video_id, at (received_at, ms); liked, disliked (bool); watch_s (float, summed; null
        where unknown).
    """
    clicks = events.filter((pl.col(c.KIND) == ev.CLICK) & pl.col(c.VIDEO_ID).is_not_null()).select(
        c.EVENT_ID, c.VIEWER_ID, c.VIDEO_ID, pl.col(c.RECEIVED_AT).alias(AT)
    )
    wanted = events.filter(pl.col(c.KIND).is_in([ev.LIKE, ev.DISLIKE, ev.WATCH]) & pl.col(c.VIDEO_ID).is_not_null())
    said = wanted.select(c.VIEWER_ID, c.VIDEO_ID, c.KIND, c.RECEIVED_AT, c.VALUE)
    pair = [c.VIEWER_ID, c.VIDEO_ID]
    found = (
        said.sort(c.RECEIVED_AT)
        .join_asof(
            clicks.sort(AT),
            left_on=c.RECEIVED_AT,
            right_on=AT,
            by=pair,
            strategy="backward",
            tolerance=window_ms,
            check_sortedness=False,
        )
        .filter(pl.col(c.EVENT_ID).is_not_null())
        .group_by(c.EVENT_ID)
        .agg(*_happened())
        .select(c.EVENT_ID, LIKED, DISLIKED, WATCH_S)
    )
    labelled = clicks.join(found, on=c.EVENT_ID, how="left", maintain_order="left").with_columns(pl.lit(True).alias(CLICKED))
    return _filled(labelled, [LIKED, DISLIKED], has_watch=_has_watch(events)).drop(CLICKED)


def _happened() -> list[pl.Expr]:
    watches = pl.col(c.VALUE).filter(pl.col(c.KIND) == ev.WATCH)
    watched = pl.when(watches.len() > 0).then(watches.sum()).alias(WATCH_S)
    return [*((pl.col(c.KIND) == kind).any().alias(name) for name, kind in _FLAGS.items()), watched]


def _has_watch(events: pl.DataFrame) -> bool:
    return bool((events[c.KIND] == ev.WATCH).any())


def _filled(labelled: pl.DataFrame, flags: list[str], *, has_watch: bool) -> pl.DataFrame:
    labelled = labelled.with_columns(pl.col(flags).fill_null(False))
    known = pl.when(pl.col(CLICKED)).then(pl.col(WATCH_S)).otherwise(0.0) if has_watch else pl.lit(None, dtype=pl.Float64)
    return labelled.with_columns(known.alias(WATCH_S))
