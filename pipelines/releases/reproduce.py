"""A release made again from what it says it was made from, and compared with itself, file by file.

    (snapshot, config, program)  ─ the same training as `pipelines.run` ─►  sha256 of weights, tables, index and all the rest

Nothing is published, and neither the source nor the live log is read: what came since changes nothing. Equal to the last bit is
promised for the same program on the same machine with as many threads; other processors round differently. What people answered
about videos (`labels=true`) is no part of a snapshot and goes on growing.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from core import config as configs
from core import release
from core.errors import BadInput
from core.release import Manifest
from data import tombstones, versioning
from data.catalogue import ViewerTable
from data.splits import global_time_split
from pipelines import fit, labelling, provenance
from pipelines.presets import RunConfig
from pipelines.progress import Stages
from pipelines.releases import bundle, publish
from pipelines.spaces import Space
from serving.releases import LINEAGE


@dataclass(frozen=True)
class Reproduced:
    """How a release compares with itself, made again."""

    release_id: str
    again_id: str
    """The id that the files made now would have: the same one where every file is."""
    snapshot_id: str
    commit: str
    commit_now: str
    equal: tuple[str, ...]
    different: tuple[str, ...]
    """Files that differ, or that only one of the two has."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def reproduce(space: Space, release_id: str, stages: Stages) -> Reproduced:
    """Train the release's snapshot with its config, and compare.

    Raises:
        BadInput: it was not made by training, or viewers were forgotten since.
    """
    found = release.load(space.releases, release_id, verify=True)
    said = json.loads((found.path / LINEAGE).read_text())
    if of := said.get("refreshed"):
        raise BadInput(f"release {release_id} is a refresh of {of['of']}, which took in new events; reproduce that one instead")
    marked = tombstones.read(space.path)
    if lost := versioning.forgotten(versioning.describe(space.snapshots, found.manifest.snapshot), marked):
        raise BadInput(f"{lost} viewers of release {release_id} were forgotten since; it cannot be reproduced")
    with TemporaryDirectory() as folder:
        again = _made(space, found.manifest, said, Path(folder), stages)
    before, after = dict(found.manifest.files), dict(again.files)
    differ = {name for name, digest in (before.items() ^ after.items())}
    commits = found.manifest.git_commit, provenance.git_commit()
    same = tuple(sorted(before.keys() - differ))
    return Reproduced(release_id, again.release_id, found.manifest.snapshot, *commits, same, tuple(sorted(differ)))


def _made(space: Space, manifest: Manifest, said: dict[str, Any], folder: Path, stages: Stages) -> Manifest:
    """The manifest of the release made again, in a space of its own under `folder`."""
    config = configs.from_dict(RunConfig, configs.known(RunConfig, said["run"]))
    with stages("snapshot") as stage:
        dataset = versioning.open_snapshot(space.snapshots, manifest.snapshot, verify=True)
        split = global_time_split(dataset.events, config.split.test_fraction, config.split.ranker_fraction)
        stage.note = f"{manifest.snapshot}, {len(dataset.events):,} events"
    with stages("features") as stage:
        catalogue, early = labelling.catalogues(dataset, split, space.path, wanted=config.labels)
        material = fit.prepare(dataset, catalogue, ViewerTable.of(dataset.viewers), split, early)
    towers, ranker = fit.both(material, config, stages)
    with stages("release files") as stage:
        staged = bundle.write(folder / "staged", material, towers, ranker, config, said["log_offset"])
        made = publish.register(staged, Space(folder), manifest.snapshot, config, {})
        stage.note = made.release_id
    return made.manifest
