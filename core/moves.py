"""Who let which release serve, when, and why: one JSON line per move of a pointer, appended and never changed.

The pointer files are the truth about what serves; this file, beside the folder of releases, is what happened to them. Whoever
moves a pointer writes here: commands, pipelines, and a service that rolls back. A line that a kill tore is passed over.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FILE = "promotions.jsonl"


@dataclass(frozen=True)
class Move:
    """One move of a pointer."""

    at: int
    """Instant, ms."""
    pointer: str
    before: str | None
    after: str | None
    who: str
    why: str
    gates: Mapping[str, str] = field(default_factory=dict)
    """Gate → verdict, where gates were asked."""
    waivers: Sequence[Mapping[str, str]] = ()
    """What was waived, by whom, and why."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def append(folder: Path, made: Move) -> None:
    """Write one move down."""
    handle = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, f"\n{json.dumps(made.to_json())}\n".encode())  # the first end of line closes one that a kill tore
        os.fsync(handle)
    finally:
        os.close(handle)


def read(folder: Path) -> list[Move]:
    """Every move, oldest first."""
    path, found = folder / FILE, []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            found.append(Move(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found
