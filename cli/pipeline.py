"""`upnext pipeline …`: the training run as steps that survive a kill, and where a release comes from."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from pipelines.orchestration.journal import RunStatus

app = typer.Typer(help="Training in steps: run, resume, status, lineage.", no_args_is_help=True, rich_markup_mode=None)

JsonOption = Annotated[Path | None, typer.Option(help="Write the result here as JSON.")]
SpaceOption = Annotated[str | None, typer.Option(help="Dataset whose runs are meant; the last trained one by default.")]


@app.command()
def run(
    source: Annotated[str, typer.Option(help="world | movielens | recbole | kuairand | csv")] = "world",
    path: Annotated[Path | None, typer.Option(help="Folder or file of the log (not for world).")] = None,
    mapping: Annotated[Path | None, typer.Option(help="TOML that names the columns (csv only).")] = None,
    preset: Annotated[str, typer.Option(help="tiny | demo | full")] = "demo",
    override: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, repeatable.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Train with so many seeds; the first is registered.")] = 1,
    shards: Annotated[int, typer.Option(min=1, help="Make training rows in so many tasks, of some days each.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Tasks that work at a time: rows of several shards, and seeds.")] = 1,
    gates: Annotated[bool, typer.Option(help="Whether the release must pass its gates before it serves.")] = True,
    json: JsonOption = None,
) -> None:
    """From a log to a live release, step by step; what was made before from the same inputs is not made again."""
    from core import settings
    from core.clock import SystemClock
    from pipelines import presets
    from pipelines.orchestration import launch
    from pipelines.orchestration.job import Request

    config = presets.configure(preset, override or [])
    from pipelines import ingest

    log, columns = (None if given is None else str(given.resolve()) for given in (path, mapping))
    space = ingest.open_space(source, path, config, settings.load().var_dir.resolve())
    numbers = tuple(range(config.seed, config.seed + seeds))
    request = Request(source, config, numbers, gates, log, columns, shards, workers)
    _work(launch.begin(space, request, SystemClock()), json)


@app.command()
def resume(
    name: Annotated[str | None, typer.Argument(help="A run; by default the latest that has not finished.")] = None,
    space: SpaceOption = None,
    json: JsonOption = None,
) -> None:
    """Go on with a run that failed or was killed, from the step where it stopped."""
    from core import settings
    from pipelines import spaces
    from pipelines.orchestration import launch

    _work(launch.find(spaces.current(settings.load().var_dir.resolve(), space), name), json)


@app.command()
def status(space: SpaceOption = None, json: JsonOption = None) -> None:
    """All runs with their steps: times, what was made before, what came out."""
    from rich.box import SIMPLE
    from rich.table import Table

    from cli.console import console, write_json
    from core import settings
    from pipelines import spaces
    from pipelines.orchestration import launch

    found = launch.runs(spaces.current(settings.load().var_dir, space))
    table = Table(box=SIMPLE)
    for name in ("run", "tries", "state", "steps", "reused", "s", "release"):
        table.add_column(name, no_wrap=True)
    for each in found:
        done = [step for step in each.steps.values() if step.state == "finished"]
        seconds = sum(step.seconds or 0.0 for step in done)
        at = next((f" at {step.name}" for step in each.steps.values() if step.state != "finished"), "")
        counts = (str(len(done)), str(sum(step.reused for step in done)), f"{seconds:.0f}")
        table.add_row(each.name, str(each.attempts), each.state + at, *counts, each.release_id or "")
    console.print(table if found else "  no pipeline runs yet; `upnext pipeline run` begins one")
    write_json(json, {"runs": [_plain(each) for each in found]})


@app.command()
def lineage(
    release_id: Annotated[str, typer.Argument(help="An id, or a pointer such as `live`.")] = "live",
    space: SpaceOption = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with the picture here.")] = None,
    json: JsonOption = None,
) -> None:
    """Where a release comes from: data, snapshot, features, models."""
    from cli.console import console, write_json
    from core import settings
    from pipelines import spaces
    from pipelines.orchestration import lineage

    where = spaces.current(settings.load().var_dir, space)
    found = lineage.of(where, release_id)
    lineage.keep(where, found)
    for node in found.nodes:
        console.print(f"  [bold]{node.title:<12}[/] {node.name:<22} [dim]{'; '.join(node.facts)}[/]")
    if report is not None:
        lineage.write(found, report)
        console.print(f"  [dim]wrote {report}[/]")
    write_json(json, found.to_json())


def _work(folder: Path, json: Path | None) -> None:
    from cli.console import TerminalListener, console, write_json
    from core.clock import SystemClock
    from pipelines.orchestration import launch
    from pipelines.spaces import Space

    space = Space(folder.parents[1])
    console.print(f"  pipeline run [bold]{folder.name}[/] in {space.name}")
    done = launch.work(folder, TerminalListener(), SystemClock())
    spread = launch.spread(space, done)
    console.print(_table(spread))
    console.print(f"  release [bold]{done.release_id}[/] is live; `upnext serve` shows it")
    write_json(json, {**_plain(done), "space": space.name, "metrics": spread})


def _table(spread: dict[str, Any]) -> "Table":
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(box=SIMPLE, caption="± is half of the 95 % interval of ndcg@10, over seeds where there are several")
    for name in ("model", *next(iter(spread.values())), "±"):
        table.add_column(name, justify="left" if name == "model" else "right", no_wrap=True)
    for model, row in spread.items():
        main = row["ndcg@10"]
        half = "" if main["high"] is None else f"{(main['high'] - main['low']) / 2:.4f}"
        table.add_row(model, *(f"{each['mean']:.4f}" for each in row.values()), half)
    return table


def _plain(found: "RunStatus") -> dict[str, Any]:
    from dataclasses import asdict

    facts = asdict(found)
    return {**facts, "steps": list(facts["steps"].values()), "release_id": found.release_id}
