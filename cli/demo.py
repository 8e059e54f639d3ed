"""`upnext demo`: world → train → publish → serve → simulated viewers, in one command."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer


def demo(
    preset: Annotated[str, typer.Option(help="tiny (seconds) | demo (minutes) | full")] = "demo",
    serve: Annotated[bool, typer.Option(help="Serve the result and start simulated viewers.")] = True,
    host: Annotated[str, typer.Option(help="Address to bind.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to bind.")] = 8000,
    json: Annotated[Path | None, typer.Option(help="Write leaderboard, release id and stages here.")] = None,
) -> None:
    """Generate a world of viewers and videos, train, publish, serve it, and let viewers come."""
    from cli.console import console
    from core import settings
    from core.process import require_free_port, require_safe_address

    if serve:
        require_safe_address(host, settings.load().admin_token)
        require_free_port(host, port)
    console.print(f"[bold]upnext demo[/] · preset {preset}")
    _train_in_child(preset, json)
    if serve:
        _serve_until_interrupted(host, port)


def _train_in_child(preset: str, json: Path | None) -> None:
    # A child, so that the memory of training is gone before the service starts.
    command = [sys.executable, "-m", "cli.main", "train", "--source", "world", "--preset", preset, "--no-gates"]
    finished = subprocess.run([*command, *(["--json", str(json)] if json else [])], check=False)
    if finished.returncode:
        raise typer.Exit(finished.returncode)


def _serve_until_interrupted(host: str, port: int) -> None:
    from cli.console import console
    from core.process import answers, start_child, stop_children

    url = f"http://{host}:{port}"
    children = [start_child([sys.executable, "-m", "cli.main", "serve", "--host", host, "--port", str(port)])]
    try:
        if not answers(f"{url}/readyz", children[0]):
            raise typer.Exit(children[0].returncode or 1)
        children.append(start_child([sys.executable, "-m", "cli.main", "simulate", "--url", url, "--quiet"]))
        console.print(f"\n  [bold green]upnext is running[/] — simulated viewers are watching\n\n    page        {url}/")
        console.print(f"    operations  {url}/ops\n    API         {url}/docs\n\n  Ctrl-C ends everything.")
        children[0].wait()
    except KeyboardInterrupt:
        console.print("\n  stopping …")
    finally:
        stop_children(children)
