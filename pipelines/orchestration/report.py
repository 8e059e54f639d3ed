"""Pictures of a pipeline run, as self-contained pages: every seed's metrics, and where a release comes from."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core import inference

Spread = Mapping[str, Any]
"""`per_seed`, `mean`, `low`, `high`; bounds are None where nothing says how sure the mean is."""

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>:root{{--bg:#fafafa;--card:#fff;--ink:#15171c;--muted:#5d6470;--line:#d9dbe1;--mark:#1a66c9;color-scheme:light dark}}
@media(prefers-color-scheme:dark){{:root{{
--bg:#0e0f12;--card:#16181d;--ink:#f1f2f4;--muted:#a3a9b5;--line:#2f333c;--mark:#86adff}}}}
body{{font:15px/1.45 system-ui,sans-serif;margin:0 auto;max-width:76rem;padding:1.5rem 1rem;background:var(--bg)}}
body{{color:var(--ink)}}h1{{font-size:24px}}p{{color:var(--muted)}}
.grid{{display:grid;grid-template-columns:repeat(auto-fill,minmax(24rem,1fr));gap:1rem}}
figure{{margin:0;padding:.8rem 1rem;border:1px solid var(--line);border-radius:14px;background:var(--card);overflow-x:auto}}
svg text{{fill:var(--ink);font:12px system-ui,sans-serif}}svg .muted{{fill:var(--muted)}}svg line,svg path{{stroke:var(--line)}}
svg rect{{fill:var(--card);stroke:var(--line)}}svg .mark{{fill:var(--mark)}}svg line.mark{{stroke:var(--mark);stroke-width:2}}
svg .seed{{fill:none;stroke:var(--muted)}}</style><h1>{title}</h1><p>{lead}</p>{body}</html>"""


def page(title: str, lead: str, body: str) -> str:
    """A page that fetches nothing."""
    return _PAGE.format(title=html.escape(title), lead=html.escape(lead), body=body)


def over_seeds(boards: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Spread]]:
    """Model → metric → spread: a 95 % t interval over seeds, or that of the only seed over viewers.

    A metric of cases that a seed's test does not have, such as of videos never seen, is left out.
    """
    tables = [{row["model"]: row for row in board["leaderboard"]} for board in boards]
    rows = {model: [table[model] for table in tables] for model in tables[0]}
    return {
        model: {
            metric: _spread(found, metric) for metric in found[0]["interval"] if all(row[metric] is not None for row in found)
        }
        for model, found in rows.items()
    }


def _spread(rows: Sequence[Mapping[str, Any]], metric: str) -> Spread:
    values = [row[metric] for row in rows]
    if len(values) > 1:
        found = inference.t_interval(values)
        return {"per_seed": values, "mean": found.mean, "low": found.low, "high": found.high}
    low, high = rows[0]["interval"][metric] or (None, None)
    return {"per_seed": values, "mean": values[0], "low": low, "high": high}


def write(found: Mapping[str, Mapping[str, Spread]], seeds: Sequence[int], path: Path) -> None:
    """The page of `over_seeds`: one plot per metric."""
    over = "seeds" if len(seeds) > 1 else "viewers"
    shown = f"Dots are means, bars 95 % intervals over {over}, rings single seeds; baselines have none."
    lead = f"Seeds {', '.join(map(str, seeds))}. {shown}"
    metrics = next(iter(found.values()))
    figures = [f"<figure><b>{m}</b>{_plot({model: row[m] for model, row in found.items()})}</figure>" for m in metrics]
    path.write_text(page("Pipeline run", lead, f'<div class="grid">{"".join(figures)}</div>'), encoding="utf-8")


def _plot(rows: Mapping[str, Spread]) -> str:
    """Models under each other, from zero to the largest value."""
    known = [value for row in rows.values() for value in (*row["per_seed"], row["high"] or 0.0)]
    left, width, step = 130, 240, 24
    scale = width / (max(known, default=0.0) or 1.0)
    marks = []
    for i, (model, row) in enumerate(rows.items()):
        y = 14 + i * step
        marks.append(f'<text x="0" y="{y + 4}">{html.escape(model)}</text>')
        marks.append(f'<line x1="{left}" x2="{left + width}" y1="{y}" y2="{y}"/>')
        if row["low"] is not None:
            low, high = (left + scale * max(row[bound], 0.0) for bound in ("low", "high"))
            marks.append(f'<line class="mark" x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"/>')
        marks += [f'<circle class="seed" cx="{left + scale * value:.1f}" cy="{y}" r="5"/>' for value in row["per_seed"]]
        marks.append(f'<circle class="mark" cx="{left + scale * row["mean"]:.1f}" cy="{y}" r="3"/>')
        marks.append(f'<text class="muted" x="{left + width + 10}" y="{y + 4}">{row["mean"]:.4f}</text>')
    return f'<svg viewBox="0 0 {left + width + 60} {step * len(rows) + 8}" role="img">{"".join(marks)}</svg>'
