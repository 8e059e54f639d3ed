"""How progress and results look in a terminal."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

console = Console(stderr=True, highlight=False)


class TerminalListener:
    """A `pipelines.progress.Listener`: one line per finished stage, a bar for each that runs."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("  [bold]{task.description:<22}"),
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=console,
            transient=True,
        )
        self._running: dict[str, TaskID] = {}

    def started(self, name: str) -> None:
        """Show a bar."""
        self._progress.start()
        self._running[name] = self._progress.add_task(name, total=1.0, note="")

    def advanced(self, name: str, share: float, note: str) -> None:
        """Move it."""
        if name in self._running:
            self._progress.update(self._running[name], completed=share, note=note)

    def finished(self, name: str, seconds: float, note: str) -> None:
        """Replace the bar by a line."""
        if name in self._running:
            self._progress.remove_task(self._running.pop(name))
        if not self._running:
            self._progress.stop()
        console.print(f"  [green]✓[/] {name:<22}[cyan]{seconds:7.1f} s[/]  [dim]{note}[/]")


def write_json(path: Path | None, payload: Any) -> None:
    """Write a machine-readable report where `--json` asked for one."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(payload, indent=1, default=str, allow_nan=False) + "\n")
        console.print(f"  [dim]wrote {path}[/]")
