"""`upnext refresh`: the live release brought up to the end of the log, without training."""

from pathlib import Path
from typing import Annotated

import typer


def refresh(
    space: Annotated[str | None, typer.Option(help="Dataset that is meant; the last trained one by default.")] = None,
    to: Annotated[str, typer.Option(help="live | candidate: what the new release becomes.")] = "live",
    by: Annotated[str | None, typer.Option("--by", help="Who does this, for the history; the account by default.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result here as JSON.")] = None,
) -> None:
    """Bring the live release up to the end of the log, without training: uploads, removals, statistics, one index.

    What needs training stays as it is: vectors of ids, the layers of towers and ranker. Seconds instead of minutes.
    """
    from cli.console import TerminalListener, console, write_json
    from cli.release import mirror, open_space, sign
    from pipelines.progress import Stages
    from pipelines.releases import refresh as refreshing

    where = open_space(space)
    done = refreshing.refresh(where, sign(by), Stages(TerminalListener()), to=to)
    if done.release_id == done.before_id:
        console.print(f"  nothing has happened since release {done.before_id} was made")
    else:
        made = f"{done.videos:,} videos, {done.uploads:,} of them new, {done.removals:,} gone"
        console.print(f"[green]✓[/] {done.to} → {done.release_id}: {made}")
        if done.to == "live":
            console.print("  [dim]a running service takes it over when told to: /ops/tables, or POST /admin/reload[/]")
        mirror(where)
    write_json(json, done.to_json())
