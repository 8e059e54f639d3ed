"""Where a release comes from: data → snapshot → features → towers → index, ranker → release, as a graph and as a picture.

Read from the release's own manifest and files, and from the snapshot's; the journal of the pipeline run that registered it,
where there was one, adds the products that it was made of. A release of `upnext train` has no such run, and says so.
"""

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import files, release
from core.clock import stamp
from core.errors import BadInput
from data.lineage import FOLDER
from pipelines.orchestration import job, launch
from pipelines.orchestration import report as pipeline_report
from pipelines.orchestration.journal import RunStatus
from pipelines.spaces import Space

_COLUMNS = {"data": 0, "snapshot": 1, "towers": 2, "index": 3, "ranker": 3, "features": 3, "release": 4, "pointers": 5}
"""Node → where it stands in the picture, from left to right."""
_EDGES = (
    ("data", "snapshot"),
    ("snapshot", "features"),
    ("snapshot", "towers"),
    ("towers", "index"),
    ("towers", "ranker"),
    ("features", "release"),
    ("index", "release"),
    ("ranker", "release"),
    ("release", "pointers"),
)
_FILES = {
    "towers": ("viewer_tower.onnx", "video_tower.onnx", "video_vectors.npy", "retrieval_tables.safetensors"),
    "index": ("index.faiss", "cowatch.safetensors", "search.sqlite"),
    "ranker": ("ranker.onnx", "ranker_tables.safetensors", "ranker_videos.npy", "ranker.json"),
    "features": ("feature_schema.json", "viewer_states.parquet", "video_state.safetensors"),
}
_SHOWN = 4
"""Raw files that are named."""
_PRODUCTS = {"features": "features", "train retrieval": "towers", "index": "index", "train ranker": "ranker"}
"""Step → what it makes."""


@dataclass(frozen=True)
class Node:
    """One thing on the way to a release."""

    title: str
    """One of the kinds in the picture."""
    name: str
    """Its id."""
    facts: tuple[str, ...]
    """In words."""


@dataclass(frozen=True)
class Lineage:
    """The way to a release."""

    release_id: str
    nodes: tuple[Node, ...]
    run: str | None
    """The pipeline run that registered it."""

    def to_json(self) -> dict[str, Any]:
        """Plain values: nodes by kind, edges between kinds."""
        nodes = {node.title: {"id": node.name, "facts": list(node.facts)} for node in self.nodes}
        return {"release_id": self.release_id, "run": self.run, "nodes": nodes, "edges": [list(edge) for edge in _EDGES]}


def of(space: Space, asked: str) -> Lineage:
    """The lineage of a release, given by its id or by a pointer.

    Raises:
        BadInput: the pointer names nothing.
        ReleaseRefused: there is no such release.
    """
    release_id = release.named(space.releases, asked)
    if release_id is None:
        raise BadInput(f"no release of '{space.name}' is {asked}; `upnext release list` shows all")
    found = release.load(space.releases, release_id)
    run = next((each for each in reversed(launch.runs(space)) if each.release_id == release_id), None)
    keys = {} if run is None else _products(space, run)
    manifest, origin = found.manifest, json.loads((found.path / "lineage.json").read_text())
    snapshot = _snapshot(space, manifest.snapshot)
    by = f"pipeline run {run.name}, {run.attempts} attempt(s)" if run else "made by `upnext train`, in one process"
    pointers = [name for name in release.POINTERS if release.resolve(space.releases, name) == release_id]
    made = (f"commit {manifest.git_commit}", f"config {manifest.config_fingerprint}", f"{stamp(manifest.created_at)} UTC", by)
    nodes = (
        Node("data", origin["dataset"], (*_data(space, manifest.snapshot), f"live log to offset {origin['log_offset']}")),
        Node("snapshot", manifest.snapshot, snapshot),
        *(Node(part, keys.get(part) or "", _files(manifest.files, names)) for part, names in _FILES.items()),
        Node("release", release_id, made),
        Node("pointers", ", ".join(pointers) or "none", ()),
    )
    return Lineage(release_id, nodes, run.name if run else None)


def keep(space: Space, found: Lineage) -> None:
    """Leave the way to a release where the operations pages find it."""
    files.write_json(space.path / FOLDER / f"{found.release_id}.json", found.to_json())


def write(found: Lineage, path: Path) -> None:
    """The picture as a page that fetches nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lead = "Each box is named by its content: the same data, config and code give the same names."
    body = f"<figure>{_picture(found)}</figure>"
    path.write_text(pipeline_report.page(f"Release {found.release_id}", lead, body), encoding="utf-8")


def _products(space: Space, run: RunStatus) -> dict[str, str]:
    """Part → key of the product that it was, for the seed that was registered."""
    # Of the request only the seeds: a run of an older program may name settings that are gone.
    seeds = json.loads((space.pipeline / run.name / job.REQUEST).read_text())["seeds"]
    names = {step: step if step == "features" else job.step_name(step, seeds, seeds[0]) for step in _PRODUCTS}
    return {made: run.steps[names[step]].result for step, made in _PRODUCTS.items()}


def _data(space: Space, snapshot_id: str) -> tuple[str, ...]:
    """What was read, as far as the snapshot knows."""
    known = _snapshot_facts(space, snapshot_id).get("origin")
    if not known:
        return ("not known what was read",)
    files = tuple(f"{Path(file['path']).name} {file['sha256'][:8]}" for file in known["files"][:_SHOWN])
    more = (f"{len(known['files']) - _SHOWN} more files",) if len(known["files"]) > _SHOWN else ()
    return (f"source {known['source']} {known['config']}".strip(), *files, *more)


def _snapshot(space: Space, snapshot_id: str) -> tuple[str, ...]:
    facts = _snapshot_facts(space, snapshot_id)
    if not facts:
        return ("no longer here",)
    counts = (f"{facts[f'num_{name}']:,} {name}" for name in ("events", "viewers", "videos"))
    return (*counts, f"from {stamp(facts['first_at'])}", f"to {stamp(facts['last_at'])}")


def _snapshot_facts(space: Space, snapshot_id: str) -> dict[str, Any]:
    file = space.snapshots / snapshot_id / "snapshot.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def _files(digests: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{name} {digests[name][:8]}" for name in names if name in digests)


def _picture(found: Lineage) -> str:
    """Boxes from left to right, lines between them."""
    width, gap, line = 256, 44, 17
    places: dict[str, tuple[int, int, int]] = {}
    below: dict[int, int] = {}
    for node in found.nodes:
        column, height = _COLUMNS[node.title], 30 + line * (1 + len(node.facts))
        places[node.title] = (column * (width + gap), below.get(column, 0), height)
        below[column] = below.get(column, 0) + height + gap
    marks = []
    for begin, end in _EDGES:
        (x, y, height), (to_x, to_y, to_height) = places[begin], places[end]
        middle, target, bend = y + height // 2, to_y + to_height // 2, (to_x - x - width) // 2
        path = f"M{x + width} {middle} C{x + width + bend} {middle} {to_x - bend} {target} {to_x} {target}"
        marks.append(f'<path d="{path}" fill="none" stroke-width="2"/>')
    for node in found.nodes:
        x, y, height = places[node.title]
        marks.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="10"/>')
        for i, text in enumerate((f"{node.title} {node.name}".strip(), *node.facts)):
            muted = ' class="muted"' if i else ' font-weight="bold"'
            marks.append(f'<text x="{x + 12}" y="{y + 24 + i * line}"{muted}>{html.escape(text)}</text>')
    total = (1 + max(_COLUMNS.values())) * (width + gap) - gap
    label = f"Where release {found.release_id} comes from"
    size = f'viewBox="-2 -2 {total + 4} {max(below.values())}" style="min-width:{total}px"'
    return f'<svg {size} role="img" aria-label="{label}">{"".join(marks)}</svg>'
