"""From a log, or from files, to what `upnext experiment` reports.

The live log, after the log that the live release was trained from, is read as `experiments.evidence` says; the records of
requests as `serving.counterfactual` says. `export` writes both in the layout that `upnext ope` reads.
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from core import columns as c
from core import events as ev
from core import release
from core.errors import BadInput, SchemaMismatch
from data import tombstones, versioning
from data.dataset import Dataset
from experiments import exploration, open_bandit, served
from experiments.config import ExperimentConfig
from experiments.evidence import DAY, KEYS, Preference, panel, preferences, rows
from experiments.exploration import Explored
from experiments.panel import Panel
from experiments.shadow import Comparison
from pipelines.evaluation.held_out import frame_ids, read_frame
from pipelines.ingest import live_events
from pipelines.spaces import Space
from serving import counterfactual, shadow


def from_file(path: Path, experiment: ExperimentConfig) -> Panel:
    """A Parquet, CSV or TSV file with `viewer_id`, `day` (a date, or days since 1970), `arm` and any number of metric columns.

    Rows with an empty arm are from before the experiment. Empty metric values are zero.

    Raises:
        SchemaMismatch: a column is missing or cannot be read.
        BadInput: the rows do not fit the experiment.
    """
    frame = read_frame(path)
    for name in KEYS:
        if name not in frame.columns:
            raise SchemaMismatch(f"{path} has no column '{name}'; found: {', '.join(frame.columns)}")
    for name in (column for metric in experiment.analysis.metrics for column in metric.columns if column in frame.columns):
        if not (frame.schema[name].is_numeric() or frame.schema[name] == pl.Boolean):
            raise SchemaMismatch(
                f"column '{name}' of {path} is a metric and must hold numbers, not '{frame[name].drop_nulls()[0]}'"
            )
    ids = pl.Series(c.VIEWER_ID, frame_ids(frame, c.VIEWER_ID))
    return panel(frame.with_columns(ids, _days(frame[DAY]), pl.col(c.ARM).cast(pl.String).replace("", None)), experiment)


def from_space(space: Space, experiment: ExperimentConfig) -> Panel:
    """The live log of a dataset, after the log that its live release was trained from.

    Raises:
        BadInput: nobody has been exposed to the experiment yet.
    """
    frames, videos = [], None
    dataset = _trained_on(space)
    if dataset is not None:
        frames, videos = [dataset.events], dataset.videos
    frames += live_events(space)[0]
    if not frames:
        raise BadInput(f"'{space.name}' has no log yet; run `upnext serve` and let viewers come")
    events = pl.concat(frames, how="vertical_relaxed").unique(c.EVENT_ID, keep="first")
    events = tombstones.read(space.path).events(events)
    return panel(rows(events, experiment, videos), experiment)


def interleaved(space: Space, experiment: ExperimentConfig) -> Preference:
    """What viewers preferred on merged pages, from the live log. Raises BadInput when there are none."""
    return preferences(_live_log(space), experiment)


def explored(space: Space) -> list[Explored]:
    """What chance has filled in the live log, arm by arm. Raises BadInput when there is no log."""
    log, dataset = _live_log(space), _trained_on(space)
    uploads = log.filter(pl.col(c.KIND) == ev.UPLOAD).select(c.VIDEO_ID, pl.col(c.EVENT_AT).alias(c.UPLOADED_AT))
    known = [] if dataset is None else [dataset.videos.select(c.VIDEO_ID, c.UPLOADED_AT)]
    return exploration.by_arm(log, pl.concat([uploads, *known], how="vertical_relaxed"))


def unseen(space: Space) -> dict[str, list[Comparison]]:
    """Challenger's release → what its unseen pages say, all and per slice, from the records of requests.

    Raises:
        BadInput: no request was answered by a challenger.
    """
    found = shadow.compare(counterfactual.read(space.path))
    if not found:
        raise BadInput(
            f"no request of '{space.name}' was answered in the shadow; set `shadow` in {served.EXPERIMENTS} and serve"
        )
    return found


@dataclass(frozen=True)
class Exported:
    """Files in the layout of `experiments.open_bandit`."""

    behaviour: Path
    """What was shown, with propensities and clicks."""
    num_shown: int
    target: Path | None
    """What a challenger would have shown in recorded requests; None when there was none."""
    num_unseen: int


def export(space: Space, folder: Path) -> Exported:
    """Write the live log, and the challenger's pages, for `upnext ope --behaviour … --target …`.

    Raises:
        BadInput: nothing was shown yet.
    """
    log = _live_log(space)
    clicks = log.filter(pl.col(c.KIND) == ev.CLICK).select(c.REQUEST_ID, c.VIDEO_ID).unique().with_columns(clicked=1)
    shown = log.filter((pl.col(c.KIND) == ev.IMPRESSION) & (pl.col(c.PROPENSITY) > 0))
    if not len(shown):
        raise BadInput(f"nothing of '{space.name}' was shown with a known propensity yet; serve, and let viewers come")
    behaviour = shown.join(clicks, on=[c.REQUEST_ID, c.VIDEO_ID], how="left").select(
        pl.col(c.VIDEO_ID).alias(open_bandit.VIDEO),
        pl.col(c.POSITION).alias(open_bandit.POSITION),
        pl.col("clicked").fill_null(0).alias(open_bandit.REWARD),
        pl.col(c.PROPENSITY).alias(open_bandit.PROPENSITY),
    )
    pages = counterfactual.read(space.path).drop_nulls("shadow_shown")
    target = pages.select(
        pl.col("shadow_shown").alias(open_bandit.VIDEO),
        pl.int_ranges(pl.col("shadow_shown").list.len()).alias(open_bandit.POSITION),
    ).explode(open_bandit.VIDEO, open_bandit.POSITION)
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "behaviour.csv", folder / "target.csv"
    behaviour.write_csv(files[0])
    if len(target):
        target.write_csv(files[1])
    return Exported(files[0], len(behaviour), files[1] if len(target) else None, len(target))


def _trained_on(space: Space) -> Dataset | None:
    """What the live release was trained on; None without one."""
    live = release.resolve(space.releases, "live")
    if live is None:
        return None
    return versioning.open_snapshot(space.snapshots, release.load(space.releases, live).manifest.snapshot)


def _live_log(space: Space) -> pl.DataFrame:
    frames, _ = live_events(space)
    if not frames:
        raise BadInput(f"'{space.name}' has no log yet; run `upnext serve` and let viewers come")
    return tombstones.read(space.path).events(pl.concat(frames))


def _days(column: pl.Series) -> pl.Series:
    """Days since 1970 from dates, ISO text or integers."""
    try:
        dates = column.str.to_date() if column.dtype == pl.String else column
        days = dates.cast(pl.Date).to_physical() if dates.dtype.is_temporal() else dates.cast(pl.Int64)
    except pl.exceptions.PolarsError as error:
        raise SchemaMismatch(
            f"column '{DAY}' must hold dates such as 2026-01-05, or days since 1970: {str(error).splitlines()[0]}"
        ) from error
    if days.null_count():
        raise SchemaMismatch(f"column '{DAY}' has {days.null_count()} empty values")
    return days.cast(pl.Int64).alias(DAY)
