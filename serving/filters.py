"""What may not be shown to whom, one rule per class, and `apply`, which says what was kept and what each rule removed.

A row is removed for the first rule that objects. Rules are vectorised over a batch of requests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.sources import Query
from serving.stages import Filter
from serving.suppressed import Suppressed

Rows = NDArray[np.int32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Filtered:
    """The outcome of `apply`."""

    kept_BS: Mask
    removed: dict[str, NDArray[np.int64]]
    """Reason → [B] rows taken for it."""


def apply(filters: Sequence[Filter], query: Query, viewer_ids: NDArray[np.int64], rows_BS: Rows) -> Filtered:
    """Run every filter over candidate rows; −1 entries are not kept and not counted."""
    kept = rows_BS >= 0
    removed: dict[str, NDArray[np.int64]] = {}
    for rule in filters:
        allowed = rule.keep(query, viewer_ids, rows_BS)
        removed[rule.reason] = (kept & ~allowed).sum(axis=1)
        kept = kept & allowed
    return Filtered(kept, removed)


class Seen:
    """Not again what the viewer has clicked."""

    reason = "already seen"
    yields = True

    def __init__(self, num_videos: int) -> None:
        self._num_videos = num_videos

    def keep(self, query: Query, viewer_ids: NDArray[np.int64], rows_BS: Rows) -> Mask:
        """See Filter."""
        return ~_contains(query.part.seen, rows_BS, self._num_videos)


class Dismissed:
    """Not again what the viewer has waved away."""

    reason = "dismissed"
    yields = True

    def __init__(self, suppressed: Suppressed, num_videos: int) -> None:
        self._suppressed = suppressed
        self._num_videos = num_videos

    def keep(self, query: Query, viewer_ids: NDArray[np.int64], rows_BS: Rows) -> Mask:
        """See Filter."""
        return ~_contains([self._suppressed.dismissed(int(viewer)) for viewer in viewer_ids], rows_BS, self._num_videos)


class Removed:
    """Not what was taken down or blocked."""

    reason = "removed or blocked"
    yields = False

    def __init__(self, suppressed: Suppressed) -> None:
        self._suppressed = suppressed

    def keep(self, query: Query, viewer_ids: NDArray[np.int64], rows_BS: Rows) -> Mask:
        """See Filter."""
        return ~self._suppressed.removed_V[rows_BS] if len(self._suppressed.removed_V) else rows_BS < 0


class NotYetUploaded:
    """Not what did not exist at the request's instant: matters when past requests are replayed."""

    reason = "not uploaded yet"
    yields = False

    def __init__(self, uploaded_at: NDArray[np.int64]) -> None:
        self._uploaded_at = uploaded_at

    def keep(self, query: Query, viewer_ids: NDArray[np.int64], rows_BS: Rows) -> Mask:
        """See Filter."""
        return self._uploaded_at[rows_BS] <= query.at[:, None] if len(self._uploaded_at) else rows_BS < 0


class Current:
    """Not the video that is being watched."""

    reason = "being watched"
    yields = False

    def keep(self, query: Query, viewer_ids: NDArray[np.int64], rows_BS: Rows) -> Mask:
        """See Filter."""
        return rows_BS != query.current_B[:, None]


class Labelled:
    """Not what is too likely, or too unlikely, to be such: a bound on the probability of a label, the same for everybody."""

    yields = False

    def __init__(self, reason: str, allowed_V: Mask) -> None:
        self.reason = reason
        self._allowed_V = allowed_V

    def keep(self, query: Query, viewer_ids: NDArray[np.int64], rows_BS: Rows) -> Mask:
        """See Filter."""
        return self._allowed_V[rows_BS] if len(self._allowed_V) else rows_BS < 0


def _contains(sets: Sequence[Rows], rows_BS: Rows, num_videos: int) -> Mask:
    """bool[B, S] whether each row is in its request's set: one sorted look-up over (request, row) keys."""
    lengths = [len(rows) for rows in sets]
    if not sum(lengths) or not rows_BS.size:
        return np.zeros(rows_BS.shape, dtype=bool)
    base = np.arange(len(rows_BS), dtype=np.int64) * num_videos
    members = np.concatenate(sets).astype(np.int64)
    keys = np.sort(np.repeat(base, lengths)[members >= 0] + members[members >= 0])
    if not len(keys):
        return np.zeros(rows_BS.shape, dtype=bool)
    wanted = base[:, None] + rows_BS
    return (keys[np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)] == wanted) & (rows_BS >= 0)
