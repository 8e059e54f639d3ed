"""Releases that differ in one thing."""

import json
import shutil

from core import release
from pipelines.spaces import Space


def another(space: Space, release_id: str) -> str:
    """A second release, the same but for how it serves."""
    first = release.load(space.releases, release_id)

    def write(path):
        shutil.copytree(first.path, path, dirs_exist_ok=True)
        (path / release.MANIFEST).unlink()
        lineage = json.loads((path / "lineage.json").read_text())
        lineage["serving"]["rerank"]["diversity"] = 0.5
        (path / "lineage.json").write_text(json.dumps(lineage))

    m = first.manifest
    facts = {"snapshot": m.snapshot, "feature_schema": m.feature_schema, "config_fingerprint": "other", "git_commit": "g"}
    return release.publish(space.releases, write, created_at=m.created_at + 1, metrics=m.metrics, **facts).release_id
