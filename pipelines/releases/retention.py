"""Which releases may go: all but the newest few and those that somebody needs. Says so first, removes when told to.

A release stays when it is among the newest `keep`, when a pointer names it (live, previous, candidate, canary, shadow), or when
an experiment does. Removal renames first, so that a half-removed release is never seen; a service that still maps its files
goes on. The history and the registry's past keep its name. A server that was started with a release's own id as its pointer
is not known here: keep enough for it.
"""

import os
import shutil
from collections import defaultdict
from dataclasses import dataclass

from core import files, release
from core.clock import DAY_MS
from core.errors import BadInput, ReleaseRefused
from experiments import served
from pipelines.spaces import Space

_REMOVED = ".removed-"


@dataclass(frozen=True)
class Fate:
    """What happens to one release, and why."""

    release_id: str
    size: int
    """Bytes."""
    needed_by: tuple[str, ...]
    """Who needs it: `live`, `experiments`, `newest 5`."""

    @property
    def removed(self) -> bool:
        """Whether it goes: nobody needs it."""
        return not self.needed_by


def needed_by(space: Space, keep: int) -> dict[str, tuple[str, ...]]:
    """Release id → who needs it, oldest release first.

    Raises:
        BadInput: `keep` is negative, or the experiments' file cannot be read, and might name any release.
        ReleaseRefused: a pointer or an experiment names a release that is not there.
    """
    if keep < 0:
        raise BadInput(f"{keep} releases cannot be kept")
    reasons: dict[str, list[str]] = defaultdict(list)
    for pointer in release.POINTERS:
        if named := release.resolve(space.releases, pointer):
            reasons[named].append(pointer)
    running = served.read(space.path)
    for name in running.releases if running else ():
        if target := release.named(space.releases, name):
            reasons[target].append("experiments")
    present = release.names(space.releases)
    for release_id in present[len(present) - min(keep, len(present)) :]:
        reasons[release_id].append(f"newest {keep}")
    if lost := reasons.keys() - set(present):
        raise ReleaseRefused(
            f"release {min(lost)} is needed ({', '.join(reasons[min(lost)])}) and not there; nothing is removed"
        )
    return {release_id: tuple(reasons[release_id]) for release_id in present}


def collect(space: Space, keep: int, now: int, *, apply: bool = False) -> list[Fate]:
    """Say what would go, and with `apply` remove it. Leftovers of crashed publishers go too when they are over a day old.

    Args:
        space: whose releases.
        keep: how many of the newest stay, whoever needs them.
        now: the present instant, ms.
        apply: remove; otherwise only say.

    Raises:
        BadInput, ReleaseRefused: see `needed_by`.
    """
    needed = needed_by(space, keep)
    fates = [Fate(name, files.size_of(space.releases / name), why) for name, why in needed.items()]
    if apply:
        for fate in fates:
            if fate.removed:
                os.rename(space.releases / fate.release_id, space.releases / f"{_REMOVED}{fate.release_id}")
        _sweep(space, now)
    return fates


def _sweep(space: Space, now: int) -> None:
    """What was renamed, also by a run that was killed since, and what publishers left a day ago."""
    left = list(space.releases.glob(f"{files.STAGED}*"))
    stale = [path for path in left if path.stat().st_mtime * 1_000 < now - DAY_MS]
    for path in [*space.releases.glob(f"{_REMOVED}*"), *stale]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
