"""The training run, from a log of viewers to a live release. Read `run` top to bottom: one line per stage.

    log → validation → snapshot → split in time → features → towers → ranker → towers to the end → index → release files
        → leaderboard → publish → track

Retrieval and ranking each have their file (`fit.py`); what goes into a release is in `bundle.py`; the comparison with baselines
in `leaderboard.py`. Evaluation runs the serving code over the very files that are published afterwards.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import config as configs
from core import release
from core.clock import stamp
from data import validation, versioning
from data.catalogue import Catalogue, ViewerTable
from data.splits import global_time_split
from pipelines import bundle, fit, ingest, provenance, spaces, tracking
from pipelines.compare import compare
from pipelines.leaderboard import Leaderboard
from pipelines.presets import RunConfig
from pipelines.progress import Stages


@dataclass(frozen=True)
class RunResult:
    """What a run produced."""

    release_id: str
    space: spaces.Space
    leaderboard: Leaderboard
    stages: list[dict[str, str | float]]

    def to_json(self) -> dict[str, Any]:
        """The report that `--json` writes."""
        return {**self.leaderboard.to_json(), "release_id": self.release_id, "space": self.space.name, "stages": self.stages}


def run(source: str, path: Path | None, mapping: Path | None, config: RunConfig, var_dir: Path, stages: Stages) -> RunResult:
    """Load, train, evaluate, publish and make live."""
    with stages("load") as stage:
        loaded = ingest.load(source, path, mapping, config, var_dir, stage.advance)
        dataset, space = loaded.dataset, loaded.space
        size = f"{len(dataset.events):,} events, {len(dataset.viewers):,} viewers, {len(dataset.videos):,} videos"
        stage.note = "; ".join([size, *loaded.warnings])
    with stages("validate") as stage:
        stage.note = validation.check(dataset).require().summary()
    with stages("snapshot") as stage:
        snapshot = versioning.snapshot(dataset, space.snapshots, provenance.git_commit())
        stage.note = snapshot.snapshot_id
    catalogue, viewers = Catalogue.of(dataset.videos), ViewerTable.of(dataset.viewers)
    split = global_time_split(dataset.events, config.split.test_fraction, config.split.ranker_fraction)
    with stages("features") as stage:
        material = fit.prepare(dataset, catalogue, viewers, split)
        stage.note = f"{len(material.clicks):,} clicks with the features of the moment before"
    with stages("towers") as stage:
        first = fit.towers(material, config, until=split.ranker_from, advance=stage.advance)
        stage.note = f"clicks before {stamp(split.ranker_from)}"
    with stages("ranker") as stage:
        ranker = fit.ranker(material, config, first, stage.advance)
        stage.note = ", ".join(ranker.heads)
    with stages("towers to the end") as stage:
        towers = fit.towers(material, config, until=split.test_from, warm_start=first, advance=stage.advance)
        stage.note = f"clicks before {stamp(split.test_from)}"
    with stages("release files") as stage:
        staged = bundle.write(space.work / "staged", material, towers, ranker, config, loaded.log_offset)
        stage.note = f"index {staged.index_kind}, recall@100 {staged.index_recall:.4f}"
    with stages("evaluate") as stage:
        took = {
            "two_tower": stages.total("towers", "towers to the end"),
            "two_stage": stages.total("towers", "ranker", "towers to the end"),
        }
        leaderboard = compare(dataset, staged.path, catalogue, viewers, split, config, stage.advance, took)
        stage.note = "; ".join([f"{len(leaderboard.held_out):,} test clicks", *(leak.text for leak in leaderboard.about.leaks)])
    with stages("publish") as stage:
        release_id = _publish(staged, space, snapshot.snapshot_id, config, leaderboard)
        spaces.make_current(var_dir, space)
        stage.note = release_id
    with stages("track") as stage:
        names = {"data": space.name, "snapshot": snapshot.snapshot_id, "release": release_id}
        stage.note = tracking.record(var_dir, "train", config, tracking.measured(leaderboard), stages, **names)
    return RunResult(release_id, space, leaderboard, stages.to_json())


def _publish(staged: bundle.Staged, space: spaces.Space, snapshot_id: str, config: RunConfig, leaderboard: Leaderboard) -> str:
    """Make the staged files a release, and that release live."""
    published = release.publish(
        space.releases,
        staged.copy_to,
        snapshot=snapshot_id,
        feature_schema=staged.feature_schema,
        config_fingerprint=configs.fingerprint(config),
        git_commit=provenance.git_commit(),
        created_at=provenance.now(),
        metrics=leaderboard.to_json(),
        hardware=provenance.hardware(),
    )
    release.point(space.releases, "live", published.release_id)
    shutil.rmtree(space.work, ignore_errors=True)
    return published.release_id
