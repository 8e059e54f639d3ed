"""The two towers trained with their video tables divided among processes: the training of `pipelines.fit`, the same numbers.

    torchrun --nproc-per-node 2 --no-python upnext tables train --how row_wise

Every process reads the whole log and computes its share of each step (`retrieval.parallel`); the rows of videos, and looking
them up, are divided (`embeddings.sharded_bags`). Afterwards the parts are put together, and the towers are written as a
release has them. Only tables that are fused are divided: row-wise Adagrad, as for catalogues of any size; tables of a few
codes are a copy in each.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import BadInput, ConfigError
from data import versioning
from data.catalogue import Catalogue, ViewerTable
from data.splits import global_time_split
from pipelines import fit
from pipelines.presets import RunConfig
from pipelines.progress import Stages, by_step
from pipelines.spaces import Space
from retrieval import export
from retrieval import train as retrieval
from retrieval.config import SOLVED
from retrieval.towers import VIDEO_ID, TwoTower

WHOLE = "whole"


@dataclass(frozen=True)
class Trained:
    """What a run was and came to."""

    how: str
    processes: int
    videos: int
    clicks: int
    losses: list[float]
    """Mean loss of each epoch."""
    id_bytes_here: int
    """Of the table of video ids, in this process."""
    id_bytes: int

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def train(space: Space, config: RunConfig, how: str, processes: int, out: Path | None, stages: Stages) -> Trained:
    """Towers on the clicks before the test period of the newest snapshot.

    Args:
        space: where the snapshot is.
        config: what to train.
        how: table_wise, row_wise, or whole: as `upnext train` does it.
        processes: how many train together; each of them calls this.
        out: where this process writes the towers; None in all but one.
        stages: told how far it is.

    Raises:
        BadInput: there is no snapshot.
        ConfigError: there is nothing to divide.
    """
    plan = replace(config.towers, dense_ids=False)
    if plan.viewer == SOLVED:
        raise ConfigError("solved towers take no steps, so there are no tables to divide; set towers.viewer=pools")
    with stages("features") as stage:
        material = _material(space, config)
        clicks = material.clicks.between(0, material.split.test_from)
        stage.note = f"{len(clicks):,} clicks on {len(material.catalogue):,} videos"
    with stages("towers") as stage:
        losses: list[float] = []
        show = by_step(stage.advance)

        def on_step(done: int, total: int, loss: float) -> None:
            losses.append(loss)
            show(done, total, loss)

        examples, backend = material.clicks.examples(clicks), None if how == WHOLE else how
        tower = retrieval.train(
            plan, material.schema, material.catalogue, examples, on_step=on_step, video_backend=backend
        )  # fmt: skip
        by_epoch = _means(losses, plan.epochs)
        stage.note = f"loss {by_epoch[0]:.4f} → {by_epoch[-1]:.4f}"
    numbers = tower.video_tables.configs[VIDEO_ID].rows * plan.dim
    held = tower.video_tables.held(VIDEO_ID)
    with stages("put together") as stage:
        whole = put_together(tower, material.catalogue)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            export.write(whole, material.catalogue, out, at=material.split.test_from)
            stage.note = str(out)
    return Trained(how, processes, len(material.catalogue), len(clicks), by_epoch, 4 * held, 4 * numbers)


def put_together(tower: TwoTower, catalogue: Catalogue) -> TwoTower:
    """The same towers with whole tables, in every process; for all processes at once."""
    whole = TwoTower(tower.config, tower.schema, catalogue, ids=tower.ids)
    whole.continue_from(tower)
    return whole.eval()


def _material(space: Space, config: RunConfig) -> fit.Material:
    found = versioning.list_snapshots(space.snapshots)
    if not found:
        raise BadInput(f"there is no snapshot in {space.snapshots}; run `upnext train` first")
    dataset = versioning.open_snapshot(space.snapshots, found[-1].snapshot_id)
    split = global_time_split(dataset.events, config.split.test_fraction, config.split.ranker_fraction)
    return fit.prepare(dataset, Catalogue.of(dataset.videos), ViewerTable.of(dataset.viewers), split)


def _means(losses: list[float], epochs: int) -> list[float]:
    """Mean of each of `epochs` equal parts."""
    each = len(losses) // epochs
    return [sum(losses[start : start + each]) / each for start in range(0, each * epochs, each)]
