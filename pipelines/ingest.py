"""What a training run starts from: a source's log, plus everything the service has logged since for the same dataset."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from core import columns as c
from core import config as configs
from core.errors import BadInput
from core.event_log import SqliteEventLog
from data import dataset as datasets
from data.dataset import Dataset
from data.sources import registry
from data.world import simulate
from pipelines import spaces
from pipelines.presets import RunConfig


@dataclass(frozen=True)
class Loaded:
    """A dataset, its space, and how far into the live event log it reaches."""

    dataset: Dataset
    space: spaces.Space
    log_offset: int
    warnings: tuple[str, ...] = ()


def load(
    source: str,
    path: Path | None,
    mapping: Path | None,
    config: RunConfig,
    var_dir: Path,
    advance: Callable[[float, str], None],
) -> Loaded:
    """Load `source`, then append the live events of its space.

    Raises:
        BadInput: no such source, no path, or a log that is too broken to use.
    """
    if source == "world":
        space = spaces.open_space(var_dir, f"world-{config.name}")
        dataset = simulate.generate(config.world, lambda note, share: advance(share, note))
        warnings: tuple[str, ...] = ()
        space.world.write_text(json.dumps(configs.to_dict(config.world), indent=1))
    else:
        if path is None:
            raise BadInput(f"--source {source} needs --path")
        space = spaces.open_space(var_dir, path.stem if path.is_file() else path.resolve().name)
        found = registry.load(
            source, path, mapping=mapping, max_broken=config.max_broken, quarantine_dir=space.path / "quarantine"
        )
        dataset, warnings = found.dataset, found.warnings
    return _with_live_events(dataset, space, warnings)


def _with_live_events(dataset: Dataset, space: spaces.Space, warnings: tuple[str, ...]) -> Loaded:
    if not space.events.is_file():
        return Loaded(dataset, space, 0, warnings)
    log, offset, frames = SqliteEventLog(space.events), 0, []
    while True:
        table, following = log.read(offset)
        if following == offset:
            break
        frames.append(pl.DataFrame(pl.from_arrow(table)))
        offset = following
    log.close()
    if frames:
        events = pl.concat([dataset.events, *frames], how="vertical_relaxed").unique(c.EVENT_ID, keep="first")
        dataset = datasets.make(dataset.name, events, dataset.viewers, dataset.videos)
    return Loaded(dataset, space, offset, warnings)
