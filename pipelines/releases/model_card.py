"""A model card and a data sheet for one release, from what was measured: Markdown, and the same as one HTML page.

    var/<space>/cards/<release>/card.md, card.html

Everything comes from the manifest, the snapshot and the newest result of the gates; the words are in `model_card.md` (sections
after Mitchell et al., "Model cards for model reporting", FAT* 2019, and Gebru et al., "Datasheets for datasets", CACM 2021).
What was not measured is said to be so. The release itself never changes, so its card lies beside it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt

from core import columns as c
from core import events as ev
from core import release
from core.clock import stamp
from core.release import Manifest
from data import versioning
from data.dataset import Dataset
from pipelines.gates import result as gates_result
from pipelines.gates.result import GatesResult
from pipelines.spaces import Space
from serving.releases import LINEAGE

_STYLE = """
:root{--bg:#fafafa;--ink:#15171c;--line:#e5e6ea;color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{--bg:#0e0f12;--ink:#f1f2f4;--line:#2a2d35}}
body{margin:0 auto;max-width:60rem;padding:1.5rem 1rem 4rem;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui}
h1{font-size:24px;margin-top:2.5rem}h2{font-size:18px;margin-top:2rem}code{font:13px ui-monospace,monospace}
table{border-collapse:collapse;font-size:13.5px;display:block;overflow-x:auto}
td,th{padding:.35rem .8rem .35rem 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
"""


@dataclass(frozen=True)
class Card:
    """The two files."""

    markdown: Path
    html: Path


def write(space: Space, release_id: str) -> Card:
    """Write both.

    Raises:
        ReleaseRefused: there is no such release.
        BadInput: its snapshot is gone.
    """
    found = release.load(space.releases, release_id)
    dataset = versioning.open_snapshot(space.snapshots, found.manifest.snapshot)
    lineage = json.loads((found.path / LINEAGE).read_text())
    text = render(found.manifest, dataset, lineage, gates_result.newest(space, release_id))
    folder = space.path / "cards" / release_id
    folder.mkdir(parents=True, exist_ok=True)
    card = Card(folder / "card.md", folder / "card.html")
    card.markdown.write_text(text, encoding="utf-8")
    card.html.write_text(_page(text, f"Release {release_id}"), encoding="utf-8")
    return card


def render(manifest: Manifest, dataset: Dataset, lineage: Mapping[str, Any], gates: GatesResult | None) -> str:
    """The Markdown. `lineage` is the release's lineage.json."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
    report = gates.evidence["leaderboard"] if gates else manifest.metrics
    return environment.get_template("model_card.md").render(
        manifest=manifest,
        trained=stamp(manifest.created_at),
        lineage=lineage,
        split={name: stamp(at) for name, at in lineage.get("split", {}).items()},
        sheet=_sheet(dataset),
        report=report,
        models=_models(report.get("leaderboard", [])),
        chance=manifest.metrics.get("pages_of_chance"),
        gates=gates,
        asked=stamp(gates.created_at) if gates else "",
        times=_times(gates),
        worst=_worst(gates),
    )


def _sheet(dataset: Dataset) -> dict[str, Any]:
    """What the data are."""
    received = dataset.events[c.RECEIVED_AT]
    kinds = dataset.events[c.KIND].value_counts(sort=True)
    shown = dataset.events.filter(pl.col(c.KIND) == ev.IMPRESSION)[c.PROPENSITY]
    known = {
        name: int((dataset.viewers[name] != c.UNKNOWN).sum()) / max(len(dataset.viewers), 1) for name in c.VIEWER_ATTRIBUTES
    }
    return {
        "name": dataset.name,
        "sizes": {"events": len(dataset.events), "viewers": len(dataset.viewers), "videos": len(dataset.videos)},
        "kinds": {row[c.KIND]: row["count"] for row in kinds.iter_rows(named=True)},
        "first": stamp(int(received.min() or 0)),  # type: ignore[arg-type]
        "last": stamp(int(received.max() or 0)),  # type: ignore[arg-type]
        "known": known,
        "groups": {name: _shares(dataset.viewers[name]) for name in (c.GENDER, c.AGE_BAND, c.COUNTRY) if known[name]},
        "propensities": 1 - shown.null_count() / len(shown) if len(shown) else 0.0,
    }


def _shares(column: pl.Series) -> dict[str, float]:
    counts = column.value_counts(sort=True)
    return {str(row[column.name]): row["count"] / len(column) for row in counts.iter_rows(named=True)}


def _models(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the leaderboard with the half width of the interval of nDCG@10."""
    found = []
    for row in rows:
        bounds = (row.get("interval") or {}).get("ndcg@10")
        found.append({**row, "half": None if bounds is None else (bounds[1] - bounds[0]) / 2})
    return found


def _times(gates: GatesResult | None) -> dict[str, float]:
    if gates is None:
        return {}
    p50, p99 = np.percentile(gates.evidence["page_ms"], [50, 99])
    sizes = {"mib": "num_bytes", "memory": "resident_bytes"}
    found = {name: (gates.evidence.get(measured) or 0) / (1 << 20) for name, measured in sizes.items()}
    return {"p50": float(p50), "p99": float(p99), **found}


def _worst(gates: GatesResult | None, most: int = 5) -> list[Mapping[str, Any]]:
    """The slices with the lowest nDCG@10: where it fails most."""
    slices = gates.evidence["slices"] if gates else None
    return sorted(slices["slices"], key=lambda row: row["model"]["mean"])[:most] if slices else []


def _page(markdown: str, title: str) -> str:
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return f'<!doctype html><html lang="en">{head}<title>{title}</title><style>{_STYLE}</style>{body}</html>'
