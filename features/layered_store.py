"""OnlineStore in two layers: what was known of viewers when this process began, in its memory, and what came since, in a store.

States add up, so a read is base ⊕ since. The base is a release's states and what the log holds beyond them: a service that
starts copies nothing, event by event, into the store below, which holds, and sends, only what is new.
"""

from collections.abc import Sequence

import numpy as np

from features.states import ViewerState, ViewerStates, added, merged
from features.store import OnlineStore


class LayeredStore:
    """See OnlineStore. Safe for as many threads as the store below."""

    def __init__(self, base: ViewerStates, since: OnlineStore) -> None:
        """Over the states of a release; `since` is empty. Until `settle`, one thread brings the base up to date."""
        self._base, self._since, self._settled = base, since, False
        self._gone: set[int] = set()
        """Viewers whose base no longer counts."""

    def read(self, viewer_ids: Sequence[int]) -> list[ViewerState]:
        """See OnlineStore."""
        return self._over(viewer_ids, self._since.read(viewer_ids))

    def at_hand(self, viewer_ids: Sequence[int]) -> list[ViewerState]:
        """See OnlineStore: the base."""
        return self._over(viewer_ids, self._since.at_hand(viewer_ids))

    def apply(self, updates: ViewerStates) -> None:
        """See OnlineStore."""
        if self._settled:
            self._since.apply(updates)
        else:
            self._base = merged(self._base.without(sorted(self._gone)) if self._gone else self._base, updates)
            self._gone.clear()

    def settle(self) -> None:
        """The base is up to date: from now on, by many threads, what comes goes into the store below."""
        self._settled = True

    def load(self, states: ViewerStates) -> None:
        """See OnlineStore."""
        self._since.load(states)
        self._gone.update(states.viewer_ids.tolist())

    def forget(self, viewer_id: int) -> bool:
        """See OnlineStore."""
        known = self._of_base(viewer_id) is not None
        self._gone.add(viewer_id)
        return self._since.forget(viewer_id) or known

    def clear(self) -> None:
        """See OnlineStore. The base goes with the process."""
        self._gone.update(self._base.viewer_ids.tolist())
        self._since.clear()

    def size(self) -> int:
        """See OnlineStore. A viewer of the base who has come since counts twice."""
        return len(self._base) - len(self._gone.intersection(self._base.viewer_ids.tolist())) + self._since.size()

    def close(self) -> None:
        """See OnlineStore."""
        self._since.close()

    def _over(self, viewer_ids: Sequence[int], since: Sequence[ViewerState]) -> list[ViewerState]:
        return [self._both(int(viewer_id), newer) for viewer_id, newer in zip(viewer_ids, since, strict=True)]

    def _both(self, viewer_id: int, newer: ViewerState) -> ViewerState:
        older = self._of_base(viewer_id)
        if older is None:
            return newer
        return older if newer.is_empty else added(older, newer, self._base.keep_from)

    def _of_base(self, viewer_id: int) -> ViewerState | None:
        place = int(np.searchsorted(self._base.viewer_ids, viewer_id))
        held = place < len(self._base) and self._base.viewer_ids[place] == viewer_id and viewer_id not in self._gone
        return self._base[place] if held else None
