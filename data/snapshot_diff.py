"""What changed between two snapshots: rows by day and kind, viewers and videos that came or went, and distributions that moved.

Both are read as they open today, without forgotten viewers. Days whose files agree are not looked into. An event counts as
changed when its id is in both on the same day with other fields; one that moved to another day was removed and added.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from core import columns as c
from data import expectations, profile, tombstones, versioning
from data.expectations import Outcome
from data.severity import OK
from data.tombstones import Tombstones

ADDED, REMOVED, CHANGED = "added", "removed", "changed"


@dataclass(frozen=True)
class SnapshotDiff:
    """From one snapshot to another."""

    before: str
    after: str
    rows: pl.DataFrame
    """day, kind, added, removed, changed: days and kinds with any."""
    catalogues: dict[str, dict[str, int]]
    """viewers and videos → added, removed, changed."""
    moved: tuple[Outcome, ...]
    """Distributions and empty fields that shifted, see `expectations`. Rows in both make a shift look smaller."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "before": self.before,
            "after": self.after,
            "rows": self.rows.to_dicts(),
            **self.catalogues,
            "moved": [asdict(outcome) for outcome in self.moved],
        }


def diff(root: Path, before: str, after: str) -> SnapshotDiff:
    """Compare two snapshots under `root`.

    Raises:
        BadInput: there is no such snapshot.
    """
    old, new = versioning.describe(root, before), versioning.describe(root, after)
    marked = tombstones.read(root.parent)
    was, now = versioning.days(old), versioning.days(new)
    parts = [_day(day, was.get(day), now.get(day), marked) for day in sorted({*was, *now})]
    first, second = versioning.open_snapshot(root, before), versioning.open_snapshot(root, after)
    catalogues = {
        "viewers": _changes(first.viewers, second.viewers, c.VIEWER_ID),
        "videos": _changes(first.videos, second.videos, c.VIDEO_ID),
    }
    known = profile.histograms(first)
    shifts = expectations.shifts(known, profile.histograms(second, known))
    moved = tuple(outcome for outcome in shifts if outcome.severity != OK)
    return SnapshotDiff(before, after, pl.concat(parts), catalogues, moved)


def _day(day: str, before: Path | None, after: Path | None, marked: Tombstones) -> pl.DataFrame:
    old, new = (_events(path, marked) for path in (before, after))
    if old.equals(new):
        old, new = old.clear(), new.clear()
    found = _states(old, new, c.EVENT_ID, c.KIND)
    counted = found.group_by(c.KIND).agg(
        (pl.col("state") == s).sum().cast(pl.Int64).alias(s) for s in (ADDED, REMOVED, CHANGED)
    )
    return counted.select(pl.lit(day).alias("day"), pl.all()).sort(c.KIND)


def _events(path: Path | None, marked: Tombstones) -> pl.DataFrame:
    return marked.events(pl.read_parquet(path)) if path else pl.DataFrame(pl.from_arrow(c.EVENTS.empty_table()))


def _changes(old: pl.DataFrame, new: pl.DataFrame, key: str) -> dict[str, int]:
    states = _states(old, new, key, key)["state"]
    return {state: int((states == state).sum()) for state in (ADDED, REMOVED, CHANGED)}


def _states(old: pl.DataFrame, new: pl.DataFrame, key: str, label: str) -> pl.DataFrame:
    """`label` and state (added, removed, changed) of the rows that are not the same in both."""
    gone, came = old.join(new, on=key, how="anti"), new.join(old, on=key, how="anti")
    stayed_old, stayed_new = (a.join(b, on=key, how="semi").sort(key) for a, b in ((old, new), (new, old)))
    changed = stayed_new.filter(stayed_new.hash_rows() != stayed_old.select(stayed_new.columns).hash_rows())
    parts = ((came, ADDED), (gone, REMOVED), (changed, CHANGED))
    return pl.concat([part.select(label, pl.lit(state).alias("state")) for part, state in parts])
