"""Events of a log → what an analysis takes: rows per viewer and day for A/B tests, preferences of pages for interleaving.

A viewer's rows start counting with the first impression whose `arm` names the experiment (`experiment:arm`); what came earlier,
on that day too, is what the viewer was like before. Whatever a viewer does from then on counts for their arm, shown by it or
not: that is what was randomised. Columns per viewer and day (UTC):

    pages impressions clicks watch_s likes dislikes regrets unsubscribes    sums of the day
    page_ms faulty            the service's time for the day's pages; pages of which a part had failed or was late
    load_s loads failures     seconds until pages stood on the viewer's screen, how many told so; pages that failed altogether
    videos channels                                                        distinct ones among the day's impressions (diversity)
    returned, returnable      came back within seven days, and whether the log is long enough to know (next-week retention)

An interleaved page prefers the ranking whose team got more of the clicks that name this page and a video on it.
"""

from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import polars as pl
import scipy
from numpy.typing import NDArray

from core import columns as c
from core import events as ev
from core.clock import DAY_MS
from core.errors import BadInput
from core.inference import Interval
from experiments import interleaving
from experiments.analysis import plain
from experiments.assignment import INTERLEAVED
from experiments.config import ExperimentConfig
from experiments.effects import Estimate
from experiments.interleaving import Outcome
from experiments.panel import Panel
from experiments.sequential import always_valid

DAY = "day"
KEYS = (c.VIEWER_ID, DAY, c.ARM)
_WEEK = 7
_COUNTED = {
    "clicks": ev.CLICK, "likes": ev.LIKE, "dislikes": ev.DISLIKE, "regrets": ev.REGRET, "unsubscribes": ev.UNSUBSCRIBE,
    "loads": ev.LOADED, "failures": ev.FAILED,
}  # fmt: skip
_FIRST_AT, _AFTER = "first_at", "after"
_RANKS = ("rank_a", "rank_b")
PAGE_MS, FAULTY = "page_ms", "faulty"
"""In the detail of a page's first impression: the service's time for it, and whether a part of it had failed or was late."""


def rows(events: pl.DataFrame, experiment: ExperimentConfig, videos: pl.DataFrame | None = None) -> pl.DataFrame:
    """Events (schema `columns.EVENTS`) as rows per viewer and day, with an arm from the first exposure on.

    The day of the first exposure may have two rows, before and after it. A viewer with two arms gets every row twice, once per
    arm, which `Panel` finds. Without `videos`, there are no channels.
    """
    dated = events.with_columns((pl.col(c.EVENT_AT) // DAY_MS).alias(DAY))
    shown = dated.filter(pl.col(c.KIND) == ev.IMPRESSION)
    exposures = _exposures(shown, experiment)
    if not len(exposures):
        raise BadInput(f"no impression in the log carries an arm of '{experiment.name}'; has it been served?")
    keys = [c.VIEWER_ID, DAY, _AFTER]
    first = exposures.select(c.VIEWER_ID, _FIRST_AT).unique(c.VIEWER_ID)
    theirs = dated.join(first, on=c.VIEWER_ID).with_columns((pl.col(c.EVENT_AT) >= pl.col(_FIRST_AT)).alias(_AFTER))
    daily = theirs.group_by(keys).agg(*_sums())
    if videos is not None:
        shown = theirs.filter(pl.col(c.KIND) == ev.IMPRESSION)
        channels = shown.join(videos.select(c.VIDEO_ID, c.CHANNEL_ID), on=c.VIDEO_ID)
        daily = daily.join(channels.group_by(keys).agg(pl.col(c.CHANNEL_ID).n_unique().alias("channels")), on=keys, how="left")
    arm = pl.when(_AFTER).then(pl.col(c.ARM)).alias(c.ARM)
    joined = _with_returns(daily).join(exposures, on=c.VIEWER_ID).with_columns(arm)
    return joined.sort(*keys, c.ARM).drop(_FIRST_AT, _AFTER)


def panel(frame: pl.DataFrame, experiment: ExperimentConfig) -> Panel:
    """Rows as the analysis wants them; every column of numbers besides the keys is there to be a metric."""
    numbers = {
        name: frame[name].cast(pl.Float64).fill_null(0.0).to_numpy()
        for name, dtype in frame.schema.items()
        if name not in KEYS and (dtype.is_numeric() or dtype == pl.Boolean)
    }
    return Panel.of(frame[c.VIEWER_ID].to_numpy(), frame[DAY].to_numpy(), frame[c.ARM].to_list(), numbers, experiment.arm_names)


@dataclass(frozen=True)
class Preference:
    """What merged pages say."""

    outcome: Outcome
    """Its interval is valid for one look."""
    always: Interval
    """Δ with an interval that is valid whenever one looks; p against no preference."""
    viewers: int

    def to_json(self) -> dict[str, Any]:
        """Plain values; nan and infinite become null."""
        return cast("dict[str, Any]", plain(asdict(self)))


def preferences(events: pl.DataFrame, experiment: ExperimentConfig) -> Preference:
    """What all interleaved pages of the experiment say together, its first arm being the first ranking.

    Raises:
        BadInput: there is no such page.
    """
    marked = pl.col(c.ARM).str.split("+").list.contains(f"{experiment.name}:{INTERLEAVED}")
    shown = events.filter((pl.col(c.KIND) == ev.IMPRESSION) & marked & pl.col(c.TEAM).is_not_null())
    if not len(shown):
        raise BadInput(f"no page in the log was interleaved for '{experiment.name}'; has it been served?")
    clicks = events.filter(pl.col(c.KIND) == ev.CLICK).select(c.REQUEST_ID, c.VIDEO_ID).unique().with_columns(clicked=True)
    shown = shown.join(clicks, on=[c.REQUEST_ID, c.VIDEO_ID], how="left").sort(c.REQUEST_ID, c.POSITION)
    requests, page_N = np.unique(shown[c.REQUEST_ID].to_numpy(), return_inverse=True)
    slot_N = shown[c.POSITION].to_numpy()
    shape = len(requests), int(slot_N.max()) + 1
    team_BK, clicked_BK = np.full(shape, interleaving.NOBODY, dtype=np.int8), np.zeros(shape, dtype=bool)
    team_BK[page_N, slot_N] = np.searchsorted(interleaving.TEAMS, shown[c.TEAM].to_numpy().astype(np.str_))
    clicked_BK[page_N, slot_N] = shown["clicked"].fill_null(False).to_numpy()
    viewer_B = shown.group_by(c.REQUEST_ID, maintain_order=True).first()[c.VIEWER_ID].to_numpy()
    if experiment.interleaving == "balanced":
        said_B = _by_depth(shown, page_N, slot_N, clicked_BK)
    else:
        said_B = interleaving.credit(interleaving.whole_rounds(team_BK), clicked_BK)
    config, viewers = experiment.analysis, len(np.unique(viewer_B))
    outcome = interleaving.outcome(said_B, viewer_B, 1 - config.alpha)
    error = (outcome.delta.high - outcome.delta.low) / 2 / scipy.stats.t.ppf(1 - config.alpha / 2, max(viewers - 1, 1))
    estimate = Estimate(outcome.delta.mean, error, viewers - 1)
    return Preference(outcome, always_valid(estimate, viewers, config.planned_viewers, config.alpha), viewers)


def _by_depth(
    shown: pl.DataFrame, page_N: interleaving.Ids, slot_N: interleaving.Ids, clicked_BK: interleaving.Flags
) -> NDArray[np.int8]:
    """`depth_credit`, with as much of the rankings as was shown: places of other videos never matter."""
    video_N = shown[c.VIDEO_ID].to_numpy()
    video_BK = np.full(clicked_BK.shape, -1, dtype=np.int64)
    video_BK[page_N, slot_N] = video_N
    rankings = []
    for name in _RANKS:
        place_N = shown[c.DETAIL].str.json_path_match(f"$.{name}").cast(pl.Float64).to_numpy()
        known = np.isfinite(place_N)
        ranking_BL = np.full((len(clicked_BK), int(place_N[known].max(initial=0)) + 1), -1, dtype=np.int64)
        ranking_BL[page_N[known], place_N[known].astype(np.int64)] = video_N[known]
        rankings.append(ranking_BL)
    return interleaving.depth_credit(rankings[0], rankings[1], video_BK, clicked_BK)


def _exposures(shown: pl.DataFrame, experiment: ExperimentConfig) -> pl.DataFrame:
    """(viewer_id, arm, first_at) of every viewer and arm of the experiment; the instant is the viewer's."""
    own = pl.col(c.ARM).str.split("+").list.eval(pl.element().filter(pl.element().str.starts_with(f"{experiment.name}:")))
    found = shown.with_columns(own.list.first().str.strip_prefix(f"{experiment.name}:").alias(c.ARM)).drop_nulls(c.ARM)
    first = pl.col(c.EVENT_AT).min().over(c.VIEWER_ID).alias(_FIRST_AT)
    return found.select(c.VIEWER_ID, c.ARM, first).unique()


def _sums() -> list[pl.Expr]:
    shown = pl.col(c.KIND) == ev.IMPRESSION
    return [
        pl.col(c.REQUEST_ID).filter(shown).n_unique().alias("pages"),
        shown.sum().alias("impressions"),
        *((pl.col(c.KIND) == kind).sum().alias(name) for name, kind in _COUNTED.items()),
        pl.col(c.VALUE).filter(pl.col(c.KIND) == ev.WATCH).sum().alias("watch_s"),
        pl.col(c.VALUE).filter(pl.col(c.KIND) == ev.LOADED).sum().alias("load_s"),
        pl.col(c.VIDEO_ID).filter(shown).n_unique().alias("videos"),
        *(
            pl.col(c.DETAIL)
            .filter(shown & (pl.col(c.POSITION) == 0))
            .str.json_path_match(f"$.{name}")
            .cast(pl.Float64)
            .sum()
            .alias(name)
            for name in (PAGE_MS, FAULTY)
        ),
    ]


def _with_returns(daily: pl.DataFrame) -> pl.DataFrame:
    active = daily.filter(pl.col("impressions") > 0).select(c.VIEWER_ID, DAY).unique().sort(c.VIEWER_ID, DAY)
    following = pl.col(DAY).shift(-1).over(c.VIEWER_ID) - pl.col(DAY)
    returnable = pl.col(DAY) + _WEEK <= pl.col(DAY).max()
    returns = active.select(
        c.VIEWER_ID, DAY, returnable.alias("returnable"), (returnable & (following <= _WEEK)).fill_null(False).alias("returned")
    )
    # A day counts once: in its last row.
    last = pl.col(_AFTER) == pl.col(_AFTER).max().over(c.VIEWER_ID, DAY)
    known = [pl.when(last & (pl.col("impressions") > 0)).then(pl.col(name)).alias(name) for name in ("returnable", "returned")]
    return daily.join(returns, on=[c.VIEWER_ID, DAY], how="left").with_columns(known)
