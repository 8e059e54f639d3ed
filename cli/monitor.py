"""`upnext monitor …`: is today like the days that the live release learned from?"""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Drift, alarms, and what follows from them.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def report(
    space: Annotated[str | None, typer.Option(help="Dataset whose log is read; the last trained one by default.")] = None,
    day: Annotated[str | None, typer.Option(help="A date such as 2026-02-01; by default the last complete 24 hours.")] = None,
    act: Annotated[
        bool, typer.Option("--act", help="Write the alarm to the space's alerts.jsonl, and roll back if severe.")
    ] = False,
    webhook: Annotated[str | None, typer.Option(help="With --act: an address that also gets the alarm.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the page here.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result here as JSON.")] = None,
) -> None:
    """One day against the training distribution; says what would follow, and with --act does it."""
    from rich.markup import escape

    from cli.console import TerminalListener, console, write_json
    from cli.release import mirror
    from core import settings
    from core.clock import SystemClock
    from monitoring.severity import Action
    from pipelines import spaces
    from pipelines.progress import Stages
    from pipelines.watching import monitor as monitoring
    from pipelines.watching import report as monitor_report

    where, stages = spaces.current(settings.load().var_dir, space), Stages(TerminalListener())
    found = monitoring.report(where, day, stages)
    monitoring.keep(where, found)
    said = found.to_json()
    console.print(f"\n[bold]{said['space']}, {said['from']} to {said['until']}[/]: {said['num_tested']:,} comparisons")
    if found.alert is None:
        console.print("  [green]✓[/] nothing remarkable")
    else:
        console.print(f"  [red]✗[/] {escape(found.alert.headline)}")
    for one in found.drifted[:10]:
        console.print(f"    {one.feature} in {one.segment}: PSI {one.psi:.3f}, limit {one.limit:.3f}")
    if act and found.alert is not None:
        for line in monitoring.act(where, found, SystemClock().now(), webhook):
            console.print(f"  {line}")
        if found.alert.action == Action.ROLLBACK:
            mirror(where)
    if html is not None:
        monitor_report.write(found, html)
        console.print(f"  [dim]wrote {html}[/]")
    write_json(json, {**said, "stages": stages.to_json()})


@app.command()
def confirm(
    space: Annotated[str | None, typer.Option(help="Dataset whose alarms are read; the last trained one by default.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result here as JSON.")] = None,
) -> None:
    """Past alarms against labels that came late: did satisfaction fall on the pages they rested on?"""
    from rich.markup import escape

    from cli.console import console, write_json
    from core import settings
    from pipelines import spaces
    from pipelines.watching import confirm as confirming

    where = spaces.current(settings.load().var_dir, space)
    found = confirming.confirm(where)
    for answer in found:
        console.print(f"  {escape(answer.sentence)}")
    if not found:
        console.print("  no alarm was told yet; upnext monitor report --act tells them")
    write_json(json, {"space": where.name, "alarms": [answer.to_json() for answer in found]})
