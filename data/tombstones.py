"""Forgotten viewers: a mark that hides everything of a viewer from whoever reads, now and later.

    <space>/tombstones.json     viewer id → when it was asked for

Snapshots and partitions filter by it when they are opened, so a forgotten viewer is in no new training run, even when the
source delivers the viewer again. What a mark does not do: the bytes in old snapshots stay until `data.retention` removes these
(partitions lose theirs at the next compaction), and models trained before still stand on them. Uploads and removals belong to
the catalogue; their actor is a channel, not a viewer.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from core import columns as c
from core import events as ev
from core import files
from data.dataset import Dataset

FILE_NAME = "tombstones.json"


@dataclass(frozen=True)
class Tombstones:
    """Viewer id → instant (ms) of the request."""

    forgotten_at: Mapping[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.forgotten_at)

    @property
    def touches(self) -> pl.Expr:
        """True for events of a forgotten viewer."""
        return pl.col(c.VIEWER_ID).is_in(list(self.forgotten_at)) & ~pl.col(c.KIND).is_in([ev.UPLOAD, ev.REMOVE])

    def events(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Events without those of forgotten viewers, in the same order."""
        return frame.filter(~self.touches) if self.forgotten_at else frame

    def viewers(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Viewers without the forgotten ones, in the same order."""
        return frame.filter(~pl.col(c.VIEWER_ID).is_in(list(self.forgotten_at))) if self.forgotten_at else frame

    def dataset(self, found: Dataset) -> Dataset:
        """A dataset without forgotten viewers."""
        if not self.forgotten_at:
            return found
        return replace(found, events=self.events(found.events), viewers=self.viewers(found.viewers))


def read(space: Path) -> Tombstones:
    """The tombstones of a space; none when there is no file."""
    try:
        stored = json.loads((space / FILE_NAME).read_text())
    except FileNotFoundError:
        return Tombstones()
    return Tombstones({int(viewer): int(at) for viewer, at in stored.items()})


def forget(space: Path, viewer_ids: Iterable[int], at: int) -> Tombstones:
    """Mark viewers; the first request's instant stays. Forgetting twice is forgetting once."""
    marked = dict(read(space).forgotten_at)
    for viewer_id in viewer_ids:
        marked.setdefault(viewer_id, at)
    files.replace_text(space / FILE_NAME, json.dumps({str(viewer): when for viewer, when in sorted(marked.items())}, indent=1))
    return Tombstones(marked)
