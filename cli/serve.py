"""`upnext serve`: the live release behind HTTP."""

from typing import Annotated

import typer


def serve(
    space: Annotated[str | None, typer.Option(help="Dataset to serve; the last trained one by default.")] = None,
    host: Annotated[str, typer.Option(help="Address to bind; loopback unless you say otherwise.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to bind.")] = 8000,
    release: Annotated[str, typer.Option(help="Release id or pointer to serve.")] = "live",
) -> None:
    """Serve recommendations and pages from the live release."""
    from core import settings

    settings.one_thread_per_library()
    from app import server
    from pipelines import spaces

    environment = settings.load()
    chosen = spaces.current(environment.var_dir, space)
    server.run(environment, releases=chosen.releases, events=chosen.events, pointer=release, host=host, port=port)
