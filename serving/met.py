"""Which arm of an experiment every viewer met first: what makes viewers keep their arm when weights change.

    <space>/met.parquet      experiment, viewer_id, arm, and in its metadata the offset of the log that they were read up to

Each look reads only what the log got since the last one, by whatever process; the file so also outlives events that were taken
out of the log. Experiments that ended stay in it, should they come back. Viewers who asked to be forgotten are not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from core import columns as c
from core import events as ev
from core import files
from core.event_log import EventLog, batches
from data import tombstones
from experiments.assignment import OUTSIDE, Assigner
from experiments.config import ExperimentsConfig

FILE = "met.parquet"
_EXPERIMENT, _OFFSET = "experiment", b"offset"


@dataclass
class Met:
    """The first arms that a log up to `offset` tells of."""

    arms: dict[tuple[str, int], str] = field(default_factory=dict)
    """(experiment, viewer) → arm."""
    offset: int = 0


def read(space: Path, log: EventLog) -> Met:
    """As of now, and kept for the next look. Raises LogUnavailable."""
    found = _load(space)
    before = found.offset
    for events, found.offset in batches(log, before):
        shown = pl.DataFrame(pl.from_arrow(events.select([c.KIND, c.VIEWER_ID, c.ARM])))
        shown = shown.filter((pl.col(c.KIND) == ev.IMPRESSION) & pl.col(c.ARM).str.contains(":", literal=True))
        for viewer, label in shown.select(c.VIEWER_ID, c.ARM).unique(maintain_order=True).rows():
            for name, _, arm in (part.partition(":") for part in label.split("+")):
                found.arms.setdefault((name, viewer), arm)
    if found.offset != before:
        _save(space, found)
    return found


def forget(space: Path, viewer_id: int) -> None:
    """Drop one viewer from the file."""
    found = _load(space)
    kept = {key: arm for key, arm in found.arms.items() if key[1] != viewer_id}
    if len(kept) < len(found.arms):
        _save(space, Met(kept, found.offset))


def moved(found: Met, experiments: ExperimentsConfig) -> dict[str, dict[int, str]]:
    """Experiment → viewer → the arm to keep, of viewers whom present weights would give another one."""
    assigner, keep = Assigner(experiments), {}
    for experiment in (each for each in experiments.experiments if not each.interleaving):
        arms = {viewer: arm for (name, viewer), arm in found.arms.items() if name == experiment.name}
        drawn = assigner.assign(np.fromiter(arms, dtype=np.int64, count=len(arms)))[experiment.name].arm_B
        names = [None if code == OUTSIDE else experiment.arm_names[code] for code in drawn]
        keep[experiment.name] = {
            viewer: arm
            for (viewer, arm), name in zip(arms.items(), names, strict=True)
            if name not in (None, arm) and arm in experiment.arm_names
        }
    return {name: arms for name, arms in keep.items() if arms}


def arms_of(space: Path, log: EventLog, experiments: ExperimentsConfig) -> Mapping[str, Mapping[int, str]]:
    """What `moved` says now; the log is not looked at where no viewers are split. Raises LogUnavailable."""
    split = any(not experiment.interleaving for experiment in experiments.experiments)
    return moved(read(space, log), experiments) if split else {}


def _load(space: Path) -> Met:
    try:
        table = pq.read_table(space / FILE)
    except (FileNotFoundError, pa.ArrowInvalid):  # absent, or not ours: the log has it all
        return Met()
    gone = tombstones.read(space).forgotten_at
    rows = zip(*(table[name].to_pylist() for name in (_EXPERIMENT, c.VIEWER_ID, c.ARM)), strict=True)
    arms = {(name, viewer): arm for name, viewer, arm in rows if viewer not in gone}
    return Met(arms, int(table.schema.metadata[_OFFSET]))


def _save(space: Path, found: Met) -> None:
    names, viewers = [name for name, _ in found.arms], [viewer for _, viewer in found.arms]
    columns = {
        _EXPERIMENT: pa.array(names, pa.string()).dictionary_encode(),
        c.VIEWER_ID: pa.array(viewers, pa.int64()),
        c.ARM: pa.array(found.arms.values(), pa.string()).dictionary_encode(),
    }
    with files.replaced(space / FILE) as staged:
        pq.write_table(pa.table(columns).replace_schema_metadata({_OFFSET: str(found.offset)}), staged, compression="zstd")
