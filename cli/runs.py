"""`upnext runs …`: what was trained, evaluated and tuned here, and how two runs differ."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Recorded runs: list, show, compare.", no_args_is_help=True, rich_markup_mode=None)

JsonOption = Annotated[Path | None, typer.Option(help="Write the result here as JSON.")]


@app.command(name="list")
def list_(json: JsonOption = None) -> None:
    """All runs, newest first."""
    from dataclasses import asdict

    from rich.box import SIMPLE
    from rich.table import Table

    from cli.console import console, write_json
    from core import settings
    from pipelines import tracking

    found = tracking.runs(settings.load().var_dir)
    table = Table("run", "began (UTC)", "kind", "what", "commit", "best model", "ndcg@10", box=SIMPLE)
    for run in found:
        began = datetime.fromtimestamp(run.began_at / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        best = max(((v, k) for k, v in run.metrics.items() if k.endswith("ndcg_10")), default=None)
        shown = ("", "") if best is None else (best[1].removesuffix("ndcg_10").rstrip("._"), f"{best[0]:.4f}")
        table.add_row(run.run_id[:8], began, run.tags["kind"], run.tags.get("data", ""), run.tags["git_commit"], *shown)
    console.print(table if found else "  nothing is recorded yet; `upnext train` records its runs")
    write_json(json, {"runs": [asdict(run) for run in found]})


@app.command()
def show(run_id: str, json: JsonOption = None) -> None:
    """Everything about one run; the first characters of its id are enough."""
    from dataclasses import asdict

    from rich import print_json

    from cli.console import write_json
    from core import settings
    from pipelines import tracking

    found = asdict(tracking.find(settings.load().var_dir, run_id))
    print_json(data=found)
    write_json(json, found)


@app.command()
def compare(run_ids: list[str], json: JsonOption = None) -> None:
    """What differs between runs: parameters, and metrics with their difference from the first."""
    from rich.box import SIMPLE
    from rich.table import Table

    from cli.console import console, write_json
    from core import settings
    from pipelines import tracking

    found = [tracking.find(settings.load().var_dir, run_id) for run_id in run_ids]
    changed = tracking.differences(found)
    names = sorted({name for run in found for name in run.metrics if not name.startswith("seconds.")})
    metrics = {name: [run.metrics.get(name) for run in found] for name in names}
    table = Table("", *(run.run_id[:8] for run in found), box=SIMPLE)
    for name, values in changed.items():
        table.add_row(name, *("" if value is None else value for value in values))
    table.add_section()
    for name, (first, *others) in metrics.items():
        table.add_row(name, _number(first), *(_number(value, first) for value in others))
    console.print(table)
    write_json(json, {"runs": [run.run_id for run in found], "differences": changed, "metrics": metrics})


def _number(value: float | None, first: float | None = None) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if first is None else f"{value:.4f} ({value - first:+.4f})"
