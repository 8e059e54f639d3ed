"""The training run, from a log of viewers to a release. Read `run` top to bottom: one line per stage.

    log → validation → snapshot → split in time → features → towers → ranker → towers to the end → index → release files
        → leaderboard → publish → gates → track

Both stages are in `fit.py`, what goes into a release in `bundle.py`, the comparison with baselines in `compare.py`. Evaluation
runs the serving code over the very files that are published afterwards. All in one process and nothing kept in between;
`flow.py` runs the same functions as steps that survive a kill.
"""

import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from core import release
from core.errors import ReleaseRefused
from data import profile, validation, versioning
from data.catalogue import ViewerTable
from data.splits import global_time_split
from pipelines import fit, ingest, labelling, promote, provenance, spaces, tracking
from pipelines.evaluation.compare import compare, trained_s
from pipelines.evaluation.leaderboard import Leaderboard
from pipelines.orchestration import lineage
from pipelines.presets import RunConfig
from pipelines.progress import Stages
from pipelines.releases import bundle, history, publish, registry
from pipelines.releases.history import Signed

_WHO = "upnext train"


class Door(StrEnum):
    """How a trained release comes to serve."""

    OPEN = "open"
    """It does, and nothing is asked."""
    GATES = "gates"
    """Where nothing is live yet; otherwise if its gates let it, and it stays the candidate if they do not."""
    STAGE = "stage"
    """It does not: it becomes the candidate."""


@dataclass(frozen=True)
class RunResult:
    """What a run produced."""

    release_id: str
    held: str
    """Why the release is only the candidate; empty where it is live."""
    space: spaces.Space
    leaderboard: Leaderboard
    stages: list[dict[str, str | float]]

    def to_json(self) -> dict[str, Any]:
        """The report that `--json` writes."""
        told = {"release_id": self.release_id, "live": not self.held, "held": self.held, "space": self.space.name}
        return {**self.leaderboard.to_json(), **told, "stages": self.stages}


def run(
    source: str,
    path: Path | None,
    mapping: Path | None,
    config: RunConfig,
    var_dir: Path,
    stages: Stages,
    door: Door = Door.OPEN,
) -> RunResult:
    """Load, train, evaluate, publish, and let serve what `door` lets."""
    with stages("load") as stage:
        loaded = ingest.load(source, path, mapping, config, var_dir, stage.advance)
        dataset, space = loaded.dataset, loaded.space
        size = f"{len(dataset.events):,} events, {len(dataset.viewers):,} viewers, {len(dataset.videos):,} videos"
        stage.note = "; ".join([size, *loaded.warnings])
    with stages("validate") as stage:
        checked = validation.check(dataset).require()
        stage.note = checked.summary()
    with stages("snapshot") as stage:
        snapshot = versioning.snapshot(dataset, space.snapshots, provenance.git_commit(), loaded.origin)
        stage.note = snapshot.snapshot_id
    viewers = ViewerTable.of(dataset.viewers)
    split = global_time_split(dataset.events, config.split.test_fraction, config.split.ranker_fraction)
    with stages("features") as stage:
        catalogue, early = labelling.catalogues(dataset, split, space.path, wanted=config.labels)
        material = fit.prepare(dataset, catalogue, viewers, split, early)
        known = [f"labels: {', '.join(catalogue.labels)}"] if catalogue.labels else []
        stage.note = "; ".join([f"{len(material.clicks):,} clicks with the features of the moment before", *known])
    towers, ranker = fit.both(material, config, stages)
    with stages("release files") as stage:
        staged = bundle.write(space.work / "staged", material, towers, ranker, config, loaded.log_offset)
        stage.note = f"index {staged.index_kind}, recall@100 {staged.index_recall:.4f}"
    took = trained_s(stages.total("towers", "towers to the end"), stages.total("ranker"))
    with stages("evaluate") as stage:
        leaderboard = compare(dataset, staged.path, catalogue, viewers, split, config, stage.advance, took)
        stage.note = "; ".join([f"{len(leaderboard.held_out):,} test clicks", *(leak.text for leak in leaderboard.about.leaks)])
    with stages("publish") as stage:
        release_id = publish.register(staged, space, snapshot.snapshot_id, config, leaderboard.to_json()).release_id
        shutil.rmtree(space.work, ignore_errors=True)
        stage.note = release_id
    held = _enter(space, release_id, door, stages)
    if not held:
        profile.accept(space.snapshots, profile.build(dataset, snapshot.snapshot_id))
    with stages("track") as stage:
        checked.keep(space.path, snapshot.snapshot_id, provenance.now())
        lineage.keep(space, lineage.of(space, release_id))
        names = {"data": space.name, "snapshot": snapshot.snapshot_id, "release": release_id}
        recorded = tracking.record(var_dir, "train", config, tracking.measured(leaderboard), stages, **names)
        stage.note = f"{recorded}; {registry.sync(space)}"
    return RunResult(release_id, held, space, leaderboard, stages.to_json())


def _enter(space: spaces.Space, release_id: str, door: Door, stages: Stages) -> str:
    """Let the release serve, or make it the candidate: why, or nothing where it is live."""
    signed = Signed(_WHO, provenance.now())
    if door is Door.STAGE:
        history.move(space, "candidate", release_id, signed, "trained")
        return f"release {release_id} is the candidate; `upnext release promote {release_id}` asks its gates"
    if door is Door.GATES and release.resolve(space.releases, "live") not in (None, release_id):
        try:
            promote.enter(space, release_id, signed, promote.Reasons("trained"), stages)
        except ReleaseRefused as error:
            return str(error)
    publish.deploy(space, release_id, _WHO)
    return ""
