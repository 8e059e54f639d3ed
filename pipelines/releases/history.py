"""Moving pointers of a space, written down: who let which release serve, when, and why (`core.moves`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core import moves, release
from core.moves import Move
from pipelines.spaces import Space


@dataclass(frozen=True)
class Signed:
    """Who moves a pointer, and when."""

    who: str
    at: int
    """Instant, ms."""


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
    moves.append(space.path, made)
    return made


def read(space: Space) -> list[Move]:
    """Every move, oldest first."""
    return moves.read(space.path)
