"""Labelling functions: what somebody who knows videos would say at a glance, as one polars expression each.

    statistics       catalogue and graded outcomes → one row per video: counts of its own, its channel's and its category's
    CLICKBAIT, KIDS  functions over that frame, by question in QUESTIONS
    votes            a frame and functions → int8 [V, F]: +1 yes, −1 no, 0 does not know

A rate is compared with the same rate over the whole log, drawn towards it by `_DRAWN` made-up trials, so a video with two
clicks is hardly ever extreme. A channel's or category's counts leave out the video itself: it does not vote twice.
Knows nothing of any truth, nor of which functions are good; `label_model` finds out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from data.labels import definitions as labels

CHANNEL_, CATEGORY_ = "channel_", "category_"
_YOUNG, _OLD = ("under 18",), ("45-49", "50-55", "56+")
_DRAWN = 10.0
_COUNTS = {
    "shown": pl.len(),
    "clicks": pl.col(labels.CLICKED).sum(),
    "watches": (pl.col(labels.CLICKED) & pl.col(labels.WATCH_SHARE).is_not_null()).sum(),
    "exits": pl.col(labels.EARLY_EXIT).sum(),
    "satisfied": pl.col(labels.SATISFIED).sum(),
    "likes": pl.col(labels.LIKED).sum(),
    "dislikes": pl.col(labels.DISLIKED).sum(),
    "regrets": pl.col(labels.REGRETTED).sum(),
    "young_shown": pl.col("young").sum(),
    "young_clicks": (pl.col("young") & pl.col(labels.CLICKED)).sum(),
    "old_shown": pl.col("old").sum(),
    "old_clicks": (pl.col("old") & pl.col(labels.CLICKED)).sum(),
}
_LOUD = r"\b[A-Z]{4,}\b"


@dataclass(frozen=True)
class LabellingFunction:
    """A name and what it says: +1, −1, or 0 (null counts as 0) for every row of a statistics frame."""

    name: str
    vote: pl.Expr


def statistics(videos: pl.DataFrame, viewers: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """Catalogue columns and counts, one row per video in catalogue order.

    Args:
        videos: schema `columns.VIDEOS`.
        viewers: schema `columns.VIEWERS`; only the age band is read.
        outcomes: what `definitions.graded` made of impressions.

    Returns:
        `videos` and, per name of `_COUNTS`, an own count and one each with prefix `channel_` and `category_`, which leave out
        the video; channel_loud, channel_videos: how many of the channel's other titles shout, and how many there are.
    """
    age = viewers.select(
        c.VIEWER_ID, pl.col(c.AGE_BAND).is_in(_YOUNG).alias("young"), pl.col(c.AGE_BAND).is_in(_OLD).alias("old")
    )
    joined = outcomes.join(age, on=c.VIEWER_ID, how="left").with_columns(pl.col("young", "old").fill_null(False))
    counts = joined.group_by(c.VIDEO_ID).agg(*(count.cast(pl.Float64).alias(name) for name, count in _COUNTS.items()))
    found = videos.join(counts, on=c.VIDEO_ID, how="left", maintain_order="left").with_columns(pl.col(*_COUNTS).fill_null(0.0))
    loud = pl.col(c.TITLE).str.contains(_LOUD).cast(pl.Float64)
    return found.with_columns(
        *(_others(pl.col(name), c.CHANNEL_ID).alias(CHANNEL_ + name) for name in _COUNTS),
        *(_others(pl.col(name), c.CATEGORY).alias(CATEGORY_ + name) for name in _COUNTS),
        _others(loud, c.CHANNEL_ID).alias("channel_loud"),
        (pl.len().over(c.CHANNEL_ID) - 1.0).alias("channel_videos"),
    )


def votes(frame: pl.DataFrame, functions: Sequence[LabellingFunction]) -> NDArray[np.int8]:
    """[V, F] one column per function."""
    said = frame.select(function.vote.fill_null(0).cast(pl.Int8).alias(function.name) for function in functions)
    return said.to_numpy()


def either(yes: pl.Expr) -> pl.Expr:
    """+1 where `yes`, −1 where not: for what can always be seen."""
    return pl.when(yes).then(1).otherwise(-1)


def lean(ratio: pl.Expr, *, above: float, below: float) -> pl.Expr:
    """+1 from `above` on, −1 up to `below`, else 0; 0 too where the log has nothing to compare."""
    return pl.when(ratio.is_nan()).then(0).when(ratio >= above).then(1).when(ratio <= below).then(-1).otherwise(0)


def compared(hits: str, trials: str, *, above: float, below: float, at_least: float = 5.0) -> pl.Expr:
    """Leans by the rate hits / trials over the same rate in the whole log; 0 under `at_least` trials."""
    ratio = _rate(hits, trials) / (pl.col(hits).sum() / pl.col(trials).sum())
    return pl.when(pl.col(trials) >= at_least).then(lean(ratio, above=above, below=below)).otherwise(0)


def keener(group: str, scope: str = "", *, above: float, below: float, at_least: float = 5.0) -> pl.Expr:
    """Leans by the group's share of the clicks over its share of the impressions; 0 under `at_least` clicks."""
    ratio = _rate(f"{scope}{group}_clicks", f"{scope}clicks") / _rate(f"{scope}{group}_shown", f"{scope}shown")
    return pl.when(pl.col(f"{scope}clicks") >= at_least).then(lean(ratio, above=above, below=below)).otherwise(0)


def _rate(hits: str, trials: str) -> pl.Expr:
    usual = pl.col(hits).sum() / pl.col(trials).sum()
    return (pl.col(hits) + _DRAWN * usual) / (pl.col(trials) + _DRAWN)


def _others(count: pl.Expr, group: str) -> pl.Expr:
    """The group's total without the row itself."""
    return count.sum().over(group) - count


_TITLE = pl.col(c.TITLE)
_PROMISE = r"(?i)won't believe|secret|shocking|gone wrong|don't want you|nobody expected|hates? (him|her|them)|forever|did next"
_CALM = r"(?i)guide|basics|lessons|notes|explained|understanding|compared|step by step|story|how .+ works|in \d+ minutes|quiet"

CLICKBAIT = (
    LabellingFunction("title shouts", either(_TITLE.str.contains(_LOUD))),
    LabellingFunction("title exclaims", either(_TITLE.str.contains("!!", literal=True))),
    LabellingFunction("title promises", either(_TITLE.str.contains(_PROMISE))),
    LabellingFunction("title trails off", either(_TITLE.str.contains(r"\.\.\.$|[\x{1F300}-\x{1FAFF}]"))),
    LabellingFunction("title is calm", either(~_TITLE.str.contains(_CALM))),
    LabellingFunction("early exits", compared("exits", "watches", above=1.2, below=0.85, at_least=3)),
    LabellingFunction("regrets", compared("regrets", "clicks", above=1.5, below=0.75)),
    LabellingFunction("dislikes", compared("dislikes", "clicks", above=1.5, below=0.8, at_least=10)),
    LabellingFunction("likes", -compared("likes", "clicks", above=1.25, below=0.75)),
    LabellingFunction("opened and left", -compared("satisfied", "clicks", above=1.1, below=0.85, at_least=3)),
    LabellingFunction("channel exits", compared("channel_exits", "channel_watches", above=1.15, below=0.9, at_least=20)),
    LabellingFunction("channel regrets", compared("channel_regrets", "channel_clicks", above=1.3, below=0.8, at_least=20)),
    LabellingFunction("channel dislikes", compared("channel_dislikes", "channel_clicks", above=1.5, below=0.75, at_least=20)),
    LabellingFunction("channel shouts", compared("channel_loud", "channel_videos", above=2.0, below=0.75, at_least=3)),
)
"""Yes: the title promises what the video does not hold."""

KIDS = (
    LabellingFunction("young audience", compared("young_clicks", "clicks", above=1.4, below=0.9)),
    LabellingFunction("young are keener", keener("young", above=1.2, below=0.95)),
    LabellingFunction("old audience", -compared("old_clicks", "clicks", above=1.1, below=0.8)),
    LabellingFunction(
        "channel audience", compared("channel_young_clicks", "channel_clicks", above=1.5, below=1.1, at_least=15)
    ),
    LabellingFunction("channel young keener", keener("young", "channel_", above=1.2, below=1.0, at_least=15)),
    LabellingFunction("category audience", compared("category_young_clicks", "category_clicks", above=1.4, below=1.3)),
    LabellingFunction("category young keener", keener("young", "category_", above=1.2, below=1.1)),
)
"""Yes: drawn to by viewers under 18 more than by others."""

QUESTIONS = {"clickbait": CLICKBAIT, "kids": KIDS}
