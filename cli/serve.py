"""`upnext serve`: the live release behind HTTP."""

from typing import Annotated

import typer


def serve(
    space: Annotated[str | None, typer.Option(help="Dataset to serve; the last trained one by default.")] = None,
    host: Annotated[str, typer.Option(help="Address to bind; loopback unless you say otherwise.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to bind.")] = 8000,
    release: Annotated[str, typer.Option(help="Release id or pointer to serve.")] = "live",
    workers: Annotated[
        int,
        typer.Option(
            help="Processes that answer on the port; worker n also answers alone at port + n on loopback.", min=1, max=64
        ),
    ] = 1,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go along when the pointer moves: for several servers of one space.")
    ] = False,
    hybrid: Annotated[
        bool, typer.Option("--hybrid", help="Show pages made by `upnext batch` to viewers who did nothing since.")
    ] = False,
    spare_search: Annotated[
        bool,
        typer.Option(
            "--spare-search", help="With --hybrid: take the nearest videos that `upnext batch` found without a search."
        ),
    ] = False,
    page_age_s: Annotated[float, typer.Option(help="With --hybrid: oldest that is used, in seconds.", min=1)] = 21_600.0,
) -> None:
    """Serve recommendations and pages from the live release."""
    from core import settings

    settings.one_thread_per_library()
    settings.small_allocators()
    settings.without_pandas()
    from app import server
    from pipelines import spaces

    environment = settings.load()
    chosen = spaces.current(environment.var_dir, space)
    site = server.Site(chosen.releases, chosen.events, release, host, port, follow, page_age_s if hybrid else 0.0, spare_search)
    server.run(environment, site, workers)
