"""How much of a shared event log may go: its server keeps all of it in memory.

An event may go when the daily partitions have it, when every release that a pointer names was trained after it, and while no
experiment runs: which arm a viewer met first is read from the log. Whoever reads the log offline finds what went in the
partitions (`pipelines.ingest.live_events`). Knows nothing of how a log lets go: see `data.stream_log`.
"""

import json
from dataclasses import dataclass

from core import release
from data import partitions
from experiments import served
from pipelines.spaces import Space
from serving.releases import LINEAGE


@dataclass(frozen=True)
class Bound:
    """How far a log may be trimmed."""

    upto: int
    """The last offset that may go; 0 when nothing may."""
    because: str
    """What keeps the next one."""


def bound(space: Space) -> Bound:
    """The bound of a space now.

    Raises:
        ReleaseRefused: a release that a pointer names cannot be read, so it might need anything.
        BadInput: the file of experiments cannot be read.
    """
    if served.read(space.path) is not None:
        return Bound(0, "an experiment runs, and which arm a viewer met first is read from the log")
    ends = [(partitions.describe(space.partitions).log_offset, "the daily partitions end there: run `upnext data ingest`")]
    for pointer in release.POINTERS:
        release_id = release.resolve(space.releases, pointer)
        if release_id is not None:
            lineage = json.loads((release.load(space.releases, release_id).path / LINEAGE).read_text())
            ends.append((int(lineage["log_offset"]), f"release {release_id} ({pointer}) was trained on what came before"))
    return Bound(*min(ends))
