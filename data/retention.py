"""Which snapshots may go: those that no release, no pointer and no comparison needs. Says so first, removes when told to.

A snapshot stays when a release names it (the reason lists the pointers that name the release), when it is the accepted one that
new data is compared with, and when it is the newest, which a run in progress may be about to name. Removal renames first, so
that a half-removed snapshot is never seen.
"""

import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from core import files, release
from core.clock import DAY_MS
from core.errors import BadInput
from data import profile, versioning

_LEFTOVERS = (".staged-*", ".removed-*")


@dataclass(frozen=True)
class Fate:
    """What happens to one snapshot, and why."""

    snapshot_id: str
    size: int
    """Bytes."""
    needed_by: tuple[str, ...]
    """Who needs it: `release e040… (live)`, `accepted`, `newest`."""
    removed: bool
    """Whether it goes: nobody needs it, or it was forced."""


def needed_by(snapshots: Path, releases: Path) -> dict[str, tuple[str, ...]]:
    """Snapshot id → who needs it.

    Raises:
        ReleaseRefused: a release that cannot be read might need anything, so nothing can be said.
    """
    pointers = {name: release.resolve(releases, name) for name in release.POINTERS}
    reasons: dict[str, list[str]] = {found.snapshot_id: [] for found in versioning.list_snapshots(snapshots)}
    if reasons:
        reasons[list(reasons)[-1]].append("newest")
    for release_id in release.names(releases):
        marks = ", ".join(name for name, target in pointers.items() if target == release_id)
        named = release.load(releases, release_id).manifest.snapshot
        reasons.setdefault(named, []).append(f"release {release_id}" + (f" ({marks})" if marks else ""))
    accepted = profile.accepted(snapshots)
    if accepted:
        reasons.setdefault(accepted.snapshot_id, []).append("accepted")
    return {snapshot_id: tuple(found) for snapshot_id, found in reasons.items()}


def collect(snapshots: Path, releases: Path, now: int, force: Collection[str] = (), *, apply: bool = False) -> list[Fate]:
    """Say what would go, and with `apply` remove it. Leftovers of crashed writers go too when they are over a day old.

    Args:
        snapshots: root of the snapshots.
        releases: root of the releases that may name them.
        now: the present instant, ms.
        force: snapshots that go although somebody needs them; a release then no longer finds what it learned from.
        apply: remove; otherwise only say.

    Raises:
        BadInput: a forced snapshot does not exist.
        ReleaseRefused: see `needed_by`.
    """
    for snapshot_id in force:
        versioning.describe(snapshots, snapshot_id)
    reasons = needed_by(snapshots, releases)
    fates = [
        Fate(found.snapshot_id, files.size_of(found.path), needed, not needed or found.snapshot_id in force)
        for found in versioning.list_snapshots(snapshots)
        for needed in [reasons[found.snapshot_id]]
    ]
    if apply:
        for fate in fates:
            if fate.removed:
                os.rename(snapshots / fate.snapshot_id, snapshots / f".removed-{fate.snapshot_id}")
        _sweep(snapshots, now)
    return fates


def _sweep(snapshots: Path, now: int) -> None:
    for pattern in _LEFTOVERS:
        for leftover in snapshots.glob(pattern):
            if pattern == ".removed-*" or leftover.stat().st_mtime * 1_000 < now - DAY_MS:
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def resolve(snapshots: Path, releases: Path, name: str) -> str:
    """A snapshot id from itself, a release id, a pointer (`live`), `accepted`, or `newest`.

    Raises:
        BadInput: nothing goes by that name.
    """
    if name == "newest":
        found = versioning.list_snapshots(snapshots)
        if not found:
            raise BadInput(f"there are no snapshots in {snapshots}; run `upnext train` first")
        return found[-1].snapshot_id
    if name == "accepted":
        accepted = profile.accepted(snapshots)
        if accepted is None:
            raise BadInput("no snapshot was accepted yet; run `upnext data validate --accept`")
        return accepted.snapshot_id
    release_id = release.named(releases, name) or name
    if (releases / release_id).is_dir():
        return release.load(releases, release_id).manifest.snapshot
    return versioning.describe(snapshots, name).snapshot_id
