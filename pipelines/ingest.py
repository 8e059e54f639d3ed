"""What a training run starts from: a source's log and catalogue, all that the service has logged and taken in since, without
forgotten viewers; or a snapshot that was taken of these before."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from core import columns as c
from core import config as configs
from core import events as ev
from core import settings
from core.clock import DAY_MS
from core.errors import BadInput
from core.event_log import batches
from data import dataset as datasets
from data import lineage, partitions, tombstones, versioning
from data.catalogue import Catalogue
from data.dataset import Dataset
from data.lineage import Origin
from data.logs import existing_log
from data.sources import registry
from data.world import simulate
from pipelines import provenance, spaces
from pipelines.presets import RunConfig
from serving.fresh_videos import uploaded


@dataclass(frozen=True)
class Loaded:
    """A dataset, its space, and how far into the live event log it reaches."""

    dataset: Dataset
    space: spaces.Space
    log_offset: int
    origin: Origin
    warnings: tuple[str, ...] = ()


def load(
    source: str,
    path: Path | None,
    mapping: Path | None,
    config: RunConfig,
    var_dir: Path,
    advance: Callable[[float, str], None],
) -> Loaded:
    """Load `source`, append the live events of its space, and leave out viewers who asked to be forgotten.

    If the config names a snapshot, load that one instead.

    Raises:
        BadInput: no such source, path or snapshot, or a log that is too broken to use.
    """
    space = open_space(source, path, config, var_dir)
    if config.snapshot:
        return _frozen(space, config.snapshot)
    if source == "world":
        dataset = simulate.generate(config.world, lambda note, share: advance(share, note))
        warnings: tuple[str, ...] = ()
        origin = Origin(source, config=configs.fingerprint(config.world))
        space.world.write_text(json.dumps(configs.to_dict(config.world), indent=1))
    else:
        assert path is not None, "open_space refuses a log without a path"
        found = registry.load(
            source,
            path,
            mapping=mapping,
            max_broken=config.max_broken,
            quarantine_dir=space.path / "quarantine",
            latest_at=provenance.now() + DAY_MS,
        )
        dataset, warnings = found.dataset, found.warnings
        origin = lineage.of_files(source, found.paths)
    return _with_live_events(dataset, space, origin, warnings)


def open_space(source: str, path: Path | None, config: RunConfig, var_dir: Path) -> spaces.Space:
    """The space of a source's dataset.

    Raises:
        BadInput: a source that does not exist, or a log without a path that does.
    """
    if source == "world":
        return spaces.open_space(var_dir, f"world-{config.name}")
    if path is None:
        raise BadInput(f"--source {source} needs --path")
    registry.check(source, path)
    return spaces.open_space(var_dir, space_of_log(path, var_dir).name)


def space_of_log(path: Path, var_dir: Path) -> spaces.Space:
    """Where a log's things are kept, whether anything is there yet or not."""
    return spaces.Space(var_dir / (path.stem if path.is_file() else path.resolve().name))


def live_events(space: spaces.Space, after: int = 0) -> tuple[list[pl.DataFrame], int]:
    """Everything that the live event log of a space has had after an offset, in parts, and how far that is.

    From the beginning that is the daily partitions as far as they reach, then the log: it may have let go of what they have
    (`pipelines.trim`), and days that were dropped from them on purpose stay dropped. After an offset it is the log alone.
    """
    reached = 0 if after else partitions.describe(space.partitions).log_offset
    stored = [partitions.read(space.partitions, marked=tombstones.read(space.path))] if reached else []
    log, begin = existing_log(space.events, settings.load().log_url), max(after, reached)
    if log is None:
        return stored, begin
    found = list(batches(log, begin))
    log.close()
    return [*stored, *(pl.DataFrame(pl.from_arrow(events)) for events, _ in found)], found[-1][1] if found else begin


def _uploads(dataset: Dataset, live: list[pl.DataFrame]) -> pl.DataFrame:
    """Videos that came to the service while it ran."""
    uploads = [frame.filter(pl.col(c.KIND) == ev.UPLOAD) for frame in live]
    return uploaded(pl.concat(uploads).to_arrow().cast(c.EVENTS), Catalogue.of(dataset.videos))


def _frozen(space: spaces.Space, snapshot_id: str) -> Loaded:
    """A snapshot as it was taken, less the viewers forgotten since."""
    found, marked = versioning.describe(space.snapshots, snapshot_id), tombstones.read(space.path)
    dataset = versioning.open_snapshot(space.snapshots, snapshot_id, verify=True)
    lost = versioning.forgotten(found, marked)
    warnings = (f"{lost} viewers of snapshot {snapshot_id} were forgotten since, so this is another one",) if lost else ()
    origin = found.origin or Origin(found.name)
    return Loaded(dataset, space, origin.log_offset, origin, warnings)


def _with_live_events(dataset: Dataset, space: spaces.Space, origin: Origin, warnings: tuple[str, ...]) -> Loaded:
    frames, offset = live_events(space)
    if frames:
        events = pl.concat([dataset.events, *frames], how="vertical_relaxed").unique(c.EVENT_ID, keep="first")
        dataset = datasets.make(dataset.name, events, dataset.viewers, pl.concat([dataset.videos, _uploads(dataset, frames)]))
    dataset = tombstones.read(space.path).dataset(dataset)
    return Loaded(dataset, space, offset, replace(origin, log_offset=offset), warnings)
