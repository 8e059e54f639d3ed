"""`upnext data …`: what a dataset is, whether it is fit to learn from, what changed, what is kept, and who is forgotten."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from data.dataset import Dataset
    from data.profile import Profile
    from data.validation_report import ValidationReport
    from pipelines.spaces import Space

app = typer.Typer(help="Data: check, compare, keep, forget.", no_args_is_help=True, rich_markup_mode=None)

SpaceOption = Annotated[str | None, typer.Option(help="Dataset; the last trained one by default.")]
JsonOption = Annotated[Path | None, typer.Option(help="Write the result here as JSON.")]
NameArgument = Annotated[str, typer.Argument(help="A snapshot, a release, a pointer such as live, `accepted`, or `newest`.")]


def _space(name: str | None) -> "Space":
    from core import settings
    from pipelines import spaces

    return spaces.current(settings.load().var_dir, name)


def _resolve(space: "Space", name: str) -> str:
    from data import retention

    return retention.resolve(space.snapshots, space.releases, name)


@app.command(name="list")
def list_(space: SpaceOption = None, json: JsonOption = None) -> None:
    """All snapshots, newest last: what they hold, who needs them, whether they can still be reproduced."""
    from rich.table import Column, Table

    from cli.console import console, write_json
    from core.clock import stamp
    from data import retention, tombstones, versioning

    chosen = _space(space)
    marked, needed = tombstones.read(chosen.path), retention.needed_by(chosen.snapshots, chosen.releases)
    table = Table(Column("snapshot", no_wrap=True), "events", "viewers", "videos", "until", "needed by", "state", box=None)
    rows = []
    for found in versioning.list_snapshots(chosen.snapshots):
        lost, reasons = versioning.forgotten(found, marked), needed[found.snapshot_id]
        rows.append({**versioning.to_json(found), "needed_by": reasons, "forgotten_viewers": lost, "reproducible": not lost})
        sizes = (f"{size:,}" for size in (found.num_events, found.num_viewers, found.num_videos))
        table.add_row(found.snapshot_id, *sizes, stamp(found.last_at), "; ".join(reasons) or "nobody", _standing(lost))
    console.print(table)
    write_json(json, {"space": chosen.name, "snapshots": rows})


def _standing(lost: int) -> str:
    return f"{lost} viewers forgotten since: cannot be reproduced" if lost else "reproducible"


@app.command()
def show(snapshot: NameArgument = "newest", space: SpaceOption = None, json: JsonOption = None) -> None:
    """What is written down about one snapshot."""
    from rich import print_json

    from cli.console import write_json
    from data import tombstones, versioning

    chosen = _space(space)
    found = versioning.describe(chosen.snapshots, _resolve(chosen, snapshot))
    lost = versioning.forgotten(found, tombstones.read(chosen.path))
    facts = {**versioning.to_json(found), "forgotten_viewers": lost, "reproducible": not lost}
    print_json(data=facts)
    write_json(json, facts)


@app.command()
def verify(snapshot: NameArgument = "newest", space: SpaceOption = None, json: JsonOption = None) -> None:
    """Read every value of a snapshot and compare with its name; says when forgotten viewers keep it from being reproduced."""
    from cli.console import console, write_json
    from data import tombstones, versioning

    chosen = _space(space)
    wanted = _resolve(chosen, snapshot)
    versioning.open_snapshot(chosen.snapshots, wanted, verify=True)
    lost = versioning.forgotten(versioning.describe(chosen.snapshots, wanted), tombstones.read(chosen.path))
    console.print(f"[green]✓[/] {wanted} is stored as its name says; {_standing(lost)}")
    write_json(json, {"snapshot_id": wanted, "forgotten_viewers": lost, "reproducible": not lost})


@app.command()
def diff(before: NameArgument, after: NameArgument, space: SpaceOption = None, json: JsonOption = None) -> None:
    """From one snapshot to another: rows by day and kind, viewers, videos, distributions that moved."""
    from rich.table import Table

    from cli.console import console, write_json
    from data import snapshot_diff

    chosen = _space(space)
    found = snapshot_diff.diff(chosen.snapshots, _resolve(chosen, before), _resolve(chosen, after))
    table = Table("day", "kind", "added", "removed", "changed", box=None)
    for day, *row in found.rows.iter_rows():
        table.add_row(day, *(f"{cell:,}" if isinstance(cell, int) else cell for cell in row))
    console.print(table if len(found.rows) else "  events: no difference")
    for name, counts in found.catalogues.items():
        console.print(f"  {name}: " + ", ".join(f"{count:,} {state}" for state, count in counts.items()))
    for outcome in found.moved:
        console.print(f"  [yellow]moved[/] {outcome.what}: {outcome.to_text()}")
    write_json(json, found.to_json())


@app.command()
def validate(
    snapshot: NameArgument = "newest",
    source: Annotated[str | None, typer.Option(help="Check a log instead: movielens | recbole | kuairand | csv")] = None,
    path: Annotated[Path | None, typer.Option(help="Folder or file of that log.")] = None,
    mapping: Annotated[Path | None, typer.Option(help="For csv: which column is which.")] = None,
    accept: Annotated[bool, typer.Option("--accept", help="From now on compare new data with this, unless it fails.")] = False,
    despite: Annotated[bool, typer.Option("--despite-failures", help="Accept it all the same.")] = False,
    quarantine: Annotated[Path | None, typer.Option(help="Folder for the rows that break a rule.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with every expectation.")] = None,
    space: SpaceOption = None,
    json: JsonOption = None,
) -> None:
    """Rules, references, and what was accepted before: is this data fit to learn from?"""
    from cli.console import console, write_json
    from core.clock import SystemClock
    from core.errors import BadInput
    from data import profile, validation

    if accept and source:
        raise BadInput("only a snapshot can be accepted; `upnext train` takes one of the log first")
    chosen = None if source else _space(space)
    snapshot_id, dataset = _opened(chosen, snapshot, source, path, mapping, quarantine)
    known = profile.accepted((chosen or _space_of_log(path)).snapshots)
    report = validation.check(dataset, accepted=known)
    _show_report(report, known)
    if quarantine is not None:
        _set_aside(dataset, quarantine)
    if chosen is not None:
        report.keep(chosen.path, snapshot_id, SystemClock().now())
    if html is not None:
        report.write_html(html)
    if accept and chosen and (report.ok or despite):
        profile.accept(chosen.snapshots, profile.build(dataset, snapshot_id))
        console.print(f"  accepted {snapshot_id}: new data will be compared with it")
    write_json(json, report.to_json())
    if not report.ok:
        raise typer.Exit(1)


def _opened(
    space: "Space | None", snapshot: str, source: str | None, path: Path | None, mapping: Path | None, quarantine: Path | None
) -> tuple[str, "Dataset"]:
    from cli.console import console
    from core.clock import DAY_MS, SystemClock
    from core.errors import BadInput
    from data import versioning
    from data.sources import registry

    if space is not None:
        snapshot_id = _resolve(space, snapshot)
        return snapshot_id, versioning.open_snapshot(space.snapshots, snapshot_id)
    if source is None or path is None:
        raise BadInput("--source needs --path")
    tomorrow = SystemClock().now() + DAY_MS
    loaded = registry.load(source, path, mapping=mapping, quarantine_dir=quarantine, latest_at=tomorrow)
    for warning in loaded.warnings:
        console.print(f"  [yellow]{warning}[/]")
    return "", loaded.dataset


def _space_of_log(path: Path | None) -> "Space":
    from core import settings
    from pipelines import ingest

    assert path is not None  # or nothing could be opened
    return ingest.space_of_log(path, settings.load().var_dir)


def _show_report(report: "ValidationReport", known: "Profile | None") -> None:
    from rich.markup import escape

    from cli.console import console

    nothing = "nothing accepted to compare with" if known is None else "nothing is newer than what was accepted: no comparison"
    console.print(f"{report.dataset}: {report.summary()}" + ("" if report.outcomes else f"; {nothing}"))
    for finding in report.findings:
        console.print(f"  [{'red' if finding in report.failures else 'yellow'}]{escape(finding.to_text())}[/]")


def _set_aside(dataset: "Dataset", folder: Path) -> None:
    from cli.console import console
    from data import validation

    _, broken = validation.screen(dataset, max_broken=1.0, directory=folder)
    console.print(f"  {len(broken):,} rows break a rule" + (f", written to {broken.path}" if broken.path else ""))


@app.command()
def lineage(name: NameArgument = "live", space: SpaceOption = None, json: JsonOption = None) -> None:
    """From a release or snapshot back to the raw files: path, size, hash, and whether they are still the same."""
    from cli.console import console, write_json
    from core import release
    from data import versioning

    chosen = _space(space)
    found = versioning.describe(chosen.snapshots, _resolve(chosen, name))
    releases = [
        r for r in release.names(chosen.releases) if release.load(chosen.releases, r).manifest.snapshot == found.snapshot_id
    ]
    origin = found.origin
    raw = [{"path": f.path, "size": f.size, "sha256": f.sha256, "state": f.state()} for f in origin.files] if origin else []
    console.print(f"release   {', '.join(releases) or 'none'}")
    version = f"code {found.code_version}, events of version {found.schema_version}, columns {found.schema_hash or 'unknown'}"
    console.print(f"snapshot  {found.snapshot_id}  ({version})")
    if origin is None:
        console.print("source    not written down: the snapshot is older than that")
    else:
        config = f", config {origin.config}" if origin.config else ""
        console.print(f"source    {origin.source}{config}, live log up to offset {origin.log_offset}")
    for file in raw:
        console.print(f"file      {file['path']}  {file['size']:,} bytes  sha256 {file['sha256']}  {file['state']}")
    write_json(json, {"releases": releases, **versioning.to_json(found), "files": raw})


@app.command()
def reproduce(
    name: Annotated[str, typer.Argument(help="A release, or a pointer such as live.")] = "live",
    space: SpaceOption = None,
    json: JsonOption = None,
) -> None:
    """Train a release again, from its snapshot and config, and compare every file. Fails (exit 1) when one differs."""
    from cli.console import TerminalListener, console, write_json
    from core import release
    from core.errors import BadInput

    chosen = _space(space)
    release_id = release.named(chosen.releases, name)
    if release_id not in release.names(chosen.releases):
        known = ", ".join(release.names(chosen.releases)) or "none; run `upnext train` first"
        raise BadInput(f"there is no release '{name}' in '{chosen.name}'; there are: {known}")
    from pipelines.progress import Stages
    from pipelines.releases import reproduce as reproducing

    stages = Stages(TerminalListener())
    found = reproducing.reproduce(chosen, release_id, stages)
    if found.commit != found.commit_now:
        console.print(f"  [yellow]release {release_id} is of commit {found.commit}, this program of {found.commit_now}[/]")
    for file in found.different:
        console.print(f"  [red]✗[/] {file} differs")
    console.print(f"  {len(found.equal)} of {len(found.equal) + len(found.different)} files are equal, byte by byte")
    write_json(json, {**found.to_json(), "stages": stages.to_json()})
    if found.different:
        raise typer.Exit(1)


@app.command()
def gc(
    apply: Annotated[bool, typer.Option("--apply", help="Remove; without it, only say what would go.")] = False,
    force: Annotated[list[str] | None, typer.Option(help="Remove this snapshot although it is needed; repeatable.")] = None,
    space: SpaceOption = None,
    json: JsonOption = None,
) -> None:
    """Remove snapshots that no release, no pointer and no comparison needs."""
    from dataclasses import asdict

    from cli.console import console, write_json
    from core.clock import SystemClock
    from data import retention

    chosen = _space(space)
    fates = retention.collect(chosen.snapshots, chosen.releases, SystemClock().now(), force or (), apply=apply)
    for fate in fates:
        verb = ("removed" if apply else "would go") if fate.removed else "stays"
        console.print(
            f"  {fate.snapshot_id}  {fate.size / 1e6:8.1f} MB  {verb:<9} {'; '.join(fate.needed_by) or 'nobody needs it'}"
        )
    if not apply and any(fate.removed for fate in fates):
        console.print("  nothing was removed; add --apply")
    write_json(json, {"applied": apply, "snapshots": [asdict(fate) for fate in fates]})


@app.command()
def ingest(space: SpaceOption = None, json: JsonOption = None) -> None:
    """Bring what the live log has had since last time into the daily partitions."""
    from cli.console import console, write_json
    from core import settings
    from data import partitions
    from data.logs import existing_log

    chosen = _space(space)
    root, num_new = chosen.partitions, 0
    log = existing_log(chosen.events, settings.load().log_url)
    if log is not None:
        num_new = partitions.follow(root, log)
        log.close()
    found = partitions.describe(root)
    console.print(f"  {num_new:,} new events; {len(found.days)} days, live log up to offset {found.log_offset}")
    write_json(json, {"new": num_new, "days": list(found.days), "log_offset": found.log_offset})


@app.command()
def compact(
    keep_days: Annotated[int | None, typer.Option(help="Drop days this many before the newest and older.", min=1)] = None,
    space: SpaceOption = None,
    json: JsonOption = None,
) -> None:
    """One file per day; forgotten viewers and superseded rows leave the disk."""
    from dataclasses import asdict

    from cli.console import console, write_json
    from data import partitions, tombstones

    chosen = _space(space)
    done = partitions.compact(chosen.partitions, tombstones.read(chosen.path), keep_days)
    console.print(f"  {done.num_files} files → {done.num_files_left}; {done.num_rows_removed:,} rows removed")
    write_json(json, asdict(done))


@app.command()
def trim(
    apply: Annotated[bool, typer.Option("--apply", help="Let go; without it, only say how far.")] = False,
    space: SpaceOption = None,
    json: JsonOption = None,
) -> None:
    """Let a shared event log (UPNEXT_LOG_URL) go of what the daily partitions have and no release in use still needs."""
    from cli.console import console, write_json
    from core import settings
    from core.errors import BadInput
    from data.stream_log import StreamLog
    from pipelines import trim as trimming

    chosen, url = _space(space), settings.load().log_url
    if url is None:
        raise BadInput("the event log of this space is a file, which keeps everything; only a log at UPNEXT_LOG_URL is trimmed")
    found = trimming.bound(chosen)
    log = StreamLog(url, chosen.name)
    num_gone = log.trim(found.upto) if apply else 0
    log.close()
    gone = f"{num_gone:,} events are gone" if apply else "nothing is gone; add --apply"
    console.print(f"  events up to offset {found.upto:,} may go: {found.because}")
    console.print(f"  {gone}")
    write_json(json, {"applied": apply, "upto": found.upto, "because": found.because, "gone": num_gone})


@app.command()
def forget(
    viewers: Annotated[list[str], typer.Argument(help="Viewers, as the source writes them.")],
    space: SpaceOption = None,
    json: JsonOption = None,
) -> None:
    """Hide everything of these viewers from every reader, now and later."""
    from cli.console import console, write_json
    from core import ids
    from core.clock import SystemClock
    from data import tombstones, versioning

    chosen = _space(space)
    marked = tombstones.forget(chosen.path, ids.to_ids(viewers).tolist(), SystemClock().now())
    touched = {found.snapshot_id: versioning.forgotten(found, marked) for found in versioning.list_snapshots(chosen.snapshots)}
    touched = {snapshot_id: lost for snapshot_id, lost in touched.items() if lost}
    console.print(f"  {len(viewers)} marked, {len(marked)} forgotten in all")
    for snapshot_id, lost in touched.items():
        console.print(f"  {snapshot_id}: {_standing(lost)}")
    console.print(
        "  Stored bytes go with `upnext data compact` and `upnext data gc`. Models forget with the next `upnext train`."
    )
    write_json(json, {"forgotten": len(marked), "touched": touched})
