"""`upnext tune`: search the settings of one model inside one training file."""

from pathlib import Path
from typing import Annotated

import typer


def tune(
    interactions: Annotated[Path, typer.Option(help="Training file: viewer_id, video_id[, position or timestamp].")],
    item_vectors: Annotated[Path | None, typer.Option(help=".npy whose row i belongs to video_id i.")] = None,
    model: Annotated[str, typer.Option(help="two_tower | ranker | ease | ials | item_knn | markov")] = "two_tower",
    method: Annotated[list[str] | None, typer.Option(help="grid | random | tpe | asha; repeat it to compare.")] = None,
    trials: Annotated[int, typer.Option(help="Settings tried per method.")] = 12,
    workers: Annotated[int, typer.Option(help="Processes that try settings at the same time.")] = 1,
    space_file: Annotated[Path | None, typer.Option(help="TOML: key = [values] or {low, high, log, whole, points}.")] = None,
    preset: Annotated[str, typer.Option(help="Model sizes: tiny | demo | full")] = "demo",
    override: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, repeatable.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write every trial here.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with the search plotted here.")] = None,
) -> None:
    """Find better settings on a validation split inside the file; interrupted, the same command goes on."""
    from typing import cast

    from cli.console import TerminalListener, console, write_json
    from core import settings
    from core import space as spaces
    from pipelines import presets, tracking
    from pipelines.progress import Stages
    from pipelines.tuning import tune as tunings
    from pipelines.tuning.objectives import FileObjective
    from pipelines.tuning.search import Method

    config, var_dir, stages = presets.configure(preset, override or []), settings.load().var_dir, Stages(TerminalListener())
    objective = FileObjective(interactions, item_vectors, model, config)
    tuned = tunings.tune(
        objective,
        cast(list[Method], method or ["tpe"]),
        var_dir / "tuning",
        trials=trials,
        space=None if space_file is None else spaces.read(space_file),
        workers=workers,
        stages=stages,
    )
    with stages("track") as stage:
        best = presets.configure(preset, [*(override or []), *tuned.flags])
        metrics = {f"{model}.validation_ndcg_10": tuned.best.score}
        names = {"data": interactions.name, "snapshot": tracking.digest(interactions), "model": model}
        names |= {"methods": ", ".join(tuned.found), "settings": str(dict(tuned.best.settings))}
        stage.note = tracking.record(var_dir, "tune", best, metrics, stages, **names)
    console.print(tuned.to_table())
    if tuned.flags:
        console.print("  " + " ".join(f"--set {flag}" for flag in tuned.flags), soft_wrap=True)
    else:
        console.print("  `upnext train` and `upnext evaluate` search the settings of every baseline by themselves", style="dim")
    if report is not None:
        from pipelines.tuning import report as tuning_report

        tuning_report.write(tuned, report)
        console.print(f"  [dim]wrote {report}[/]")
    write_json(json, tuned.to_json())
