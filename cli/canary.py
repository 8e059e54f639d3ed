"""`upnext release canary …`: a release for a growing share of viewers, taken back by itself when something gets worse."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from experiments.canary import CanaryState

app = typer.Typer(help="A release for 1, 10, 50, then all viewers.", no_args_is_help=True, rich_markup_mode=None)

SpaceOption = Annotated[str | None, typer.Option(help="Dataset that is served; the last trained one by default.")]
JsonOption = Annotated[Path | None, typer.Option(help="Write the state here as JSON.")]
ByOption = Annotated[str | None, typer.Option("--by", help="Who does this, for the history; the account by default.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Of the canary: key=value, repeatable.")]


@app.command()
def start(
    release_id: str,
    waiver: Annotated[Path | None, typer.Option(help="TOML of reviewed waivers; see docs/shipping.md.")] = None,
    why: Annotated[str, typer.Option(help="For the history.")] = "canary",
    by: ByOption = None,
    override: SetOption = None,
    space: SpaceOption = None,
    json: JsonOption = None,
) -> None:
    """Ask the gates, then serve the release to the first share of viewers."""
    from cli import release as releases
    from cli.console import TerminalListener
    from core import config
    from experiments.canary import CanaryConfig
    from pipelines.progress import Stages
    from pipelines.promote import Reasons
    from pipelines.releases import canary

    where, plan = releases.open_space(space), config.override(CanaryConfig(), override or [])
    wanted, stages = releases.resolve(where, release_id), Stages(TerminalListener())
    _show(canary.start(where, wanted, plan, releases.sign(by), Reasons(why, waiver), stages), json)
    releases.mirror(where)


@app.command()
def step(by: ByOption = None, space: SpaceOption = None, json: JsonOption = None) -> None:
    """Look at the log once and do what follows: hold, go on, or halt. Run it as often as you like."""
    from cli import release as releases
    from experiments.canary import Phase
    from pipelines.releases import canary

    where = releases.open_space(space)
    state = canary.step(where, releases.sign(by))
    _show(state, json)
    if state.phase != Phase.RUNNING:
        releases.mirror(where)


@app.command()
def status(space: SpaceOption = None, json: JsonOption = None) -> None:
    """Where it is, and every look so far."""
    from cli import release as releases
    from core.errors import BadInput
    from experiments import served

    where = releases.open_space(space)
    state = served.read_canary(where.path)
    if state is None:
        raise BadInput(f"'{where.name}' has no canary; `upnext release canary start <id>` begins one")
    _show(state, json)


@app.command()
def stop(
    why: Annotated[str, typer.Option(help="For the history.")] = "stopped by hand",
    by: ByOption = None,
    space: SpaceOption = None,
    json: JsonOption = None,
) -> None:
    """End it: everyone gets the live release again."""
    from cli import release as releases
    from pipelines.releases import canary

    where = releases.open_space(space)
    _show(canary.stop(where, releases.sign(by), why), json)
    releases.mirror(where)


@app.command()
def rehearse(
    override: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, e.g. click_factor=0.8, viewers=5000, canary.max_days=14.")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Simulate many canaries of a candidate whose effect is known: by default none, so every halt is a false one."""
    from cli.console import TerminalListener, console, write_json
    from core import config
    from experiments.canary_rehearsal import RehearsalConfig, rehearse
    from pipelines.progress import Stages

    plan = config.override(RehearsalConfig(), override or [])
    with Stages(TerminalListener())("canaries") as stage:
        found = rehearse(plan, stage.advance)
    told = found.to_json()
    shares = ", ".join(f"{name} {told[name]:.1%}" for name in ("arrived", "halted", "running"))
    console.print(f"clicks × {plan.click_factor:g}, seconds per click × {plan.watch_factor:g}: {shares}")
    console.print(f"  {told['mean_days']:.1f} days; {told['mean_met']:,.0f} of {plan.viewers:,} viewers met the candidate")
    write_json(json, {"config": config.to_dict(plan), **told})


def _show(state: "CanaryState", json: Path | None) -> None:
    from rich.markup import escape

    from cli.console import console, write_json
    from core import config
    from core.clock import stamp

    console.print(f"[bold]{state.phase}[/]: {state.release_id} at {state.share:.0%} of viewers, against {state.live_id}")
    for look in state.looks:
        seen = " / ".join(f"{n:,}" for n in look.viewers)
        console.print(
            f"  [dim]{stamp(look.at)}[/]  step {look.step + 1}  {look.decision:<6} {escape(look.reason)}  [dim]{seen}[/]"
        )
    write_json(json, {**config.to_dict(state), "share": state.share})
