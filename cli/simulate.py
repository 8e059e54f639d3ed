"""`upnext simulate`: viewers of the world visit the running service."""

from typing import Annotated

import typer


def simulate(
    url: Annotated[str, typer.Option(help="The running service.")] = "http://127.0.0.1:8000",
    space: Annotated[str | None, typer.Option(help="World to draw viewers from; the last trained one by default.")] = None,
    rate: Annotated[float, typer.Option(help="Pages per second.")] = 5.0,
    seconds: Annotated[float | None, typer.Option(help="Stop after this long; default: until interrupted.")] = None,
    seed: Annotated[int, typer.Option(help="Which viewers come, and what they like.")] = 1,
    quiet: Annotated[bool, typer.Option(help="No progress line.")] = False,
) -> None:
    """Let viewers of the world ask for pages, watch, like and leave."""
    import time

    from cli.console import console
    from core import settings
    from pipelines import simulate as simulation
    from pipelines import spaces

    chosen = spaces.current(settings.load().var_dir, space)
    began = last = time.monotonic()
    for totals in simulation.visits(chosen, url, rate=rate, seed=seed, seconds=seconds):
        if not quiet and time.monotonic() - last >= 1.0:
            last = time.monotonic()
            console.print(
                f"  {last - began:6.0f} s  {totals.pages:6d} pages  {totals.clicks:6d} clicks  {totals.failures} failures"
            )
