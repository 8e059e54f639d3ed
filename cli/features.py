"""`upnext features …`: what is declared, how fresh it is, and whether serving and training read the same."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="The declared features, their freshness, and an audit against skew.", no_args_is_help=True, rich_markup_mode=None
)
_Json = Annotated[Path | None, typer.Option("--json", help="Write the result here as JSON.")]


@app.command("list")
def list_(
    entity: Annotated[str | None, typer.Option(help="Only those of viewer, video, cross or context.")] = None,
    json: _Json = None,
) -> None:
    """Every feature: of whom, which kind, over which time, how fresh."""
    from rich.table import Table
    from rich.text import Text

    from cli.console import console, write_json
    from core.errors import BadInput
    from features import listing

    found = listing.entries()
    known = sorted({one.entity for one in found})
    if entity is not None and entity not in known:
        raise BadInput(f"no feature is of '{entity}'; entities are {', '.join(known)}")
    found = [one for one in found if entity in (None, one.entity)]
    table = Table("feature", "kind", "window", "fed by, within", "", box=None)
    for one in found:
        fed, shelved = f"{one.fed_by}, {one.freshness_s:,} s", "" if one.is_read else "shelved"
        table.add_row(Text(one.name, no_wrap=True), one.kind, one.window, fed, shelved)
    console.print(table)
    write_json(json, [one.to_json() for one in found])


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Of a feature, as `upnext features list` has it.")], json: _Json = None
) -> None:
    """One feature: what it means, its formula, what it is made from."""
    from cli.console import console, write_json
    from features import listing

    found = listing.entry(name)
    console.print(f"[bold]{found.name}[/]: {found.description}")
    for title, value in (
        ("kind", found.kind),
        ("formula", found.formula),
        ("settings", ", ".join(f"{key} = {value}" for key, value in found.settings.items())),
        ("entity", found.entity),
        ("window", found.window),
        ("kept for it", "; ".join(found.sums)),
        ("fed by", f"{found.fed_by}, at most {found.freshness_s:,} s old"),
        ("where unknown", str(found.default)),
        ("owner", found.owner),
        ("models", "" if found.is_read else "none reads it: it is shelved"),
    ):
        if value:
            console.print(f"  {title:<14}{value}", markup=False)
    write_json(json, found.to_json())


@app.command()
def fresh(
    url: Annotated[str, typer.Option(help="Of the running service.")] = "http://127.0.0.1:8000",
    act: Annotated[bool, typer.Option("--act", help="Where one is late, write an alarm to the space's alerts.jsonl.")] = False,
    space: Annotated[str | None, typer.Option(help="With --act: the dataset; the last trained one by default.")] = None,
    json: _Json = None,
) -> None:
    """How old is what the running service reads? Fails (exit 1) when a group is older than its budget."""
    from rich.table import Table

    from cli.console import console, write_json
    from core import settings
    from pipelines import spaces
    from pipelines.watching import freshness, monitor

    found = freshness.ask(url)
    table = Table("group", "features", "age", "budget", "")
    for one in found.groups:
        age = "unknown" if one["age_s"] is None else f"{one['age_s']:,.1f} s"
        table.add_row(one["group"], str(len(one["features"])), age, f"{one['budget_s']:,.0f} s", "late" if one["late"] else "✓")
    console.print(table)
    if act and found.alert is not None:
        for line in monitor.tell_space(spaces.current(settings.load().var_dir, space), found.alert):
            console.print(f"  {line}")
    write_json(json, found.groups)
    if found.alert is not None:
        raise typer.Exit(1)


@app.command()
def skew(
    space: Annotated[
        str | None, typer.Option(help="Dataset whose live release is audited; the last trained one by default.")
    ] = None,
    pages: Annotated[int, typer.Option(min=50, help="Pages that are asked again; about 380 values each.")] = 300,
    seed: Annotated[int, typer.Option(help="Of the sample, and of made-up visits.")] = 0,
    json: _Json = None,
) -> None:
    """Compares what the service computes with the log, value by value. Fails (exit 1), with an alarm, when they differ."""
    from rich.markup import escape

    from cli.console import TerminalListener, console, write_json
    from core import settings
    from core.clock import SystemClock
    from pipelines import spaces
    from pipelines.progress import Stages
    from pipelines.watching import skew as skews

    environment, stages = settings.load(), Stages(TerminalListener())
    where = spaces.current(environment.var_dir, space)
    found = skews.audit_space(where, environment, stages, seed=seed, pages=pages)
    said = found.to_json()
    console.print(
        f"\n  {said['checked']:,} served values of {said['pages']} pages ({said['traffic']}), {said['mismatches']:,} differ; "
        f"{said['joins']:,} point-in-time joins, {said['future_rows']:,} know their future"
    )
    for one in said["differences"]:
        who = f"viewer {one['viewer_id']}" + ("" if one["video_id"] is None else f", video {one['video_id']}")
        console.print(
            f"  [red]✗[/] {one['feature']}: {one['count']:,} times; {who}: {one['served']} served, {one['offline']} in the log"
        )
    if found.alert is not None:
        console.print(f"  [red]✗[/] {escape(found.alert.headline)}")
    for line in skews.tell(where, found, SystemClock().now()):
        console.print(f"  {line}")
    write_json(json, {**said, "stages": stages.to_json()})
    if found.alert is not None:
        raise typer.Exit(1)
