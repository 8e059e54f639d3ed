"""`upnext evaluate`: every model against tuned baselines on the same cases."""

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    space: Annotated[
        str | None, typer.Option(help="Dataset whose live release is measured; the last trained by default.")
    ] = None,
    interactions: Annotated[
        Path | None, typer.Option(help="Training file: viewer_id, video_id[, position or timestamp].")
    ] = None,
    held_out: Annotated[Path | None, typer.Option(help="Held-out file; opened after training and selection.")] = None,
    item_vectors: Annotated[Path | None, typer.Option(help=".npy whose row i belongs to video_id i.")] = None,
    preset: Annotated[str, typer.Option(help="Model sizes for bare files: tiny | demo | full")] = "demo",
    override: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, repeatable.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the leaderboard here.")] = None,
) -> None:
    """Full-catalogue leaderboard: of the live release on its time split, or of any pair of files."""
    from cli.console import TerminalListener, console, write_json
    from core import settings
    from core.errors import BadInput
    from pipelines import bare_files, presets, spaces
    from pipelines.compare import again
    from pipelines.progress import Stages

    stages = Stages(TerminalListener())
    if (interactions is None) != (held_out is None):
        raise BadInput("--interactions and --held-out belong together: one to learn from, one to be measured on")
    if interactions is not None and held_out is not None:
        config = presets.configure(preset, override or [])
        leaderboard = bare_files.evaluate(interactions, held_out, item_vectors, config, stages)
    else:
        leaderboard = again(spaces.current(settings.load().var_dir, space), stages)
    console.print(leaderboard.to_table())
    write_json(json, {**leaderboard.to_json(), "stages": stages.to_json()})
