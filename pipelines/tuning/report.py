"""A search as one HTML page that needs no network: value against trial, best so far against cost, and two tables."""

import html
import itertools
from pathlib import Path

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pipelines.evaluation.leaderboard import MAIN
from pipelines.tuning.tune import Tuned

_COLOURS = ("#1a66c9", "#d4542a", "#2a8f5b", "#7a4fb5")
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:15px system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}}
table{{border-collapse:collapse;margin:1rem 0}}td,th{{padding:.3rem .8rem;border-bottom:1px solid #ddd;text-align:left}}</style>
<h1>{title}</h1>{body}</html>"""


def write(tuned: Tuned, path: Path) -> None:
    """Write the page."""
    figure = _figure(tuned).to_html(full_html=False, include_plotlyjs=True, config={"displaylogo": False})
    reached = f"<h2>Cost to reach {tuned.common_value:.4f}, the best that every method found</h2>" + _costs(tuned)
    settings = "".join(f"<tr><th>{html.escape(n)}<td>{html.escape(str(v))}" for n, v in tuned.best.settings.items())
    body = f"{figure}{reached}<h2>Best settings</h2><table>{settings}</table>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_PAGE.format(title=html.escape(f"Tuning {tuned.model}: validation {MAIN}"), body=body), encoding="utf-8")


def _figure(tuned: Tuned) -> go.Figure:
    figure = make_subplots(cols=2, subplot_titles=("every trial", "best so far"))
    for colour, (method, found) in zip(itertools.cycle(_COLOURS), tuned.found.items(), strict=False):
        values = [trial.value for trial in found.trials]
        spent = list(itertools.accumulate(trial.seconds for trial in found.trials))
        notes = [_note(trial.settings, trial.epochs) for trial in found.trials]
        dots = go.Scatter(y=values, text=notes, mode="markers", name=method, marker_color=colour, legendgroup=method)
        best = list(itertools.accumulate((v for v in values if v is not None), max))
        line = go.Scatter(x=spent, y=best, mode="lines+markers", line_shape="hv", marker_color=colour, legendgroup=method)
        figure.add_trace(dots, row=1, col=1)
        figure.add_trace(line.update(showlegend=False), row=1, col=2)
    figure.update_xaxes(title_text="trial", row=1, col=1)
    figure.update_xaxes(title_text="seconds of all trials until then", row=1, col=2)
    figure.update_yaxes(title_text=f"validation {MAIN}", row=1, col=1)
    return figure.update_layout(template="plotly_white", height=460, margin={"t": 40})


def _note(settings: object, epochs: int | None) -> str:
    return f"{settings}" + (f", {epochs} epochs" if epochs else "")


def _costs(tuned: Tuned) -> str:
    rows = []
    for row in tuned.to_json()["methods"]:
        seconds = (f"{row['seconds']:.1f}", f"{row['seconds_to_common_value']:.1f}")
        rows.append((row["method"], len(row["trials"]), f"{row['best']['value']:.4f}", *seconds))
    head = ("method", "trials", "best", "seconds", "seconds to reach it")
    lines = ["".join(f"<th>{cell}" for cell in head), *("".join(f"<td>{cell}" for cell in cells) for cells in rows)]
    return "<table>" + "".join(f"<tr>{line}" for line in lines) + "</table>"
