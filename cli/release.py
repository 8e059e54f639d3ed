"""`upnext release …`: list, show, verify, promote, roll back."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Releases: list, show, verify, promote, roll back.", no_args_is_help=True, rich_markup_mode=None)

SpaceOption = Annotated[str | None, typer.Option(help="Dataset whose releases are meant; the last trained one by default.")]
JsonOption = Annotated[Path | None, typer.Option(help="Write the result here as JSON.")]


def _root(space: str | None) -> Path:
    from core import settings
    from pipelines import spaces

    return spaces.current(settings.load().var_dir, space).releases


def _resolve(root: Path, release_id: str) -> str:
    from core import release

    return release.resolve(root, release_id) or release_id if release_id in release.POINTERS else release_id


@app.command(name="list")
def list_(space: SpaceOption = None, json: JsonOption = None) -> None:
    """All releases, newest last, with the pointers that name them."""
    from cli.console import console, write_json
    from core import release

    root = _root(space)
    pointers = {name: release.resolve(root, name) for name in release.POINTERS}
    rows = []
    for release_id in release.names(root):
        manifest = release.load(root, release_id).manifest
        marks = [name for name, target in pointers.items() if target == release_id]
        created = datetime.fromtimestamp(manifest.created_at / 1000, UTC).isoformat(timespec="seconds")
        rows.append({"release_id": release_id, "created_at": created, "pointers": marks})
        console.print(f"{release_id}  {created}  {', '.join(marks)}")
    write_json(json, {"releases": rows})


@app.command()
def show(release_id: str, space: SpaceOption = None, json: JsonOption = None) -> None:
    """The manifest of one release (an id, or a pointer such as `live`)."""
    from dataclasses import asdict

    from rich import print_json

    from cli.console import write_json
    from core import release

    root = _root(space)
    manifest = asdict(release.load(root, _resolve(root, release_id)).manifest)
    print_json(data=manifest)
    write_json(json, manifest)


@app.command()
def verify(release_id: str, space: SpaceOption = None) -> None:
    """Read every byte and compare with the manifest, then load it as the service would."""
    from cli.console import console
    from serving import releases

    root = _root(space)
    wanted = _resolve(root, release_id)
    releases.load_release(root, wanted, verify=True)
    console.print(f"[green]✓[/] {wanted} is whole and loads")


@app.command()
def promote(release_id: str, space: SpaceOption = None) -> None:
    """Let `live` name this release, after verifying it; the old one stays as `previous`."""
    from cli.console import console
    from core import release
    from serving import releases

    root = _root(space)
    wanted = _resolve(root, release_id)
    releases.load_release(root, wanted, verify=True)
    release.point(root, "live", wanted)
    console.print(f"[green]✓[/] live → {wanted}")


@app.command()
def rollback(space: SpaceOption = None) -> None:
    """Let `live` name the previous release again."""
    from cli.console import console
    from core import release
    from core.errors import ReleaseRefused

    root = _root(space)
    previous = release.resolve(root, "previous")
    if previous is None:
        raise ReleaseRefused("there is no previous release to go back to")
    release.point(root, "live", previous)
    console.print(f"[green]✓[/] live → {previous}")
