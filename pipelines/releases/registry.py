"""Releases as MLflow model versions: what people browse, never what decides.

The pointer files and manifests are the truth; this mirrors them and can be made anew from them at any time. A space is a
registered model, a release one of its versions, in order of training. Pointers are aliases; what they mean is the tag `stage`:

    production    live                  staging     candidate, canary or shadow
    archived      live once, no longer  development everything else

`mlflow ui --backend-store-uri sqlite:///var/mlflow.db` shows it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core import release
from core.clock import stamp
from core.release import Release
from pipelines import tracking
from pipelines.gates import result as gates_result
from pipelines.releases import history
from pipelines.spaces import Space
from serving.releases import LINEAGE

_STAGING = {"candidate", "canary", "shadow"}
_LONGEST = 50_000
"""Characters of a tag that are kept."""


@dataclass(frozen=True)
class Version:
    """One release as the registry shows it."""

    version: int
    release_id: str
    stage: str
    pointers: tuple[str, ...]
    tags: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def versions(space: Space) -> list[Version]:
    """What the pointers and manifests say, oldest first."""
    root = space.releases
    pointers = {name: release.resolve(root, name) for name in release.POINTERS}
    once = {made.after for made in history.read(space) if made.pointer == "live"} | {pointers["previous"]}
    found = sorted(
        (release.load(root, name) for name in release.names(root)), key=lambda r: (r.manifest.created_at, r.release_id)
    )
    return [_version(space, number, each, pointers, once) for number, each in enumerate(found, start=1)]


def sync(space: Space) -> str:
    """Let the registry say the same as the files: how many versions, in words, or a warning, since promoting is worth more."""
    try:
        wanted = versions(space)
        _mirror(space, wanted)
    except Exception as error:  # whatever a database, a disk or a library does
        return (
            f"warning: the registry was not updated, {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        )
    return f"{len(wanted)} versions of {space.name} in the registry"


def read(space: Space) -> list[Version]:
    """What the registry says, oldest first; nothing before the first `sync`."""
    client, _ = tracking.open_database(space.path.parent)
    if not client.search_registered_models(f"name='{space.name}'"):
        return []
    aliases = client.get_registered_model(space.name).aliases
    found = []
    for each in sorted(client.search_model_versions(f"name='{space.name}'"), key=lambda each: int(each.version)):
        named = tuple(sorted(alias for alias, version in aliases.items() if int(version) == int(each.version)))
        found.append(Version(int(each.version), each.tags["release_id"], each.tags["stage"], named, dict(each.tags)))
    return found


def _mirror(space: Space, wanted: list[Version]) -> None:
    """Create what is missing, then set every tag and alias that differs."""
    client, _ = tracking.open_database(space.path.parent)
    present = read(space)
    if not present and not client.search_registered_models(f"name='{space.name}'"):
        client.create_registered_model(
            space.name, description=f"Releases of {space.name}; var/{space.name}/releases is the truth."
        )
    known = {each.release_id: each for each in present}
    numbers = {name: each.version for name, each in known.items()}
    for each in wanted:
        if each.release_id not in known:
            source = (space.releases / each.release_id).resolve().as_uri()
            numbers[each.release_id] = int(client.create_model_version(space.name, source, tags=dict(each.tags)).version)
            continue
        for name, value in each.tags.items():
            if known[each.release_id].tags.get(name) != value:
                client.set_model_version_tag(space.name, str(numbers[each.release_id]), name, value)
    now = {pointer: each.release_id for each in wanted for pointer in each.pointers}
    before = {pointer: each.release_id for each in present for pointer in each.pointers}
    for pointer in before.keys() - now.keys():
        client.delete_registered_model_alias(space.name, pointer)
    for pointer, release_id in now.items():
        if before.get(pointer) != release_id:
            client.set_registered_model_alias(space.name, pointer, str(numbers[release_id]))
    for gone in known.keys() - {each.release_id for each in wanted}:
        client.delete_model_version(space.name, str(numbers[gone]))


def _version(space: Space, number: int, found: Release, pointers: Mapping[str, str | None], once: set[str | None]) -> Version:
    named = tuple(sorted(name for name, target in pointers.items() if target == found.release_id))
    stage = "development"
    if "live" in named:
        stage = "production"
    elif _STAGING & set(named):
        stage = "staging"
    elif found.release_id in once:
        stage = "archived"
    tags = {"release_id": found.release_id, "stage": stage, **_facts(space, found)}
    return Version(number, found.release_id, stage, named, {name: value[:_LONGEST] for name, value in tags.items()})


def _facts(space: Space, found: Release) -> dict[str, str]:
    manifest, gates = found.manifest, gates_result.newest(space, found.release_id)
    lineage = json.loads((found.path / LINEAGE).read_text())
    facts = {
        "trained_at": stamp(manifest.created_at),
        "snapshot": manifest.snapshot,
        "config_fingerprint": manifest.config_fingerprint,
        "config": json.dumps({name: lineage.get(name) for name in ("run", "serving")}, sort_keys=True),
        "feature_schema": manifest.feature_schema,
        "git_commit": manifest.git_commit,
        "hardware": json.dumps(dict(manifest.hardware), sort_keys=True),
        "num_bytes": str(sum(file.stat().st_size for file in found.path.rglob("*") if file.is_file())),
    }
    for row in manifest.metrics.get("leaderboard", []):
        if row["model"] == "two_stage":
            facts |= {
                name.replace("@", "_"): f"{row[name]:.6f}" for name in ("hr@10", "ndcg@10", "recall@500") if row.get(name)
            }
    if gates is not None:
        p50, p99 = np.percentile(gates.evidence["page_ms"], [50, 99])
        facts |= {"page_ms_p50": f"{p50:.2f}", "page_ms_p99": f"{p99:.2f}"}
        if gates.evidence.get("resident_bytes"):
            facts["resident_bytes"] = str(gates.evidence["resident_bytes"])
        facts["gates"] = f"{len(gates.blocking)} failed" if gates.blocking else "passed"
    return facts
