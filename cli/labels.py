"""`upnext labels …`: what behaviour and words say, labels that nobody gave, whom to ask, and how long feedback takes."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Labels: seen in behaviour, programmatic, by people, active, delayed.", no_args_is_help=True, rich_markup_mode=None
)
human = typer.Typer(help="What people answered on the service's page /label.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(human, name="human")

SpaceOption = Annotated[str | None, typer.Option(help="Dataset; the last trained one, or the tiny world, by default.")]
JsonOption = Annotated[Path | None, typer.Option(help="Write the result here as JSON.")]
ShareOption = Annotated[float | None, typer.Option(help="Share of such videos, if known; else learned.", min=0.001, max=0.999)]


@app.command()
def seen(space: SpaceOption = None, json: JsonOption = None) -> None:
    """Clicks, dwelling, skips, satisfaction, opinions: how often each label occurs, and how often nobody can tell."""
    from rich.table import Table

    from cli.console import console, write_json
    from core import settings
    from pipelines import labels

    found = labels.seen(labels.open_dataset(settings.load().var_dir, space))
    table = Table("label", "of", "rows", "yes", "share", "unknown", box=None)
    for one in found:
        share = "" if one.share is None else f"{one.share:.1%}"
        table.add_row(one.label, one.of, f"{one.num_rows:,}", f"{one.num_yes:,}", share, f"{one.num_unknown:,}")
    console.print(table)
    write_json(json, {"labels": [one.to_json() for one in found]})


@app.command()
def programmatic(
    space: SpaceOption = None,
    clickbait: ShareOption = None,
    kids: ShareOption = None,
    dependencies: Annotated[bool, typer.Option(help="Count functions less that agree more than the answer explains.")] = True,
    top: int = 5,
    json: JsonOption = None,
) -> None:
    """Clickbait and kids: what labelling functions say, what a label model makes of it, and how people correct that."""
    from rich.markup import escape
    from rich.table import Table

    from cli.console import console, write_json
    from core import settings
    from pipelines import labelling, labels

    priors = {name: share for name, share in (("clickbait", clickbait), ("kids", kids)) if share is not None}
    var_dir = settings.load().var_dir
    dataset, people = labels.open_dataset(var_dir, space), labelling.people(labelling.folder(var_dir, space))
    answers = labels.programmatic(dataset, priors, dependencies=dependencies)
    if people:
        answers = [labelling.corrected(answer, dataset, people) for answer in answers]
    for answer in answers:
        model, found = answer.model, answer.labels.sort("probability", descending=True)
        table = Table(f"[bold]{answer.question}[/]", "votes on", "yes if it is", "yes if it is not", box=None)
        for name, coverage, yes, no in zip(
            answer.names, answer.coverage, model.given_positive_F, model.given_negative_F, strict=True
        ):
            table.add_row(name, f"{coverage:.0%}", f"{yes:.2f}", f"{no:.2f}")
        console.print(table)
        console.print(f"  {(found['probability'] > 0.5).sum():,} of {len(found):,} videos are likelier than not")
        if answer.num_human:
            console.print(f"  {answer.num_human:,} of them labelled by people, whom the others follow where they are alike")
        for first, second, excess in model.pairs[:3]:
            console.print(f"  [dim]counted less: '{answer.names[first]}' and '{answer.names[second]}' agree ({excess:.2f})[/]")
        for row in found.head(top).iter_rows(named=True):
            console.print(f"  {row['probability']:.3f}  {escape(row['title'])}")
    write_json(json, {answer.question: answer.to_json() for answer in answers})


@app.command()
def active(
    space: SpaceOption = None,
    most: Annotated[int, typer.Option(help="Labels in all.", min=8)] = 240,
    error: Annotated[float, typer.Option(help="Chance that an answer is wrong.", min=0.0, max=0.5)] = 0.05,
    seed: int = 1,
    json: JsonOption = None,
) -> None:
    """Ask for categories by chance or by doubt: accuracy against the number of labels."""
    from rich.table import Table

    from cli.console import console, write_json
    from core import settings
    from pipelines import labels

    dataset = labels.open_dataset(settings.load().var_dir, space)
    curves = labels.efficiency(dataset, ("random", "uncertainty", "margin"), most=most, error=error, seed=seed)
    table = Table("labels", *(curve.method for curve in curves), box=None)
    for at, count in enumerate(curves[0].labels):
        table.add_row(f"{count:,}", *(f"{curve.accuracy[at]:.3f}" for curve in curves))
    console.print(table)
    write_json(json, {curve.method: dict(zip(curve.labels, curve.accuracy, strict=True)) for curve in curves})


@app.command()
def delay(space: SpaceOption = None, json: JsonOption = None) -> None:
    """How long each kind of feedback takes, and what counting too early misses."""
    from dataclasses import asdict

    from rich.table import Table

    from cli.console import console, write_json
    from core import settings
    from pipelines import labels

    waits = labels.waits(labels.open_dataset(settings.load().var_dir, space))
    table = Table("feedback", "labels", "half within", "99 % within", "per click", "last day, as counted", box=None)
    for wait in waits:
        windows = (f"{ms / 3_600_000:.2f} h" for ms in (wait.half_ms, wait.most_ms))
        table.add_row(wait.kind, f"{wait.num_labels:,}", *windows, f"{wait.rate:.3f}", f"{wait.naive_rate:.3f}")
    console.print(table)
    write_json(json, {"waits": [asdict(wait) for wait in waits]})


@human.command("list")
def list_(space: SpaceOption = None, json: JsonOption = None) -> None:
    """How many answers there are by question, and how often two people disagree."""
    from dataclasses import asdict

    from rich.table import Table

    from cli.console import console, write_json
    from core import settings
    from pipelines import labelling

    found = labelling.summary(labelling.folder(settings.load().var_dir, space))
    table = Table("question", "people", "videos", "yes", "no", "skipped", "asked twice", "disagree", "wrong answers", box=None)
    for one in found:
        error = "not known yet" if one.agreement.error is None else f"{one.agreement.error:.1%}"
        counts = (one.people, one.videos, one.yes, one.no, one.skipped, one.agreement.pairs, one.agreement.differ)
        table.add_row(one.question, *(f"{count:,}" for count in counts), error)
    console.print(table)
    write_json(json, {"questions": [asdict(one) for one in found]})


@human.command()
def export(
    file: Annotated[Path, typer.Argument(help="A .csv file to write: one row per answer that counts.")],
    space: SpaceOption = None,
    json: JsonOption = None,
) -> None:
    """Every answer that counts, with who gave it and when."""
    from cli.console import console, write_json
    from core import settings
    from pipelines import labelling

    frame = labelling.exported(labelling.folder(settings.load().var_dir, space))
    frame.write_csv(file)
    console.print(f"{len(frame):,} answers in {file}")
    write_json(json, {"file": str(file), "answers": len(frame)})
