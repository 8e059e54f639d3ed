"""`upnext train`: from a log of viewers to a published release, which serves if it may."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    source: Annotated[str, typer.Option(help="world | movielens | recbole | kuairand | csv")] = "world",
    path: Annotated[Path | None, typer.Option(help="Folder or file of the log (not for world).")] = None,
    mapping: Annotated[Path | None, typer.Option(help="TOML that names the columns (csv only).")] = None,
    preset: Annotated[str, typer.Option(help="tiny | demo | full")] = "demo",
    override: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, repeatable.")] = None,
    stage: Annotated[bool, typer.Option("--stage", help="Only make it the candidate; what is live goes on serving.")] = False,
    no_gates: Annotated[
        bool, typer.Option("--no-gates", help="Let it replace what is live without asking whether it is any good.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write leaderboard, release id and stages here.")] = None,
) -> None:
    """Load a log, train both stages, evaluate against baselines, publish a release.

    The first release of a dataset serves at once. A later one is asked its gates first, against what is live (minutes); if one
    fails, what is live goes on serving, the new release is the candidate, and the command fails and says why.
    """
    from cli.console import TerminalListener, console, write_json
    from core import settings
    from core.errors import BadInput, ReleaseRefused
    from pipelines import presets
    from pipelines.progress import Stages

    # Before torch is loaded: a misspelt option should not take seconds to say so.
    config = presets.configure(preset, override or [])
    if stage and no_gates:
        raise BadInput("--stage keeps the release from serving and --no-gates lets it serve; pass one of them")
    from pipelines.run import Door, run

    door = Door.STAGE if stage else Door.OPEN if no_gates else Door.GATES
    result = run(source, path, mapping, config, settings.load().var_dir, Stages(TerminalListener()), door)
    console.print(result.leaderboard.to_table())
    write_json(json, result.to_json())
    if door is Door.GATES and result.held:
        raise ReleaseRefused(result.held)
    console.print(f"  {result.held or f'release [bold]{result.release_id}[/] is live; `upnext serve` shows it'}")
