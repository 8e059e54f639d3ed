"""Videos that may not be shown: taken down for all, or waved away by one viewer. Kept fresh from the event log.

A video that was taken down stays so by its id: it is hidden even where the catalogue learns of it only later.
Written by one thread, read by many: every change replaces a value, nothing is edited in place that a reader may hold.
Bounded: the latest dismissals of the most recently active viewers.
"""

from collections import OrderedDict
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core import columns as c
from core import events as ev
from data.catalogue import Catalogue

_NONE = np.empty(0, dtype=np.int32)


class Suppressed:
    """Removed videos and dismissals."""

    def __init__(
        self, catalogue: Catalogue, removed_ids: Iterable[int] = (), max_viewers: int = 100_000, per_viewer: int = 200
    ) -> None:
        self._catalogue = catalogue
        self._max_viewers = max_viewers
        self._per_viewer = per_viewer
        self._dismissed: OrderedDict[int, NDArray[np.int32]] = OrderedDict()
        self.removed_ids: frozenset[int] = frozenset()
        """Of videos that were taken down, whether the catalogue has them or not."""
        self.removed_V: NDArray[np.bool_] = np.zeros(len(catalogue), dtype=bool)
        """[V] taken down or blocked."""
        self._remove(removed_ids)

    def over(self, catalogue: Catalogue) -> "Suppressed":
        """The same over a catalogue with more videos at its end; only the result may be fed from now on."""
        longer = Suppressed(catalogue, self.removed_ids, self._max_viewers, self._per_viewer)
        longer._dismissed = self._dismissed
        longer.removed_V[: len(self.removed_V)] |= self.removed_V
        return longer

    def dismissed(self, viewer_id: int) -> NDArray[np.int32]:
        """Rows the viewer waved away, latest first."""
        return self._dismissed.get(viewer_id, _NONE)

    def block(self, rows: NDArray[np.int32]) -> None:
        """Take videos down for everybody; rows of −1 are ignored."""
        removed = self.removed_V.copy()
        removed[rows[rows >= 0]] = True
        self.removed_V = removed

    def apply(self, events: pa.Table) -> None:
        """Take in removals and dismissals; other kinds are ignored."""
        kinds = events[c.KIND]
        removals = events.filter(pc.equal(kinds, ev.REMOVE))
        if len(removals):
            self._remove(removals[c.VIDEO_ID].drop_null().to_pylist())
        dismissals = events.filter(pc.equal(kinds, ev.DISMISS))
        if len(dismissals):
            for viewer_id, row in zip(dismissals[c.VIEWER_ID].to_pylist(), self._rows(dismissals), strict=True):
                self._dismiss(viewer_id, row)

    def _remove(self, video_ids: Iterable[int]) -> None:
        fresh = frozenset(video_ids) - self.removed_ids
        if fresh:
            self.removed_ids |= fresh
            self.block(self._catalogue.rows(sorted(fresh)))

    def _rows(self, events: pa.Table) -> NDArray[np.int32]:
        return self._catalogue.rows(events[c.VIDEO_ID].fill_null(-1).to_numpy())

    def _dismiss(self, viewer_id: int, row: np.int32) -> None:
        if row < 0:
            return
        before = self._dismissed.pop(viewer_id, _NONE)
        self._dismissed[viewer_id] = np.concatenate([[row], before[before != row]]).astype(np.int32)[: self._per_viewer]
        if len(self._dismissed) > self._max_viewers:
            self._dismissed.popitem(last=False)
