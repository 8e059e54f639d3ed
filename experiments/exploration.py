"""What chance has filled, and what that cost: per arm of a log, explored slots, the new videos among them, and clicks.

    price       clicks that a slot loses when chance fills it: mean over explored slots of  rate(position) − click,
                rate(position) being that of the slots which chance left alone

Under ε-greedy and Plackett–Luce a coin decides which slots chance fills, so the price is what exploring costs and nothing else,
as long as no viewer's daily cap is used up. Its interval takes viewers as the unit, and the rates as known: there are many more
such slots. Under Thompson sampling a slot counts as explored where it went to another video than the ranked one, which is no
coin: there the price also holds what the ranking did not know. Where chance fills everything there is nothing to compare with.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from core import columns as c
from core import events as ev
from core.clock import DAY_MS
from core.inference import Interval, cluster_interval

FRESH_DAYS = 7.0
"""Age up to which an upload is new, as `serving.config` has it."""
_CLICKED, _NEW = "clicked", "new"


@dataclass(frozen=True)
class Explored:
    """One arm's slots."""

    arm: str
    pages: int
    slots: int
    explored: int
    """Slots that chance filled."""
    most_a_day: int
    """Of them, the most of one viewer in one day (UTC): what a daily cap bounds, but for the last page."""
    new_explored: float
    """Share of new videos among them; nan without any."""
    new_others: float
    """The same among the other slots."""
    clicks_explored: float
    """Clicks per explored slot."""
    clicks_others: float
    """Clicks per other slot."""
    price: Interval
    """Clicks per explored slot; nan where there are no others to compare with."""
    least_propensity: float
    """1 over it is the largest weight of a row in an off-policy estimate."""

    @property
    def share(self) -> float:
        """Of slots that chance filled."""
        return self.explored / self.slots

    def to_json(self) -> dict[str, Any]:
        """Plain values; nan becomes null."""
        plain = {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in asdict(self).items()}
        return {**plain, "share": self.share, "price": self.price.to_json()}


def by_arm(events: pl.DataFrame, videos: pl.DataFrame, fresh_days: float = FRESH_DAYS) -> list[Explored]:
    """Every arm that the log names, the busiest first.

    Args:
        events: impressions and clicks, schema `columns.EVENTS`.
        videos: `video_id` and `uploaded_at` of what may have been shown; others count as old.
        fresh_days: age up to which a video is new.
    """
    pair = [c.REQUEST_ID, c.VIDEO_ID]
    clicks = events.filter(pl.col(c.KIND) == ev.CLICK).select(pair).unique().with_columns(pl.lit(True).alias(_CLICKED))
    known = pl.col(c.EXPLORATION).is_not_null() & pl.col(c.PROPENSITY).is_not_null()
    shown = events.filter((pl.col(c.KIND) == ev.IMPRESSION) & known)
    age = pl.col(c.EVENT_AT) - pl.col(c.UPLOADED_AT)
    slots = (
        shown.join(clicks, on=pair, how="left")
        .join(videos.select(c.VIDEO_ID, c.UPLOADED_AT).unique(c.VIDEO_ID), on=c.VIDEO_ID, how="left")
        .with_columns(pl.col(_CLICKED).fill_null(False), (age <= fresh_days * DAY_MS).fill_null(False).alias(_NEW))
    )
    parts = slots.group_by(c.ARM, maintain_order=True)
    return sorted((_of(str(arm), part) for (arm,), part in parts), key=lambda one: -one.slots)


def _of(arm: str, slots: pl.DataFrame) -> Explored:
    chance = slots.filter(pl.col(c.EXPLORATION))
    others = slots.filter(~pl.col(c.EXPLORATION))
    days = chance.group_by(c.VIEWER_ID, pl.col(c.EVENT_AT) // DAY_MS).len()["len"]
    return Explored(
        arm=arm,
        pages=slots[c.REQUEST_ID].n_unique(),
        slots=len(slots),
        explored=len(chance),
        most_a_day=int(days.max() or 0),  # type: ignore[arg-type]
        new_explored=_mean(chance[_NEW]),
        new_others=_mean(others[_NEW]),
        clicks_explored=_mean(chance[_CLICKED]),
        clicks_others=_mean(others[_CLICKED]),
        price=_price(chance, others),
        least_propensity=float(slots[c.PROPENSITY].min()),  # type: ignore[arg-type]
    )


def _price(chance: pl.DataFrame, others: pl.DataFrame) -> Interval:
    rates = others.group_by(c.POSITION).agg(pl.col(_CLICKED).mean().alias("rate"))
    paired = chance.join(rates, on=c.POSITION)
    if not len(paired):
        return Interval(np.nan, np.nan, np.nan)
    lost = paired["rate"].to_numpy() - paired[_CLICKED].cast(pl.Float64).to_numpy()
    return cluster_interval(lost, paired[c.VIEWER_ID].to_numpy())


def _mean(column: pl.Series) -> float:
    return float(column.mean()) if len(column) else float("nan")  # type: ignore[arg-type]
