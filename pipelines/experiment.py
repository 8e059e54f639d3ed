"""From a log, or from a file of rows, to the panel of one experiment.

A viewer's rows start counting on the day of the first impression whose `arm` names the experiment (`experiment:arm`); earlier
days are what the viewer was like before. Whatever a viewer does from then on counts for their arm, shown by it or not: that is
what was randomised. Columns per viewer and day (UTC):

    pages impressions clicks watch_s likes dislikes regrets unsubscribes    sums of the day
    videos channels                                                        distinct ones among the day's impressions (diversity)
    returned, returnable      came back within seven days, and whether the log is long enough to know (next-week retention)
"""

from pathlib import Path

import polars as pl

from core import columns as c
from core import events as ev
from core import release
from core.clock import DAY_MS
from core.errors import BadInput, SchemaMismatch
from core.event_log import SqliteEventLog
from data import versioning
from experiments.config import ExperimentConfig
from experiments.panel import Panel
from pipelines.held_out import frame_ids, read_frame
from pipelines.spaces import Space

DAY = "day"
_KEYS = (c.VIEWER_ID, DAY, c.ARM)
_WEEK = 7
_COUNTED = {
    "clicks": ev.CLICK, "likes": ev.LIKE, "dislikes": ev.DISLIKE, "regrets": ev.REGRET, "unsubscribes": ev.UNSUBSCRIBE,
}  # fmt: skip


def from_file(path: Path, experiment: ExperimentConfig) -> Panel:
    """A Parquet, CSV or TSV file with `viewer_id`, `day` (a date, or days since 1970), `arm` and any number of metric columns.

    Rows with an empty arm are from before the experiment. Empty metric values are zero.

    Raises:
        SchemaMismatch: a column is missing or cannot be read.
        BadInput: the rows do not fit the experiment.
    """
    frame = read_frame(path)
    for name in _KEYS:
        if name not in frame.columns:
            raise SchemaMismatch(f"{path} has no column '{name}'; found: {', '.join(frame.columns)}")
    ids = pl.Series(c.VIEWER_ID, frame_ids(frame, c.VIEWER_ID))
    return panel(frame.with_columns(ids, _days(frame[DAY]), pl.col(c.ARM).cast(pl.String).replace("", None)), experiment)


def from_space(space: Space, experiment: ExperimentConfig) -> Panel:
    """The live log of a dataset, after the log that its live release was trained from.

    Raises:
        BadInput: nobody has been exposed to the experiment yet.
    """
    frames, videos = [], None
    live = release.resolve(space.releases, "live")
    if live is not None:
        dataset = versioning.open_snapshot(space.snapshots, release.load(space.releases, live).manifest.snapshot)
        frames, videos = [dataset.events], dataset.videos
    frames += _live_events(space)
    if not frames:
        raise BadInput(f"'{space.name}' has no log yet; run `upnext serve` and let viewers come")
    events = pl.concat(frames, how="vertical_relaxed").unique(c.EVENT_ID, keep="first")
    return panel(rows(events, experiment, videos), experiment)


def rows(events: pl.DataFrame, experiment: ExperimentConfig, videos: pl.DataFrame | None = None) -> pl.DataFrame:
    """Events (schema `columns.EVENTS`) as rows per viewer and day, with an arm from the day of first exposure on.

    A viewer with two arms gets every row twice, once per arm, which `Panel` finds. Without `videos`, there are no channels.
    """
    dated = events.with_columns((pl.col(c.EVENT_AT) // DAY_MS).alias(DAY))
    shown = dated.filter(pl.col(c.KIND) == ev.IMPRESSION)
    exposures = _exposures(shown, experiment)
    if not len(exposures):
        raise BadInput(f"no impression in the log carries an arm of '{experiment.name}'; has it been served?")
    keys = [c.VIEWER_ID, DAY]
    daily = dated.filter(pl.col(c.VIEWER_ID).is_in(exposures[c.VIEWER_ID].implode())).group_by(keys).agg(*_sums())
    if videos is not None:
        channels = shown.join(videos.select(c.VIDEO_ID, c.CHANNEL_ID), on=c.VIDEO_ID)
        daily = daily.join(channels.group_by(keys).agg(pl.col(c.CHANNEL_ID).n_unique().alias("channels")), on=keys, how="left")
    arm = pl.when(pl.col(DAY) >= pl.col("first_day")).then(pl.col(c.ARM)).alias(c.ARM)
    joined = _with_returns(daily).join(exposures, on=c.VIEWER_ID).with_columns(arm).drop("first_day")
    return joined.sort(*keys, c.ARM)


def panel(frame: pl.DataFrame, experiment: ExperimentConfig) -> Panel:
    """Rows as the analysis wants them; every column of numbers besides the keys is there to be a metric."""
    numbers = {
        name: frame[name].cast(pl.Float64).fill_null(0.0).to_numpy()
        for name, dtype in frame.schema.items()
        if name not in _KEYS and (dtype.is_numeric() or dtype == pl.Boolean)
    }
    return Panel.of(frame[c.VIEWER_ID].to_numpy(), frame[DAY].to_numpy(), frame[c.ARM].to_list(), numbers, experiment.arm_names)


def _exposures(shown: pl.DataFrame, experiment: ExperimentConfig) -> pl.DataFrame:
    """(viewer_id, arm, first_day) of every viewer and arm of the experiment."""
    own = pl.col(c.ARM).str.split("+").list.eval(pl.element().filter(pl.element().str.starts_with(f"{experiment.name}:")))
    found = shown.with_columns(own.list.first().str.strip_prefix(f"{experiment.name}:").alias(c.ARM)).drop_nulls(c.ARM)
    first = pl.col(DAY).min().over(c.VIEWER_ID).alias("first_day")
    return found.select(c.VIEWER_ID, c.ARM, first).unique()


def _sums() -> list[pl.Expr]:
    shown = pl.col(c.KIND) == ev.IMPRESSION
    return [
        pl.col(c.REQUEST_ID).filter(shown).n_unique().alias("pages"),
        shown.sum().alias("impressions"),
        *((pl.col(c.KIND) == kind).sum().alias(name) for name, kind in _COUNTED.items()),
        pl.col(c.VALUE).filter(pl.col(c.KIND) == ev.WATCH).sum().alias("watch_s"),
        pl.col(c.VIDEO_ID).filter(shown).n_unique().alias("videos"),
    ]


def _with_returns(daily: pl.DataFrame) -> pl.DataFrame:
    active = daily.filter(pl.col("impressions") > 0).sort(c.VIEWER_ID, DAY)
    following = pl.col(DAY).shift(-1).over(c.VIEWER_ID) - pl.col(DAY)
    returnable = pl.col(DAY) + _WEEK <= pl.col(DAY).max()
    returns = active.select(
        c.VIEWER_ID, DAY, returnable.alias("returnable"), (returnable & (following <= _WEEK)).fill_null(False).alias("returned")
    )
    return daily.join(returns, on=[c.VIEWER_ID, DAY], how="left")


def _live_events(space: Space) -> list[pl.DataFrame]:
    if not space.events.is_file():
        return []
    log, offset, frames = SqliteEventLog(space.events), 0, []
    while True:
        table, following = log.read(offset)
        if following == offset:
            break
        frames.append(pl.DataFrame(pl.from_arrow(table)))
        offset = following
    log.close()
    return frames


def _days(column: pl.Series) -> pl.Series:
    """Days since 1970 from dates, ISO text or integers."""
    try:
        dates = column.str.to_date() if column.dtype == pl.String else column
        days = dates.cast(pl.Date).to_physical() if dates.dtype.is_temporal() else dates.cast(pl.Int64)
    except pl.exceptions.PolarsError as error:
        raise SchemaMismatch(f"column '{DAY}' must hold dates such as 2026-01-05, or days since 1970: {error}") from error
    if days.null_count():
        raise SchemaMismatch(f"column '{DAY}' has {days.null_count()} empty values")
    return days.cast(pl.Int64).alias(DAY)
