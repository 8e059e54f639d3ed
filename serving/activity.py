"""How much is going on around every video: what trending and fresh candidates are chosen by.

    activity(t)_v = Σ over the windows in which features count such events  (events on v in the window at t) / (its days)

With windows of a day, a week and a month, a click counts 1.18 on its first day, 0.18 in its first week, 0.03 in its first
month: fresh ones decide, and where nothing is fresh, older ones still rank. Two readings of the same formula that agree
exactly: `LiveActivity` from the counters in process, `LoggedActivity` from a log at any past instant.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import events as ev
from core.clock import DAY_MS
from data.catalogue import Catalogue
from features.tiles import COUNT, EventArrays, Sum
from features.video_state import VideoState

Floats = NDArray[np.float32]


def windows(sums: tuple[Sum, ...], event: str) -> tuple[Sum, ...]:
    """The windows in which events of a kind are counted."""
    return tuple(spec for spec in sums if spec.event == event and spec.quantity == COUNT)


def _days(spec: Sum) -> float:
    return spec.tile_ms * spec.tiles / DAY_MS


@dataclass(frozen=True)
class LiveActivity:
    """VideoCounts over the counters that the event stream keeps fresh."""

    videos: VideoState
    of_now: bool = False
    """Whether requests come as time passes, and somebody waits for them; in a simulation lists must not depend on the clock."""

    def clicks(self, at: int) -> Floats:
        """See VideoCounts."""
        return self._rate(ev.CLICK, at)

    def impressions(self, at: int) -> Floats:
        """See VideoCounts."""
        return self._rate(ev.IMPRESSION, at)

    def _rate(self, event: str, at: int) -> Floats:
        rate = np.zeros(len(self.videos.version))
        for spec in windows(self.videos.sums, event):
            rate += self.videos.total(spec, at) / _days(spec)
        return rate.astype(np.float32)


@dataclass(frozen=True)
class _Kind:
    """The events of one kind on known videos, in log order."""

    received_at: NDArray[np.int64]
    event_at: NDArray[np.int64]
    rows: NDArray[np.int32]

    @staticmethod
    def of(arrays: EventArrays, event: str) -> "_Kind":
        at = arrays.positions(event)
        at = at[arrays.video_row[at] >= 0]
        return _Kind(arrays.received_at[at], arrays.event_at[at], arrays.video_row[at])


@dataclass(frozen=True)
class LoggedActivity:
    """VideoCounts over a log, as they were known at any instant."""

    of_now: ClassVar[bool] = False
    kinds: Mapping[str, _Kind]
    sums: tuple[Sum, ...]
    num_videos: int

    @staticmethod
    def of(events: pl.DataFrame, catalogue: Catalogue, sums: tuple[Sum, ...]) -> "LoggedActivity":
        """From a log in log order; `sums` are `Definitions.video_sums`."""
        arrays = EventArrays.of(events, catalogue)
        return LoggedActivity({event: _Kind.of(arrays, event) for event in (ev.CLICK, ev.IMPRESSION)}, sums, len(catalogue))

    def clicks(self, at: int) -> Floats:
        """See VideoCounts."""
        return self._rate(ev.CLICK, at)

    def impressions(self, at: int) -> Floats:
        """See VideoCounts."""
        return self._rate(ev.IMPRESSION, at)

    def _rate(self, event: str, at: int) -> Floats:
        found, rate = self.kinds[event], np.zeros(self.num_videos)
        for spec in windows(self.sums, event):
            oldest = (at // spec.tile_ms - spec.tiles + 1) * spec.tile_ms
            since, until = np.searchsorted(found.received_at, [oldest, at])
            rows = found.rows[since:until][found.event_at[since:until] >= oldest]
            rate += np.bincount(rows, minlength=self.num_videos) / _days(spec)
        return rate.astype(np.float32)
