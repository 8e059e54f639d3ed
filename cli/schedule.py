"""`upnext schedule …`: upnext commands that run by themselves, at set times or after something happened."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipelines.orchestration.schedule import Book

app = typer.Typer(help="Commands that run by themselves: run, list, add, remove.", no_args_is_help=True, rich_markup_mode=None)


def _book() -> "Book":
    from core import settings
    from pipelines.orchestration.schedule import Book

    return Book(settings.load().var_dir)


@app.command()
def run(
    once: Annotated[bool, typer.Option(help="Look at every job once, instead of until Ctrl-C.")] = False,
    poll_s: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1)] = 5.0,
) -> None:
    """Run what is due, one after another. One scheduler at a time; what was missed while none ran is caught up once."""
    import os
    import time

    from cli.console import console
    from core import rng
    from core.clock import SystemClock
    from pipelines.orchestration.lease import Lease
    from pipelines.orchestration.schedule import Scheduler, as_child
    from pipelines.watching.alerts import Alerts

    book, clock = _book(), SystemClock()
    alerts = Alerts(book.folder / "failures.jsonl", clock, rng.stream(os.getpid(), "webhook"))
    with Lease(book.folder / "lease", "upnext schedule", clock) as lease:
        scheduler = Scheduler(book, clock, as_child(lease), lambda job, text: alerts.tell(text, job.webhook))
        console.print(f"  {len(book.entries())} jobs; Ctrl-C ends")
        while True:
            for name in scheduler.tick():
                console.print(f"  ran {name}")
            if once:
                return
            lease.renew()
            time.sleep(poll_s)


@app.command(name="list")
def list_(json: Annotated[Path | None, typer.Option(help="Write the jobs here.")] = None) -> None:
    """Every job, what it waits for, and what became of its last run."""
    from dataclasses import asdict

    from rich.box import SIMPLE
    from rich.table import Table

    from cli.console import console, write_json
    from core.clock import stamp
    from pipelines.orchestration.schedule import outcome

    entries = _book().entries()
    table = Table("job", "waits for", "command", "last run (UTC)", "runs", box=SIMPLE)
    for entry in entries:
        job, state = entry.job, entry.state
        began = f"{stamp(state.began_at)}, {outcome(state)}" if state.began_at is not None else "never"
        table.add_row(job.name, f"{job.kind} {job.value}", " ".join(job.command), began, str(state.runs))
    console.print(table if entries else "  no jobs; `upnext schedule add --help` says how to add one")
    write_json(json, {"jobs": [{**asdict(entry.job), **asdict(entry.state)} for entry in entries]})


@app.command()
def add(
    name: str,
    command: Annotated[list[str], typer.Argument(help="Of upnext, after `--`: pipeline run --preset tiny")],
    cron: Annotated[str | None, typer.Option(help="Minute, hour, day, month, weekday, in UTC: '0 3 * * *'.")] = None,
    files: Annotated[str | None, typer.Option(help="Pattern; due when a file of a new name matches: 'logs/*.csv'.")] = None,
    day: Annotated[str | None, typer.Option(help="Space; due when its live log has reached a later day.")] = None,
    alarm: Annotated[str | None, typer.Option(help="Space; due after every new alarm in its alerts.jsonl.")] = None,
    retrain: Annotated[str | None, typer.Option(help="Space; due after an alarm that asks for training, no other.")] = None,
    webhook: Annotated[str | None, typer.Option(help="URL that is told of failures, as JSON.")] = None,
) -> None:
    """Run a command at set times, or after something happened: `upnext schedule add nightly --cron '0 3 * * *' -- train`."""
    from cli.console import console
    from core.clock import SystemClock
    from core.errors import BadInput
    from pipelines.orchestration.schedule import Job

    occasions = {"cron": cron, "files": files, "day": day, "alarm": alarm, "retrain": retrain}
    given = [(kind, value) for kind, value in occasions.items() if value is not None]
    if len(given) != 1:
        raise BadInput("a job has exactly one occasion: one of --cron, --files, --day, --alarm, --retrain")
    _book().add(Job(name, *given[0], tuple(command), webhook), SystemClock())
    console.print(f"[green]✓[/] {name}; `upnext schedule run` must be running for it")


@app.command()
def remove(name: str) -> None:
    """Forget a job."""
    from cli.console import console

    _book().remove(name)
    console.print(f"[green]✓[/] {name} is gone")
