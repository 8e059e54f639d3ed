"""`upnext batch`: home pages of all viewers ahead of time, and the videos nearest to them."""

from pathlib import Path
from typing import Annotated

import typer


def batch(
    space: Annotated[str | None, typer.Option(help="Dataset; the last trained one by default.")] = None,
    release: Annotated[str, typer.Option(help="Release id or pointer.")] = "live",
    k: Annotated[int, typer.Option(help="Videos of a page; requests for more are computed.", min=1, max=100)] = 24,
    nearest: Annotated[
        int,
        typer.Option(help="Videos near to each viewer to keep, for when a search fails or is spared.", min=0, max=500),
    ] = 400,
    workers: Annotated[int, typer.Option(help="Processes that decide beside each other.", min=1, max=64)] = 1,
    batch_size: Annotated[int, typer.Option(help="Pages decided at once.", min=1, max=4_096)] = 32,
    json: Annotated[Path | None, typer.Option(help="Write sizes, rates and the ratio here.")] = None,
) -> None:
    """Make everybody's home page ahead of time, and find the videos nearest to them.

    `upnext serve --hybrid` shows the page to whoever did nothing since; for others the videos are at hand when a search fails.
    """
    from functools import partial

    from cli.console import TerminalListener, console, write_json
    from core import settings

    settings.one_thread_per_library()
    from data.logs import open_log
    from features import redis_server
    from pipelines import batch as pages
    from pipelines import spaces
    from pipelines.progress import Stages

    environment = settings.load()
    chosen = spaces.current(environment.var_dir, space)
    stages = Stages(TerminalListener())
    events = partial(open_log, chosen.events, environment.log_url)
    with redis_server.running(environment) as store_url:
        found = pages.run(
            chosen.releases, events, store_url, stages,
            pointer=release, k=k, nearest=nearest, batch_size=batch_size, workers=workers,
        )  # fmt: skip
    console.print(
        f"  {found.pages:,} of {found.viewers:,} viewers have a page, {found.bytes / 1e6:,.1f} MB; "
        f"{found.pages_per_s:,.0f} a second; {found.ratio:.2f} times one at a time by batching (at most {found.limit:.2f})"
    )
    write_json(json, {**found.to_json(), "stages": stages.to_json()})
