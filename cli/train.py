"""`upnext train`: from a log of viewers to a published release."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    source: Annotated[str, typer.Option(help="world | movielens | recbole | kuairand | csv")] = "world",
    path: Annotated[Path | None, typer.Option(help="Folder or file of the log (not for world).")] = None,
    mapping: Annotated[Path | None, typer.Option(help="TOML that names the columns (csv only).")] = None,
    preset: Annotated[str, typer.Option(help="tiny | demo | full")] = "demo",
    override: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, repeatable.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write leaderboard, release id and stages here.")] = None,
) -> None:
    """Load a log, train both stages, evaluate against baselines, publish a release."""
    from cli.console import TerminalListener, console, write_json
    from core import settings
    from pipelines import presets
    from pipelines.progress import Stages

    # Before torch is loaded: a misspelt option should not take seconds to say so.
    config = presets.configure(preset, override or [])
    from pipelines.run import run

    result = run(source, path, mapping, config, settings.load().var_dir, Stages(TerminalListener()))
    console.print(result.leaderboard.to_table())
    console.print(f"  release [bold]{result.release_id}[/] is live; `upnext serve` shows it")
    write_json(json, result.to_json())
