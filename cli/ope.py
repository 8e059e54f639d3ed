"""`upnext ope`: what another policy would have earned on a log of this one."""

from pathlib import Path
from typing import Annotated

import typer


def ope(
    behaviour: Annotated[Path, typer.Option(help="Log (.csv or its folder): item_id, position, click, propensity_score.")],
    target: Annotated[str, typer.Option(help="'uniform', or another policy's log, whose item share per position is meant.")],
    seed: Annotated[int, typer.Option(help="Of cross-fitting and bootstrap.")] = 0,
    draws: Annotated[int, typer.Option(help="Bootstrap resamples.", min=100)] = 1_000,
    json: Annotated[Path | None, typer.Option(help="Write the report here.")] = None,
) -> None:
    """Off-policy estimates with intervals, and a refusal where the log cannot tell."""
    from rich.markup import escape
    from rich.table import Table

    from cli.console import console, write_json
    from experiments.ope import RECOMMENDED, evaluate_files

    report = evaluate_files(behaviour, target, seed=seed, draws=draws)
    table = Table("estimator", "value per row", "95 % interval", box=None)
    for name, found in {"as logged": report.behaviour, **report.estimates}.items():
        mark = "[bold]" if name == RECOMMENDED else ""
        bounds = f"{found.low:.6f} … {found.high:.6f}" if found.low == found.low else "–"
        table.add_row(f"{mark}{name}", f"{mark}{found.mean:.6f}", f"{mark}{bounds}")
    check = report.check
    console.print(table)
    console.print(
        f"  {check.num_rows:,} rows, effective {check.ess:,.0f}; weights: mean {check.mean_weight:.3f} "
        f"({check.mean_low:.3f} … {check.mean_high:.3f}), largest {check.max_weight:.1f} ({check.max_share:.1%} of all); "
        f"{report.unseen_share or 0:.1%} of the target was never logged"
    )
    console.print("  [green]✓[/] weights in order" if report.verdict == "ok" else f"  [red]refused:[/] {escape(report.reason)}")
    write_json(json, report.to_json())
