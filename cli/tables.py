"""`upnext tables`: how large are embedding tables, and where do they go (plan); towers trained with divided ones (train)."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import BadInput

if TYPE_CHECKING:
    from embeddings.plan import Devices, Plan, TableSpec

app = typer.Typer(help="Embedding tables: sizes, placement, caches.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def tables() -> None:
    """Embedding tables: sizes, placement, caches."""


@app.command()
def plan(
    rows: Annotated[int | None, typer.Option(help="Rows of a table.", min=1)] = None,
    dim: Annotated[int, typer.Option(help="Numbers in each of its rows.", min=1)] = 256,
    table: Annotated[list[str] | None, typer.Option(help="Further tables, as NAME=ROWSxDIM; repeatable.")] = None,
    dtype: Annotated[str, typer.Option(help="fp32, fp16, bf16 or int8.")] = "fp16",
    optimizer: Annotated[
        str, typer.Option(help="sgd, rowwise_adagrad, adagrad or adam; what it keeps counts.")
    ] = "rowwise_adagrad",
    pooling: Annotated[int, typer.Option(help="Rows per look-up.", min=1)] = 1,
    devices: Annotated[str, typer.Option(help="COUNTxMEMORY: GB is 10⁹ bytes, GiB is 2³⁰.")] = "8x80GB",
    host: Annotated[str, typer.Option(help="Host memory for tables that fit no device.")] = "0GB",
    zipf: Annotated[float, typer.Option(help="Popularity of rank r is r^−this, for the cache.", min=0.0)] = 1.0,
    torchrec: Annotated[bool, typer.Option("--torchrec", help="Ask torchrec's planner as well.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write the plan here.")] = None,
) -> None:
    """Sizes, what fits where, the placement with its arithmetic, and what a cache would catch."""
    from dataclasses import asdict

    from cli.console import write_json
    from embeddings import plan as planner

    sizes = ([("table", rows, dim)] if rows else []) + [_named(text) for text in table or []]
    if not sizes:
        raise BadInput("no table: give --rows and --dim, or --table NAME=ROWSxDIM")
    specs = [planner.TableSpec(*size, dtype=dtype, optimizer=optimizer, pooling=pooling) for size in sizes]
    place = planner.parse_devices(devices, host)
    found = planner.plan(specs, place, zipf)
    curves = {spec.name: planner.cache_curve(spec.rows, zipf) for spec in specs}
    _show(found, place, curves, zipf)
    theirs = _show_torchrec(specs, place, zipf) if torchrec and found.fits else None
    sized = {spec.name: {"weights": spec.size.weights, "state": spec.size.state} for spec in specs}
    ours = {"fits": found.fits, "bytes": sized, "plan": asdict(found), "cache": curves, "zipf": zipf}
    write_json(json, ours | {"torchrec": theirs} if torchrec else ours)
    if not found.fits:
        raise typer.Exit(1)


@app.command()
def train(
    how: Annotated[str, typer.Option(help="row_wise | table_wise, under torchrun; or whole.")] = "row_wise",
    space: Annotated[str | None, typer.Option(help="Dataset to learn from; the last trained one by default.")] = None,
    preset: Annotated[str, typer.Option(help="tiny | demo | full.")] = "tiny",
    set_: Annotated[list[str] | None, typer.Option("--set", help="section.key=value; repeatable.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the towers into this folder, as a release has them.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write losses and sizes here as JSON.")] = None,
) -> None:
    """Train the two towers with the tables of videos divided among processes: the numbers of `--how whole`, to rounding.

    torchrun --nproc-per-node 2 --no-python upnext tables train --how row_wise
    """
    from cli.console import TerminalListener, console, write_json
    from cli.release import open_space
    from embeddings.sharded import joined
    from pipelines import presets, tables
    from pipelines.progress import Silent, Stages

    if how not in ("whole", "table_wise", "row_wise"):
        raise BadInput(f"'{how}' is none of row_wise, table_wise, whole")
    config = presets.configure(preset, set_ or [])
    with joined() as (rank, world):
        first = rank == 0
        stages = Stages(TerminalListener() if first else Silent())
        trained = tables.train(open_space(space), config, how, world, out if first else None, stages)
    if first:
        held, size = trained.id_bytes_here / 2**20, trained.id_bytes / 2**20
        console.print(f"[green]✓[/] {how} in {world}: {held:.2f} of {size:.2f} MiB of video ids here; loss by epoch", end=" ")
        console.print(", ".join(f"{loss:.6f}" for loss in trained.losses))
        write_json(json, trained.to_json())


def _named(text: str) -> tuple[str, int, int]:
    found = re.fullmatch(r"([^=]+)=(\d+)x(\d+)", text)
    if not found:
        raise BadInput(f"'{text}' is no table; write NAME=ROWSxDIM, for example video=100000000x256")
    return found[1], int(found[2]), int(found[3])


def _show(found: "Plan", devices: "Devices", curves: dict[str, list[dict[str, Any]]], zipf: float) -> None:
    from rich.table import Table

    from cli.console import console

    for placement in found.placements:
        _show_size(placement.table)
        table = Table("", "placement", "bytes per look-up", "busiest device", "arithmetic", box=None)
        for choice in placement.choices:
            mark = "[green]✓[/]" if choice is placement.chosen else "" if choice.fits else "[red]✗[/]"
            cost = (f"{choice.moved:,.0f}", f"{choice.busiest:,.0f}") if choice.moved else ("", "")
            caught = "" if choice.hit_rate is None else f", catching {choice.hit_rate:.1%}"
            table.add_row(mark, choice.kind.replace("_", "-"), *cost, choice.why + caught)
        console.print(table)
        if placement.chosen is None:
            console.print("  [red]fits nowhere[/]: more or larger devices, --host, a smaller --dtype, or hashed rows")
        for point in curves[placement.table.name]:
            caught = f"{point['best']:.3%} at best, {point['lru']:.3%} as LRU"
            console.print(f"  a cache of {point['rows']:,} rows catches {caught} (Zipf {zipf:g})")
    used = ", ".join(f"{size / 1e9:.1f}" for size in found.used)
    console.print(f"  GB by device: {used} of {devices.usable / 1e9:.1f} usable; host {found.host_used / 1e9:.1f} GB")


def _show_torchrec(specs: list["TableSpec"], devices: "Devices", zipf: float) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from cli.console import console
    from embeddings.placement import place

    placed = place(specs, devices, zipf)
    for one in placed:
        where = f"{one.name}: {one.sharding.replace('_', '-')}, {one.kernel}, on {', '.join(map(str, one.ranks))}"
        cached = f"; a cache of {one.cached_share:.0%} of the rows catches {one.hit_rate:.1%}" if one.cached_share else ""
        console.print(f"  torchrec's planner puts {where}{cached}")
    return [asdict(one) for one in placed]


def _show_size(spec: "TableSpec") -> None:
    from cli.console import console
    from embeddings.plan import gigabytes

    size = spec.size
    console.print(
        f"[bold]{spec.name}[/]  {spec.rows:,} × {spec.dim} × {spec.dtype} = {gigabytes(size.weights)} = "
        f"{size.weights / 2**30:.2f} GiB; {spec.optimizer} keeps {gigabytes(size.state)}"
    )
