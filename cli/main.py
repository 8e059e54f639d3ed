"""The command line: one file per command group, heavy imports only inside the command that needs them."""

import sys

import typer

from cli import (
    batch,
    data,
    demo,
    doctor,
    evaluate,
    experiment,
    features,
    lab,
    labels,
    monitor,
    ope,
    pipeline,
    refresh,
    release,
    runs,
    schedule,
    serve,
    simulate,
    tables,
    train,
    tune,
)
from core.errors import UpnextError

app = typer.Typer(
    name="upnext",
    help="A YouTube-style recommender to run, measure and study.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command(name="demo")(demo.demo)
app.command(name="train")(train.train)
app.command(name="refresh")(refresh.refresh)
app.command(name="serve")(serve.serve)
app.command(name="batch")(batch.batch)
app.command(name="simulate")(simulate.simulate)
app.add_typer(evaluate.app, name="evaluate")
app.command(name="ope")(ope.ope)
app.add_typer(experiment.app, name="experiment")
app.add_typer(lab.app, name="lab")
app.command(name="tune")(tune.tune)
app.add_typer(pipeline.app, name="pipeline")
app.add_typer(schedule.app, name="schedule")
app.add_typer(release.app, name="release")
app.add_typer(runs.app, name="runs")
app.add_typer(tables.app, name="tables")
app.add_typer(labels.app, name="labels")
app.add_typer(monitor.app, name="monitor")
app.add_typer(data.app, name="data")
app.add_typer(features.app, name="features")
app.command(name="doctor")(doctor.doctor)


def main() -> None:
    """Run a command; an error that was raised on purpose is printed in its own words, without a traceback."""
    try:
        app()
    except UpnextError as error:
        typer.secho(f"upnext: {error}", fg=typer.colors.RED, err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
