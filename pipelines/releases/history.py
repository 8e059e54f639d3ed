"""Who let which release serve, when, and why: one JSON line per move of a pointer, appended and never changed.

The pointer files are the truth about what serves; this file is what happened to them. A line that a kill tore is passed over.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from core import release
from pipelines.spaces import Space

FILE = "promotions.jsonl"


@dataclass(frozen=True)
class Signed:
    """Who moves a pointer, and when."""

    who: str
    at: int
    """Instant, ms."""


@dataclass(frozen=True)
class Move:
    """One move of a pointer."""

    at: int
    pointer: str
    before: str | None
    after: str | None
    who: str
    why: str
    gates: Mapping[str, str] = field(default_factory=dict)
    """Gate → verdict, where gates were asked."""
    waivers: Sequence[Mapping[str, str]] = ()
    """What was waived, by whom, and why."""


def move(
    space: Space,
    pointer: str,
    release_id: str | None,
    signed: Signed,
    why: str,
    *,
    gates: Mapping[str, str] | None = None,
    waivers: Sequence[Mapping[str, str]] = (),
) -> Move | None:
    """Let `pointer` name `release_id`, or nothing, and write that down; None when it did already.

    Raises:
        ReleaseRefused: there is no such release.
    """
    before = release.resolve(space.releases, pointer)
    if before == release_id:
        return None
    if release_id is None:
        release.clear(space.releases, pointer)
    else:
        release.point(space.releases, pointer, release_id)
    made = Move(signed.at, pointer, before, release_id, signed.who, why, gates or {}, waivers)
    _append(space, made)
    return made


def read(space: Space) -> list[Move]:
    """Every move, oldest first."""
    path, found = space.path / FILE, []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            found.append(Move(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def to_json(made: Move) -> dict[str, Any]:
    """Plain values."""
    return asdict(made)


def _append(space: Space, made: Move) -> None:
    handle = os.open(space.path / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, f"\n{json.dumps(to_json(made))}\n".encode())  # the first end of line closes one that a kill tore
        os.fsync(handle)
    finally:
        os.close(handle)
