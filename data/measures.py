"""What is watched for shifts: each measure declared once, as an expression over events or over viewers' days.

`most` is the worst a shift of it can mean. Seconds, shares and empty fields say how data is *made*: a large shift there is a
broken client, and fails. What is shown and clicked also moves with every new release, and who comes with every campaign: there
a shift is news, and warns.
"""

from dataclasses import dataclass

import polars as pl

from core import columns as c
from core import events as ev
from core.clock import DAY_MS, SECOND_MS
from data.dataset import Dataset
from data.schemas import OUTCOMES
from data.severity import FAIL, WARN

VIEWER, DAY, CLICKS = "viewer", "day", "clicks"
EMPTY, PRESENT = "empty", "present"
_AGE, _DELAY, _VIDEO_LANGUAGE = "age_days", "delay_s", "video_language"


@dataclass(frozen=True)
class Measure:
    """One number or category per row."""

    name: str
    value: pl.Expr
    where: pl.Expr
    """Which rows it is about."""
    numeric: bool = False
    by_viewer_day: bool = False
    """Whether rows are days of viewers, not events."""
    rate: bool = False
    """Whether it says if a field is empty."""
    most: str = WARN


_NOT_VIEWING = (ev.UPLOAD, ev.REMOVE, *ev.OF_PAGES)


def _kind(*kinds: str) -> pl.Expr:
    return pl.col(c.KIND).is_in(kinds)


def _empty(name: str, column: str, *kinds: str) -> Measure:
    value = pl.when(pl.col(column).is_null()).then(pl.lit(EMPTY)).otherwise(pl.lit(PRESENT))
    return Measure(name, value, _kind(*kinds), rate=True, most=FAIL)


def _viewers(name: str, column: str) -> Measure:
    return Measure(name, pl.col(column), pl.lit(True), by_viewer_day=True)


_WATCHED_SHARE = pl.col(c.VALUE) / pl.when(pl.col(c.DURATION_S) > 0).then(pl.col(c.DURATION_S))

MEASURES = (
    Measure("kind of event", pl.col(c.KIND), ~_kind(*_NOT_VIEWING)),
    Measure("seconds of a watch", pl.col(c.VALUE), _kind(ev.WATCH), numeric=True, most=FAIL),
    Measure("watched share of the video", _WATCHED_SHARE, _kind(ev.WATCH), numeric=True, most=FAIL),
    Measure("delay of a click or watch, s", pl.col(_DELAY), _kind(ev.CLICK, ev.WATCH), numeric=True),
    Measure("position of an impression", pl.col(c.POSITION).cast(pl.String), _kind(ev.IMPRESSION)),
    Measure("surface of an impression", pl.col(c.SURFACE), _kind(ev.IMPRESSION)),
    Measure("source of an impression", pl.col(c.SOURCE), _kind(ev.IMPRESSION)),
    Measure("category of a clicked video", pl.col(c.CATEGORY), _kind(ev.CLICK)),
    Measure("language of a clicked video", pl.col(_VIDEO_LANGUAGE), _kind(ev.CLICK)),
    Measure("length of a clicked video, s", pl.col(c.DURATION_S), _kind(ev.CLICK), numeric=True),
    Measure("age of a clicked video, days", pl.col(_AGE), _kind(ev.CLICK), numeric=True),
    Measure("clicks of a viewer in a day", pl.col(CLICKS), pl.lit(True), numeric=True, by_viewer_day=True),
    _viewers("country of the day's viewers", c.COUNTRY),
    _viewers("device of the day's viewers", c.DEVICE),
    _viewers("age of the day's viewers", c.AGE_BAND),
    _empty("impressions without a propensity", c.PROPENSITY, ev.IMPRESSION),
    _empty("impressions without a position", c.POSITION, ev.IMPRESSION),
    _empty("outcomes without a request", c.REQUEST_ID, *OUTCOMES),
    _empty("clicked videos without a length", c.DURATION_S, ev.CLICK),
)


@dataclass(frozen=True)
class Rows:
    """Events of whole viewers with what is known of video and viewer, and the days on which these viewers came."""

    events: pl.DataFrame
    viewer_days: pl.DataFrame

    @staticmethod
    def of(dataset: Dataset, most: int) -> "Rows":
        """From the events of as many viewers as give about `most` events; viewers are drawn by a hash of their id."""
        viewing, share = ~_kind(*_NOT_VIEWING), most / max(len(dataset.events), 1)
        drawn = pl.col(c.VIEWER_ID).hash(0) < int(share * 2**64) if share < 1 else pl.lit(True)
        needed = [c.KIND, c.EVENT_AT, c.RECEIVED_AT, c.VIDEO_ID, c.VIEWER_ID, c.VALUE, c.POSITION, c.SURFACE, c.SOURCE]
        videos = dataset.videos.select(
            c.VIDEO_ID, c.CATEGORY, c.DURATION_S, c.UPLOADED_AT, pl.col(c.LANGUAGE).alias(_VIDEO_LANGUAGE)
        )
        picked = dataset.events.lazy().filter(viewing & drawn).select(*needed, c.PROPENSITY, c.REQUEST_ID)
        events = picked.join(videos.lazy(), on=c.VIDEO_ID, how="left").with_columns(
            (pl.col(c.RECEIVED_AT) // DAY_MS).alias(DAY),
            (pl.col(c.VIEWER_ID).rank("dense") - 1).cast(pl.Int64).alias(VIEWER),
            ((pl.col(c.RECEIVED_AT) - pl.col(c.EVENT_AT)) / SECOND_MS).alias(_DELAY),
            ((pl.col(c.EVENT_AT) - pl.col(c.UPLOADED_AT)) / DAY_MS).alias(_AGE),
        )
        collected = events.collect()
        days = collected.group_by(VIEWER, c.VIEWER_ID, DAY).agg((pl.col(c.KIND) == ev.CLICK).sum().alias(CLICKS))
        return Rows(collected, days.join(dataset.viewers, on=c.VIEWER_ID, how="left"))

    def of_measure(self, measure: Measure) -> pl.DataFrame:
        """Viewer code, day and value of the rows that the measure is about and that have a value."""
        frame = self.viewer_days if measure.by_viewer_day else self.events
        found = frame.lazy().filter(measure.where).select(VIEWER, DAY, measure.value.alias(measure.name)).drop_nulls()
        if measure.numeric:
            found = found.cast({measure.name: pl.Float64}).filter(pl.col(measure.name).is_finite())
        return found.collect()
