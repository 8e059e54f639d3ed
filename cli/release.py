"""`upnext release …`: list, show, verify, gates, promote, roll back, gc, card, sync; and `canary …`, see `cli.canary`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import canary

if TYPE_CHECKING:
    from pipelines.gates.result import GatesResult
    from pipelines.releases.history import Signed
    from pipelines.spaces import Space

app = typer.Typer(help="Releases: what serves, what served, what may.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(canary.app, name="canary")

SpaceOption = Annotated[str | None, typer.Option(help="Dataset whose releases are meant; the last trained one by default.")]
JsonOption = Annotated[Path | None, typer.Option(help="Write the result here as JSON.")]
WhyOption = Annotated[str, typer.Option(help="For the history.")]
ByOption = Annotated[str | None, typer.Option("--by", help="Who does this, for the history; the account by default.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Another bound: key=value, repeatable.")]


@app.command(name="list")
def list_(space: SpaceOption = None, json: JsonOption = None) -> None:
    """All releases, newest last: version, stage, pointers, what they measured; then the last moves."""
    from rich.table import Table

    from cli.console import console, write_json
    from core.clock import stamp
    from pipelines.releases import history, registry

    where = open_space(space)
    table = Table("", "release", "stage", "pointers", "trained (UTC)", "nDCG@10", "gates", box=None)
    table.columns[1].no_wrap = True
    found, moves = registry.versions(where), history.read(where)
    for each in found:
        told = (each.tags.get(name, "") for name in ("trained_at", "ndcg_10", "gates"))
        table.add_row(str(each.version), each.release_id, each.stage, ", ".join(each.pointers), *told)
    console.print(table)
    for made in moves[-5:]:
        console.print(f"  [dim]{stamp(made.at)}  {made.pointer}: {made.before} → {made.after}, {made.who}: {made.why}[/]")
    write_json(json, {"releases": [each.to_json() for each in found], "moves": [made.to_json() for made in moves]})


@app.command()
def show(release_id: str, space: SpaceOption = None, json: JsonOption = None) -> None:
    """The manifest of one release (an id, or a pointer such as `live`)."""
    from dataclasses import asdict

    from rich import print_json

    from cli.console import write_json
    from core import release

    where = open_space(space)
    manifest = asdict(release.load(where.releases, resolve(where, release_id)).manifest)
    print_json(data=manifest)
    write_json(json, manifest)


@app.command()
def verify(release_id: str, space: SpaceOption = None, json: JsonOption = None) -> None:
    """Read every byte and compare with the manifest, then load it as the service would."""
    from cli.console import console, write_json
    from serving import releases

    where = open_space(space)
    wanted = resolve(where, release_id)
    releases.load_release(where.releases, wanted, verify=True)
    console.print(f"[green]✓[/] {wanted} is whole and loads")
    write_json(json, {"release_id": wanted, "whole": True})


@app.command()
def gates(release_id: str, space: SpaceOption = None, override: SetOption = None, json: JsonOption = None) -> None:
    """Ask the gates about a release against what is live, without promoting it."""
    from cli.console import TerminalListener, write_json
    from core import config, release
    from pipelines.gates import result as gates_result
    from pipelines.gates.gates import GatesConfig
    from pipelines.progress import Stages

    where, bounds = open_space(space), config.override(GatesConfig(), override or [])
    live_id, now = release.resolve(where.releases, "live"), sign(None).at
    result = gates_result.ask(where, resolve(where, release_id), live_id, bounds, Stages(TerminalListener()), now)
    show_gates(where, result)
    write_json(json, result.to_json())


@app.command()
def promote(
    release_id: str,
    to: Annotated[str, typer.Option(help="candidate | canary | live")] = "live",
    waiver: Annotated[Path | None, typer.Option(help="TOML of reviewed waivers; see docs/shipping.md.")] = None,
    why: WhyOption = "promoted",
    by: ByOption = None,
    override: SetOption = None,
    space: SpaceOption = None,
    json: JsonOption = None,
) -> None:
    """Let a pointer name this release, if its gates let it."""
    from cli.console import TerminalListener, console, write_json
    from core import config
    from pipelines import promote as promotions
    from pipelines.gates.gates import GatesConfig
    from pipelines.progress import Stages

    where, stages = open_space(space), Stages(TerminalListener())
    reasons = promotions.Reasons(why, waiver, config.override(GatesConfig(), override or []))
    done = promotions.promote(where, resolve(where, release_id), to, sign(by), reasons, stages)
    if done.gates is not None:
        show_gates(where, done.gates)
    console.print(f"[green]✓[/] {to} → {done.release_id}" + ("" if done.move else ", as before"))
    mirror(where)
    write_json(json, done.to_json())


@app.command()
def rollback(why: WhyOption = "rolled back", by: ByOption = None, space: SpaceOption = None, json: JsonOption = None) -> None:
    """Let `live` name the previous release again. Asks no gate."""
    from cli.console import console, write_json
    from pipelines import promote as promotions

    where = open_space(space)
    previous = promotions.roll_back(where, sign(by), why)
    console.print(f"[green]✓[/] live → {previous}")
    write_json(json, {"release_id": previous, "to": "live"})
    mirror(where)


@app.command()
def gc(
    keep: Annotated[int, typer.Option(help="How many of the newest stay, whoever needs them.", min=0)] = 5,
    apply: Annotated[bool, typer.Option("--apply", help="Remove; without it, only say what would go.")] = False,
    space: SpaceOption = None,
    json: JsonOption = None,
) -> None:
    """Remove releases that are neither among the newest nor named by a pointer or an experiment."""
    from dataclasses import asdict

    from cli.console import console, write_json
    from core.clock import SystemClock
    from pipelines.releases import retention

    fates = retention.collect(open_space(space), keep, SystemClock().now(), apply=apply)
    for fate in fates:
        verb = ("removed" if apply else "would go") if fate.removed else "stays"
        why = ", ".join(fate.needed_by) or "nobody needs it"
        console.print(f"  {fate.release_id}  {fate.size / 1e6:8.1f} MB  {verb:<9} {why}")
    if not apply and any(fate.removed for fate in fates):
        console.print("  nothing was removed; add --apply")
    write_json(json, {"applied": apply, "releases": [{**asdict(fate), "removed": fate.removed} for fate in fates]})


@app.command()
def card(release_id: str, space: SpaceOption = None, json: JsonOption = None) -> None:
    """Write the release's model card and data sheet, as Markdown and as HTML."""
    from cli.console import console, write_json
    from pipelines.releases import model_card

    where = open_space(space)
    written = model_card.write(where, resolve(where, release_id))
    console.print(f"[green]✓[/] {written.markdown}\n[green]✓[/] {written.html}")
    write_json(json, {"markdown": str(written.markdown), "html": str(written.html)})


@app.command()
def sync(space: SpaceOption = None, json: JsonOption = None) -> None:
    """Let the MLflow registry say the same as the pointer files, from nothing if need be."""
    from cli.console import console, write_json
    from pipelines.releases import registry

    where = open_space(space)
    console.print(registry.sync(where))
    write_json(json, {"versions": [each.to_json() for each in registry.versions(where)]})


def open_space(name: str | None) -> "Space":
    """The space that is meant."""
    from core import settings
    from pipelines import spaces

    return spaces.current(settings.load().var_dir, name)


def resolve(space: "Space", release_id: str) -> str:
    """The id behind a pointer's name, or the id itself."""
    from core import release

    return release.named(space.releases, release_id) or release_id


def mirror(space: "Space") -> None:
    """Let the registry follow, once a pointer has moved."""
    from cli.console import TerminalListener
    from pipelines.progress import Stages
    from pipelines.releases import registry

    with Stages(TerminalListener())("registry") as stage:
        stage.note = registry.sync(space)


def sign(by: str | None) -> "Signed":
    """Who acts, and when."""
    import getpass

    from pipelines import provenance
    from pipelines.releases.history import Signed

    return Signed(by or getpass.getuser(), provenance.now())


def show_gates(space: "Space", result: "GatesResult") -> None:
    """Every gate in a line, and where the page is."""
    from rich.markup import escape
    from rich.table import Table

    from cli.console import console
    from pipelines.gates import result as gates_result

    marks = {"pass": "[green]✓[/]", "fail": "[red]✗[/]", "not measurable": "[yellow]?[/]"}
    table = Table("", "gate", "", box=None)
    for gate in result.gates:
        table.add_row(marks[gate.verdict.value], escape(gate.name), escape(gate.sentence))
    console.print(table)
    console.print(f"  [dim]{gates_result.page(space, result.release_id, result.live_id)}[/]")
