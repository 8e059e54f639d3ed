"""`upnext experiment …`: plan a test, analyse one, look at chance, shadow and records, check the procedure on nothing."""

from dataclasses import asdict
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from core.inference import Interval
    from experiments.analysis import ArmReport, Report
    from experiments.config import ExperimentConfig
    from experiments.evidence import Preference
    from experiments.ope import Report as OffPolicy

app = typer.Typer(
    help="A/B tests, interleaving, shadow, records: plan, analyse, check by A/A runs, replay.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

JsonOption = Annotated[Path | None, typer.Option(help="Write the result here as JSON.")]
SpaceOption = Annotated[str | None, typer.Option(help="Dataset whose log is read; the last trained one by default.")]


@app.command()
def plan(
    baseline: Annotated[float, typer.Option(help="Rate today, e.g. 0.1; with --deviation, mean today, e.g. 400 seconds.")],
    lift: Annotated[float, typer.Option(help="Smallest difference that matters: absolute, e.g. 0.001, or see --relative.")],
    per_day: Annotated[float, typer.Option(help="Observations per day in the experiment, both arms.")] = 300_000,
    relative: Annotated[bool, typer.Option("--relative", help="Read --lift as a share of the baseline.")] = False,
    alpha: Annotated[float, typer.Option(help="Accepted chance of a false positive, two-sided.")] = 0.05,
    power: Annotated[float, typer.Option(help="Wanted chance to see the difference.")] = 0.8,
    share: Annotated[float, typer.Option(help="Share of observations in the treatment arm.")] = 0.5,
    per_viewer: Annotated[float, typer.Option(help="Observations per viewer.")] = 1.0,
    correlation: Annotated[float, typer.Option(help="Between observations of one viewer, 0 to 1.")] = 0.0,
    deviation: Annotated[float | None, typer.Option(help="Standard deviation of one observation, to plan for a mean.")] = None,
    json: JsonOption = None,
) -> None:
    """How many observations, and how many whole weeks."""
    from cli.console import console, write_json
    from experiments import power as planning

    asked = partial(
        planning.plan,
        baseline,
        lift,
        per_day,
        alpha=alpha,
        power=power,
        share=share,
        per_viewer=per_viewer,
        correlation=correlation,
        deviation=deviation,
    )
    found, digits = asked(relative=relative), ".4%" if deviation is None else ".6g"
    weeks = f"{found.weeks} whole week{'s' if found.weeks > 1 else ''}"
    console.print(
        f"[bold]Run for {weeks}[/] to see {baseline:{digits}} → {found.target:{digits}} with a chance of {power:.0%}."
    )
    console.print(f"  observations     {found.control:,} control, {found.treatment:,} treatment; of {found.viewers:,} viewers")
    console.print(f"  design effect    × {found.design_effect:.2f} ({per_viewer:g} per viewer, correlation {correlation:g})")
    console.print(f"  at {per_day:,.0f} a day  {found.days:.2f} days; {weeks} can show ± {found.detectable:{digits}}")
    if not relative and deviation is None:
        other = asked(relative=True)
        console.print(
            f"  [dim]read as a relative lift (--relative, → {other.target:.4%}) it would take {other.total:,} in all[/]"
        )
    write_json(json, {**asdict(found), "total": found.total})


@app.command()
def example(space: SpaceOption = None, json: JsonOption = None) -> None:
    """Write experiments to begin with beside the releases; a running server takes them up within two seconds."""
    from cli.console import console, write_json
    from core import settings
    from experiments import served
    from pipelines import spaces

    file = served.write_example(spaces.current(settings.load().var_dir, space).path)
    console.print(f"  wrote {file}", soft_wrap=True)
    console.print("  [dim]Let viewers come (`upnext serve`, `upnext simulate`) and look at /ops/experiments.[/]")
    write_json(json, {"file": str(file)})


@app.command()
def analyse(
    config: Annotated[
        Path | None, typer.Option(help="TOML file of experiments; by default the one that the dataset's server reads.")
    ] = None,
    events: Annotated[Path | None, typer.Option(help="Rows (.parquet, .csv, .tsv): viewer_id, day, arm, metrics.")] = None,
    space: Annotated[
        str | None, typer.Option(help="Dataset whose log is read instead; the last trained one by default.")
    ] = None,
    experiment: Annotated[str | None, typer.Option(help="Which one, when the file has several.")] = None,
    json: JsonOption = None,
) -> None:
    """Decide: ship, do not ship, keep running, or invalid. Of merged pages: which ranking viewers prefer."""
    from cli.console import TerminalListener, console, write_json
    from core import settings
    from core.errors import BadInput
    from experiments import config as configs
    from experiments import served
    from experiments.analysis import analyse as judge
    from pipelines import experiment as panels
    from pipelines import spaces
    from pipelines.progress import Stages

    if events is not None and space is not None:
        raise BadInput("--events and --space exclude each other: rows of a file, or a dataset's log")
    if events is not None and config is None:
        raise BadInput("--events needs --config: which experiment are these rows about?")
    var_dir = settings.load().var_dir
    chosen = configs.load(config or spaces.current(var_dir, space).path / served.EXPERIMENTS).named(experiment)
    if chosen.interleaving:
        if events is not None:
            raise BadInput(f"'{chosen.name}' merges pages: it is analysed from a dataset's log, without --events")
        found = panels.interleaved(spaces.current(var_dir, space), chosen)
        _show_outcome(found, chosen)
        write_json(json, {"experiment": chosen.name, "interleaving": chosen.interleaving, **found.to_json()})
        return
    with Stages(TerminalListener())("read") as stage:
        if events is not None:
            panel = panels.from_file(events, chosen)
        else:
            panel = panels.from_space(spaces.current(var_dir, space), chosen)
        stage.note = f"{len(panel.arm_V):,} viewers, {len(panel.day_N):,} rows"
    report = judge(panel, chosen)
    _show(report, chosen.analysis.days)
    write_json(json, report.to_json())
    console.print()


@app.command()
def shadow(space: SpaceOption = None, json: JsonOption = None) -> None:
    """How a challenger that nobody saw would have changed pages, scores and latency, over all and per slice."""
    from rich.table import Table

    from cli.console import console, write_json
    from core import settings
    from pipelines import experiment as panels
    from pipelines import spaces

    found = panels.unseen(spaces.current(settings.load().var_dir, space))
    for release_id, slices in found.items():
        table = Table("", "requests", "overlap", "RBO", "same", "KS", "live ms", "shadow ms", "failed", box=None)
        table.columns[0].no_wrap = True
        for one in slices:
            shares = (f"{value:.3f}" for value in (one.overlap, one.rbo, one.same, one.score_ks))
            table.add_row(
                one.slice, f"{one.requests:,}", *shares, f"{one.live_ms_p50:.0f}/{one.live_ms_p99:.0f}",
                f"{one.shadow_ms_p50:.0f}/{one.shadow_ms_p99:.0f}", f"{one.shadow_failed:.1%}",
            )  # fmt: skip
        console.print(f"[bold]{release_id}[/] in the shadow; times are median / 99th percentile")
        console.print(table)
    console.print("  [dim]What would change, not what is better: nobody saw the shadow's pages.[/]")
    write_json(json, {release_id: [one.to_json() for one in slices] for release_id, slices in found.items()})


@app.command()
def exploration(space: SpaceOption = None, json: JsonOption = None) -> None:
    """What chance has filled in the live log, arm by arm: its share, the new videos it found room for, and its price."""
    from rich.markup import escape
    from rich.table import Table

    from cli.console import console, write_json
    from core import settings
    from pipelines import experiment as panels
    from pipelines import spaces

    found = panels.explored(spaces.current(settings.load().var_dir, space))
    for one in found:
        others = one.slots - one.explored
        console.print(f"[bold]{escape(one.arm)}[/]: {one.pages:,} pages, least propensity {one.least_propensity:.2g}")
        table = Table("", "slots", "share", "new videos", "clicks a slot", box=None)
        for name, slots, new, clicks in (
            ("by chance", one.explored, one.new_explored, one.clicks_explored),
            ("others", others, one.new_others, one.clicks_others),
        ):
            table.add_row(
                name, f"{slots:,}", f"{slots / one.slots:.1%}", *((f"{new:.1%}", f"{clicks:.4f}") if slots else ("–", "–"))
            )
        console.print(table)
        if one.price.mean == one.price.mean:
            console.print(f"  price of a slot  {one.price.mean:+.4f} clicks ({_range(one.price)}), within its position")
        console.print(f"  most by chance   {one.most_a_day:,} for one viewer in a day")
    write_json(json, {"arms": [one.to_json() for one in found]})


@app.command()
def replay(
    space: SpaceOption = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="exploration.key=value or rerank.key=value: what would that have shown?")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Decide recorded pages again: are they what was shown, or what would other settings have shown and earned?"""
    from rich.table import Table

    from cli.console import TerminalListener, console, write_json
    from core import settings
    from pipelines import replay as replaying
    from pipelines import spaces
    from pipelines.progress import Stages
    from serving.counterfactual import stored

    place = spaces.current(settings.load().var_dir, space)
    with Stages(TerminalListener())("replay") as stage:
        found, kept = replaying.replay(place, override or [], stage.advance), stored(place.path)
    table = Table("release", "records", "decided again", "same page", "overlap", "RBO", box=None)
    table.columns[0].no_wrap = True
    for one in found.releases:
        likeness = (f"{value:.3f}" if value == value else "–" for value in (one.overlap, one.rbo))
        table.add_row(one.release_id, f"{one.records:,}", f"{one.decided:,}", f"{one.same:,}", *likeness)
    console.print(table)
    for one in found.releases:
        for why, pages in one.left_out.items():
            console.print(f"  [yellow]·[/] {pages:,} pages of {one.release_id} left out: {why}")
    console.print(f"  {kept.records:,} records, {kept.bytes_each or 0:,.0f} bytes each")
    different = sum(one.decided - one.same for one in found.releases)
    if override:
        _show_value(found.value)
    elif different:
        console.print(f"  [red]✗[/] {different:,} pages did not come out as they were shown")
    elif found.value is not None:
        console.print("  [green]✓[/] every page came out as it was shown, with its propensities")
    write_json(json, {"set": override or [], "stored": asdict(kept), **found.to_json()})


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where behaviour.csv and target.csv go.")],
    space: SpaceOption = None,
    json: JsonOption = None,
) -> None:
    """Write the live log, and the shadow's pages, in the layout that `upnext ope` reads."""
    from cli.console import console, write_json
    from core import settings
    from pipelines import experiment as panels
    from pipelines import spaces

    found = panels.export(spaces.current(settings.load().var_dir, space), folder)
    console.print(f"  {found.behaviour}  {found.num_shown:,} shown slots")
    target = "uniform" if found.target is None else str(found.target)
    if found.target is not None:
        console.print(f"  {found.target}  {found.num_unseen:,} slots that the shadow would have filled")
    console.print(f"  [dim]upnext ope --behaviour {found.behaviour} --target {target}[/]", soft_wrap=True)
    write_json(json, {name: str(value) if isinstance(value, Path) else value for name, value in asdict(found).items()})


@app.command()
def aa(
    runs: Annotated[int, typer.Option(help="A/A tests to simulate.")] = 1_000,
    viewers: Annotated[int, typer.Option(help="Viewers per arm.")] = 2_000,
    alpha: Annotated[float, typer.Option(help="Accepted share of false positives.")] = 0.05,
    seed: Annotated[int, typer.Option(help="Of the simulation.")] = 1,
    json: JsonOption = None,
) -> None:
    """How often each procedure finds a difference where there is none."""
    from cli.console import TerminalListener, console, write_json
    from experiments.aa import AaConfig, simulate
    from pipelines.progress import Stages

    config = AaConfig(runs=runs, viewers=viewers, alpha=alpha, seed=seed)
    with Stages(TerminalListener())("A/A tests") as stage:
        found = simulate(config, stage.advance)
    verdict = "[green]The procedures keep their promise[/]" if found.holds else "[red]A procedure cries wolf too often[/]"
    console.print(f"{verdict}: at most {found.bound} of {runs:,} by chance at α = {alpha:g}.")
    console.print(f"  looking once, at the end            {found.fixed:>6,}")
    console.print(f"  always valid, after every pair      {found.always_valid:>6,}   (after {config.burn_in} viewers)")
    console.print(f"  [dim]fixed-horizon test at every look    {found.peeking:>6,}   what peeking does[/]")
    console.print(f"  [dim]impressions taken as independent    {found.per_impression:>6,}   what forgetting viewers does[/]")
    write_json(json, {**asdict(config), **asdict(found), "bound": found.bound, "holds": found.holds})


def _show_value(found: "OffPolicy | None") -> None:
    from rich.markup import escape

    from cli.console import console

    if found is None:
        return
    best, check = found.estimates[found.recommended], found.check
    console.print(
        f"  clicks a page    {found.behaviour.mean:.4g} as served; with these settings {best.mean:.4g} ({_range(best)})"
    )
    console.print(f"  effective pages  {check.ess:,.0f} of {check.num_rows:,}; mean weight {check.mean_weight:.3f}")
    console.print("  [green]✓[/] weights in order" if found.verdict == "ok" else f"  [red]refused:[/] {escape(found.reason)}")


def _show_outcome(found: "Preference", experiment: "ExperimentConfig") -> None:
    from rich.markup import escape

    from cli.console import console
    from experiments.sequential import BURN_IN

    first, second = (escape(name) for name in experiment.arm_names)
    pages, always = found.outcome, found.always
    sure = always.low > 0 or always.high < 0
    verdict = f"Viewers prefer '{first if always.mean > 0 else second}'." if sure else "No preference can be told yet."
    console.print(f"[bold]{verdict}[/]")
    console.print(f"  merged pages    {pages.pages:,} of {found.viewers:,} viewers")
    console.print(f"  that prefer     '{first}' {pages.wins:,}, '{second}' {pages.losses:,}, neither {pages.ties:,}")
    console.print(f"  Δ for '{first}'  {pages.delta.mean:+.4f}")
    console.print(f"  always valid    {_range(always) if isfinite(always.low) else f'from {BURN_IN} viewers on'}")
    console.print(f"  looked at once  {_range(pages.delta)}; sign test over pages p = {pages.sign_p:.3g}")


def _show(report: "Report", planned_days: int) -> None:
    from rich.markup import escape

    from cli.console import console

    console.print(f"\n[bold]{escape(report.headline)}[/]\n")
    ratio, days = report.sample_ratio, report.days
    mark = "[red]✗[/]" if ratio.mismatch else "[green]✓[/]"
    counts = " / ".join(f"{n:,}" for n in ratio.counts)
    console.print(
        f"  {mark} viewers per arm {counts}, designed {' / '.join(f'{s:.1%}' for s in ratio.shares)}: p = {ratio.p:.3g}"
    )
    missing = f"; without {', '.join(days.missing_weekdays)}" if days.missing_weekdays else "; every weekday seen"
    console.print(
        f"  {'[yellow]·[/]' if days.missing_weekdays else '[green]✓[/]'} {days.length} of {planned_days} planned days{missing}"
    )
    if report.late:
        console.print(f"  [yellow]·[/] {report.late} days after the planned end left out: their place is in a longer plan")
    if report.mixed:
        console.print(f"  [yellow]·[/] {report.mixed:,} viewers dropped: seen in more than one arm")
    for arm in report.arms:
        _show_arm(arm)


def _show_arm(arm: "ArmReport") -> None:
    from rich.markup import escape
    from rich.table import Table

    from cli.console import console

    table = Table(f"'{escape(arm.arm)}'", "control", "arm", "lift", "planned end", "always valid", "p", "", box=None)
    for effect in arm.effects:
        note = effect.role if effect.safety is None else f"guardrail: {effect.safety}"
        saved = f", CUPED −{effect.variance_saved:.0%}" if effect.variance_saved > 0 else ""
        table.add_row(
            escape(effect.metric), f"{effect.control:.4g}", f"{effect.treatment:.4g}",
            f"{effect.lift.mean:+.2%}" if isfinite(effect.lift.mean) else "–",
            _range(effect.difference), _range(effect.always), f"{effect.adjusted_p:.2g}", note + saved,
        )  # fmt: skip
    console.print(table)
    slope = arm.novelty.slope
    if arm.novelty.fading:
        console.print(f"  [yellow]·[/] the effect fades by {abs(slope.mean):.3g} a day (p = {slope.p:.2g}): it may be novelty")


def _range(interval: "Interval") -> str:
    return f"{interval.low:+.3g} … {interval.high:+.3g}"
