"""`upnext lab …`: what a recommender does to the world that it learns from."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(
    help="Feedback loops, week by week, on a world with known truth.", no_args_is_help=True, rich_markup_mode=None
)

JsonOption = Annotated[Path | None, typer.Option(help="Write the result here as JSON.")]
ReportOption = Annotated[Path | None, typer.Option(help="Write a page with plots and sliders here.")]
SeedsOption = Annotated[int, typer.Option(help="Worlds, each with its own luck; at least two for intervals.", min=1)]

_SHOWN = ("satisfied_s", "regret_s", "coverage", "gini", "creators", "topic_entropy", "good_new_found")


@app.command(name="feedback-loop")
def feedback_loop(
    weeks: Annotated[int, typer.Option(help="Simulated weeks of serve, log, retrain.", min=1)] = 8,
    policies: Annotated[
        str, typer.Option(help="Some of none,epsilon,thompson,holdout,ips; Thompson sampling also as topics,linear,served.")
    ] = "none,epsilon,thompson,holdout,ips",
    seeds: SeedsOption = 3,
    preset: Annotated[str, typer.Option(help="World and model sizes: tiny | lab")] = "lab",
    workers: Annotated[int, typer.Option(help="Processes, each with one thread.", min=1)] = 2,
    override: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, repeatable.")] = None,
    json: JsonOption = None,
    report: ReportOption = None,
) -> None:
    """What exploration costs now and earns later; interrupted, the same command goes on."""
    from cli.console import TerminalListener, console, write_json
    from core import settings
    from pipelines.lab import config as lab_config
    from pipelines.lab import loop as lab
    from pipelines.lab import report as lab_report
    from pipelines.lab import summary as lab_summary
    from pipelines.progress import Stages

    config = lab_config.configure(preset, override or [])
    arms = lab_config.arms(policies.split(","))
    numbers = list(range(1, seeds + 1))
    stages = Stages(TerminalListener())
    shelf = lab.run(config, arms, numbers, weeks, settings.load().var_dir / "lab", stages, workers=workers)
    result = lab_summary.summarise(shelf, [arm.name for arm in arms], numbers, weeks)
    console.print(_table(result))
    for sentence in result["lead"]:
        console.print(f"  {sentence}")
    if report is not None:
        lab_report.write(result, "Feedback loops", report)
        console.print(f"  [dim]wrote {report}[/]")
    write_json(json, {**result, "stages": stages.to_json()})


@app.command(name="filter")
def spam_filter(
    weeks: Annotated[int, typer.Option(help="Simulated weeks.", min=6)] = 24,
    seeds: Annotated[int, typer.Option(help="Worlds, each with its own luck.", min=2)] = 20,
    json: JsonOption = None,
    report: ReportOption = None,
) -> None:
    """A spam filter that stops seeing what it blocks, and what a holdout does about it."""
    from cli.console import TerminalListener, console, write_json
    from pipelines.lab import filter_loop as lab_filter
    from pipelines.lab import report as lab_report
    from pipelines.progress import Stages

    with Stages(TerminalListener())("filters") as stage:
        result = lab_filter.compare(lab_filter.FilterConfig(weeks=weeks), range(1, seeds + 1), stage)
    for sentence in result["lead"]:
        console.print(f"  {sentence}")
    if report is not None:
        lab_report.write(result, "The blind spot of a filter", report)
        console.print(f"  [dim]wrote {report}[/]")
    write_json(json, result)


@app.command()
def year(
    weeks: Annotated[int, typer.Option(help="Simulated weeks; the world has 52.", min=1)] = 52,
    arms: Annotated[str, typer.Option(help="Some of system,blind,frozen.")] = "system,blind,frozen",
    seeds: Annotated[int, typer.Option(help="Worlds, each with its own luck; at least two for intervals.", min=1)] = 1,
    preset: Annotated[str, typer.Option(help="World and model sizes: tiny | year")] = "year",
    workers: Annotated[int, typer.Option(help="Processes, each with one thread.", min=1)] = 2,
    override: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, repeatable.")] = None,
    json: JsonOption = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with the timeline here.")] = None,
) -> None:
    """A year with faults: gates and monitoring against blind retraining and none; interrupted, the same command goes on."""
    from cli.console import TerminalListener, console, write_json
    from core import settings
    from pipelines.lab import year as lab_year
    from pipelines.lab import year_config, year_report, year_summary
    from pipelines.progress import Stages

    config, chosen = year_config.configure(preset, override or []), year_config.arms(arms.split(","))
    numbers, stages = list(range(1, seeds + 1)), Stages(TerminalListener())
    shelf = lab_year.run(config, chosen, numbers, weeks, settings.load().var_dir / "lab", stages, workers=workers)
    result = year_summary.summarise(shelf, config, chosen, numbers, weeks)
    console.print(_fault_table(result))
    for sentence in result["lead"]:
        console.print(f"  {sentence}")
    if report is not None:
        year_report.write(result, report)
        console.print(f"  [dim]wrote {report}[/]")
    write_json(json, {**result, "stages": stages.to_json()})


def _fault_table(result: dict[str, Any]) -> "Table":
    """True satisfied seconds of a page while each fault is felt."""
    from rich.table import Table

    table = Table("fault", "felt in weeks", *result["names"], box=None)
    for fault in result["faults"]:
        values = (f"{value:.1f}" for value in fault["mean_s"].values())
        table.add_row(fault["kind"], f"{fault['felt'][0]}–{fault['felt'][1]}", *values)
    return table


@app.command()
def drill(
    fault: Annotated[str, typer.Option(help="One of the faults, or all.")] = "all",
    seeds: SeedsOption = 5,
    first_seed: Annotated[int, typer.Option(help="Of the first world; the others follow.", min=1)] = 1,
    quiet_days: Annotated[int, typer.Option(help="Quiet days per world, watched for false alarms; 0 skips them.", min=0)] = 60,
    json: JsonOption = None,
) -> None:
    """Break a world on purpose: does the monitor notice, say what it is, and do the right thing?"""
    from cli.console import TerminalListener, console, write_json
    from pipelines.progress import Stages
    from pipelines.watching import drills

    chosen = drills.FAULTS if fault == "all" else (fault,)
    numbers, stages, found = range(first_seed, first_seed + seeds), Stages(TerminalListener()), []
    for name in chosen:
        with stages(name) as stage:
            for at, seed in enumerate(numbers):
                found.append(drills.run(name, seed))
                stage.advance((at + 1) / seeds)
    result: dict[str, Any] = {"drills": [one.to_json() for one in found], "summary": drills.summary(found)}
    if quiet_days:
        with stages("quiet days") as stage:
            quiet = drills.quiet([drills.QUIET_SEED + seed for seed in numbers], quiet_days, advance=stage.advance)
            stage.note = f"{quiet.alarms} alarms in {quiet.days} days"
        result |= {"false_alarms_per_100_days": quiet.per_100_days.mean, "quiet": quiet.to_json()}
    console.print(_drill_table(result["summary"]))
    for line in result.get("quiet", {}).get("what", ()):
        console.print(f"  [dim]false alarm: {line}[/]")
    write_json(json, {**result, "stages": stages.to_json()})


def _drill_table(rows: list[dict[str, Any]]) -> "Table":
    from rich.table import Table

    table = Table("fault", "drills", "detected", "diagnosis right", "action right", "hours, median", "hours, most", box=None)
    for row in rows:
        table.add_row(
            *("–" if value is None else f"{value:g}" if isinstance(value, float) else str(value) for value in row.values())
        )
    return table


def _table(result: dict[str, Any]) -> "Table":
    from rich.table import Table

    table = Table(f"week {result['num_weeks']}", *_SHOWN, box=None)
    for name, curves in result["curves"].items():
        table.add_row(name, *(f"{curves[measure][-1]['mean']:.3f}" for measure in _SHOWN))
    return table
