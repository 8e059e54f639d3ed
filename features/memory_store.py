"""OnlineStore in a dictionary: for tests, evaluation and the laboratory. Gone with the process."""

import threading
from collections.abc import Sequence

from features.states import ViewerState, ViewerStates, added, empty_state


class MemoryStore:
    """See OnlineStore. Safe for many threads."""

    def __init__(self) -> None:
        self._states: dict[int, ViewerState] = {}
        self._lock = threading.Lock()
        self._empty = empty_state()

    def read(self, viewer_ids: Sequence[int]) -> list[ViewerState]:
        """See OnlineStore."""
        return [self._states.get(int(viewer_id), self._empty) for viewer_id in viewer_ids]

    def at_hand(self, viewer_ids: Sequence[int]) -> list[ViewerState]:
        """See OnlineStore."""
        return self.read(viewer_ids)

    def apply(self, updates: ViewerStates) -> None:
        """See OnlineStore."""
        with self._lock:
            for place, viewer_id in enumerate(updates.viewer_ids.tolist()):
                before = self._states.get(viewer_id, self._empty)
                self._states[viewer_id] = added(before, updates[place], updates.keep_from)

    def load(self, states: ViewerStates) -> None:
        """See OnlineStore."""
        with self._lock:
            self._states.update((viewer_id, states[place]) for place, viewer_id in enumerate(states.viewer_ids.tolist()))

    def forget(self, viewer_id: int) -> bool:
        """See OnlineStore."""
        with self._lock:
            return self._states.pop(viewer_id, None) is not None

    def clear(self) -> None:
        """See OnlineStore."""
        with self._lock:
            self._states.clear()

    def size(self) -> int:
        """See OnlineStore."""
        return len(self._states)

    def close(self) -> None:
        """See OnlineStore."""
