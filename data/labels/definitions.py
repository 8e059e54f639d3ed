"""Labels: what a viewer's behaviour and words say about a video, one definition for training, evaluation and experiments.

    impression_outcomes   implicit, a log that says what was shown: one row per impression, what came of it within a window
    clicked_feedback      implicit, a log that does not: one row per click, what the viewer thought of it within a window
    graded                either of them, with thresholds applied: dwelled, exited early, completed, skipped, satisfied
    opinions              explicit: one row per viewer and video, what the viewer last *said* about it

An outcome belongs to the impression with its (request_id, video_id). Only what was *received* in time counts, as in service:
a label that waits longer would know the future; `delay` says how much a window misses.

Noise, and what is done about it. A click says less than it seems: a title may have lied, so `satisfied` wants time and no
complaint. No click says little: the slot may never have been looked at, so `skipped` counts only slots above a click
(Joachims et al. 2005). Seconds favour long videos, so completion is a share. Opinions are rare, come from the few who care, and
change: the last one counts, a middling survey answer is none. Never sure is not false: unknown stays null.
"""

from dataclasses import dataclass

import polars as pl

from core import columns as c
from core import events as ev
from core.clock import DAY_MS

AT, CLICKED, WATCH_S, LIKED, DISLIKED, REGRETTED = "at", "clicked", "watch_s", "liked", "disliked", "regretted"
WATCH_SHARE, DWELLED, EARLY_EXIT, COMPLETED = "watch_share", "dwelled", "early_exit", "completed"
SKIPPED, SATISFIED, OPINION = "skipped", "satisfied", "opinion"
_FLAGS = {CLICKED: ev.CLICK, LIKED: ev.LIKE, DISLIKED: ev.DISLIKE, REGRETTED: ev.REGRET}
_PAIR = [c.REQUEST_ID, c.VIDEO_ID]


@dataclass(frozen=True)
class Thresholds:
    """Where behaviour turns into a label."""

    dwell_s: float = 30.0
    """A watch of at least this many seconds was meant (the satisfied click of Fox et al. 2005)."""
    exit_share: float = 0.25
    """A click that watched less than this share of the video exited early."""
    completion_share: float = 0.9
    """From this share on, the video was watched to its end; credits do not count."""
    positive_stars: float = 4.0
    """A survey answer from here on is a like …"""
    negative_stars: float = 2.0
    """… and one up to here a dislike, of 1 to 5."""


DEFAULT = Thresholds()


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


def graded(outcomes: pl.DataFrame, videos: pl.DataFrame, thresholds: Thresholds = DEFAULT) -> pl.DataFrame:
    """Outcomes with thresholds applied.

    Args:
        outcomes: what `impression_outcomes` or `clicked_feedback` returned.
        videos: video_id, duration_s (null where unknown); others are ignored.
        thresholds: where behaviour turns into a label.

    Returns:
        `outcomes`, in order, and: watch_share (0 to 1; null where seconds or length are unknown); dwelled, early_exit,
        completed (bool, false without a click, null where a click's share or seconds are unknown); satisfied: dwelled or
        completed, and neither disliked nor, as far as the log says, regretted; and, if the log has positions, skipped: not
        clicked although a lower slot of the same page was.
    """
    lengths = videos.select(c.VIDEO_ID, c.DURATION_S).unique(c.VIDEO_ID)
    joined = outcomes.join(lengths, on=c.VIDEO_ID, how="left", maintain_order="left")
    share = (pl.col(WATCH_S) / pl.when(pl.col(c.DURATION_S) > 0).then(pl.col(c.DURATION_S))).clip(0.0, 1.0)
    joined = joined.with_columns(share.cast(pl.Float64).alias(WATCH_SHARE)).drop(c.DURATION_S)
    clicked = pl.col(CLICKED) if CLICKED in outcomes.columns else pl.lit(True)
    joined = joined.with_columns(
        (clicked & (pl.col(WATCH_S) >= thresholds.dwell_s)).alias(DWELLED),
        (clicked & (pl.col(WATCH_SHARE) < thresholds.exit_share)).alias(EARLY_EXIT),
        (clicked & (pl.col(WATCH_SHARE) >= thresholds.completion_share)).alias(COMPLETED),
    )
    complaints = [pl.col(name) for name in (DISLIKED, REGRETTED) if name in outcomes.columns]
    joined = joined.with_columns(((pl.col(DWELLED) | pl.col(COMPLETED)) & ~pl.any_horizontal(complaints)).alias(SATISFIED))
    if c.POSITION not in outcomes.columns:
        return joined
    lowest = pl.col(c.POSITION).filter(pl.col(CLICKED)).max().over(c.REQUEST_ID)
    return joined.with_columns((~pl.col(CLICKED) & (pl.col(c.POSITION) < lowest)).fill_null(False).alias(SKIPPED))


def opinions(events: pl.DataFrame, thresholds: Thresholds = DEFAULT) -> pl.DataFrame:
    """What viewers said: viewer_id, video_id, opinion (int8: 1 liked, −1 disliked, 0 neither), at (received_at, ms).

    Likes, dislikes and survey answers weigh the same; of one viewer and video the one received last counts.
    """
    stars = pl.col(c.VALUE)
    said = (
        pl.when(pl.col(c.KIND) == ev.LIKE)
        .then(1)
        .when(pl.col(c.KIND) == ev.DISLIKE)
        .then(-1)
        .otherwise((stars >= thresholds.positive_stars).cast(pl.Int8) - (stars <= thresholds.negative_stars).cast(pl.Int8))
    )
    asked = events.filter(pl.col(c.KIND).is_in([ev.LIKE, ev.DISLIKE, ev.SURVEY]) & pl.col(c.VIDEO_ID).is_not_null())
    found = asked.select(c.VIEWER_ID, c.VIDEO_ID, said.cast(pl.Int8).alias(OPINION), pl.col(c.RECEIVED_AT).alias(AT))
    latest = found.filter(pl.col(OPINION).is_not_null()).sort(AT, maintain_order=True)
    return latest.unique([c.VIEWER_ID, c.VIDEO_ID], keep="last", maintain_order=True)


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
