"""`upnext evaluate`: every model against tuned baselines on the same cases; `evaluate ranking`: every head on a rated log."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipelines.evaluation.leaderboard import Leaderboard
    from pipelines.evaluation.seeds import Repeated
    from pipelines.presets import RunConfig
    from pipelines.progress import Stages
    from pipelines.spaces import Space

app = typer.Typer(rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def evaluate(
    context: typer.Context,
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
    seeds: Annotated[int, typer.Option(min=1, help="Train on the two files this often, with seeds 1 to N.")] = 1,
    slices: Annotated[
        bool, typer.Option(help="Also the best model against the best baseline, group by group, and rare videos apart.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write the leaderboard here.")] = None,
) -> None:
    """Full-catalogue leaderboard: of the live release on its time split, or of any pair of files."""
    if context.invoked_subcommand is not None:
        return
    from cli.console import TerminalListener, console, write_json
    from core import settings
    from core.errors import BadInput
    from pipelines import presets, spaces, tracking
    from pipelines.progress import Stages

    stages, var_dir = Stages(TerminalListener()), settings.load().var_dir
    if (interactions is None) != (held_out is None):
        raise BadInput("--interactions and --held-out belong together: one to learn from, one to be measured on")
    if seeds > 1 and interactions is None:
        raise BadInput("--seeds needs --interactions and --held-out; `python -m benchmarks.seeds` repeats a whole training run")
    if interactions is not None and held_out is not None:
        found = _of_files(interactions, held_out, item_vectors, presets.configure(preset, override or []), seeds, stages)
    else:
        found = _of_release(spaces.current(var_dir, space), stages)
    with stages("track") as stage:
        stage.note = tracking.record(
            var_dir, "evaluate", found.config, tracking.measured(found.leaderboard), stages, **found.names
        )
    for table in (found.leaderboard, found.repeated, found.leaderboard.slices() if slices else None):
        if table is not None:
            console.print(table.to_table())
    if slices or item_vectors is not None:
        console.print(found.leaderboard.sightings_table())
    more = {} if found.repeated is None else {"seeds": found.repeated.to_json()}
    write_json(json, {**found.leaderboard.to_json(), **more, "stages": stages.to_json()})


@dataclass(frozen=True)
class _Found:
    """What was measured, and what it is recorded under."""

    leaderboard: "Leaderboard"
    config: "RunConfig"
    names: dict[str, str | None]
    repeated: "Repeated | None" = None
    """Over seeds."""


def _of_files(train: Path, held_out: Path, vectors: Path | None, config: "RunConfig", seeds: int, stages: "Stages") -> _Found:
    from pipelines import tracking
    from pipelines.evaluation import bare_files
    from pipelines.evaluation import seeds as repetition

    names: dict[str, str | None] = {"data": train.name, "snapshot": tracking.digest(train)}
    if seeds == 1:
        return _Found(bare_files.evaluate(train, held_out, vectors, config, stages), config, names)
    board, repeated = repetition.evaluate_files(train, held_out, vectors, config, range(1, seeds + 1), stages)
    return _Found(board, config, names, repeated)


def _of_release(space: "Space", stages: "Stages") -> _Found:
    from pipelines.evaluation.compare import again

    measured = again(space, stages)
    names: dict[str, str | None] = {"data": space.name, "snapshot": measured.snapshot, "release": measured.release}
    return _Found(measured.leaderboard, measured.config, names)


@app.command(name="ranking")
def ranking(
    train: Annotated[Path, typer.Option(help="Training log, .tsv, .csv or .parquet; users.csv beside it is used if present.")],
    held_out: Annotated[Path, typer.Option(help="Held-out log; opened after training and selection.")],
    override: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, repeatable.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Heads of the ranker on a rated log (long view, like against hate, click, watch time), and of tuned LightGBM beside it."""
    from cli.console import TerminalListener, console, write_json
    from core import settings
    from pipelines import tracking
    from pipelines.progress import Stages
    from pipelines.rated import files as rank_files

    stages, config = Stages(TerminalListener()), rank_files.configure(override or [])
    report = rank_files.evaluate(train, held_out, config, stages)
    with stages("track") as stage:
        names = {"data": train.name, "snapshot": tracking.digest(train)}
        stage.note = tracking.record(settings.load().var_dir, "ranking", config, report.metrics(), stages, **names)
    console.print(report.to_table())
    console.print(report.differences_table())
    write_json(json, report.to_json() | {"seconds": sum(seconds for _, seconds in stages.seconds), "stages": stages.to_json()})
