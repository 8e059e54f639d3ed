"""Where viewers' states live between requests.

One protocol, two adapters: `memory_store` (tests, evaluation, the laboratory) and `redis_store` (the service; several servers
may share it). `tests/contracts/test_online_store.py` holds what every adapter must do.
"""

from collections.abc import Sequence
from typing import Protocol

from features.states import ViewerState, ViewerStates


class OnlineStore(Protocol):
    """Viewer states by viewer id."""

    def read(self, viewer_ids: Sequence[int]) -> list[ViewerState]:
        """One state per id, in order, in one round trip; an unknown viewer has an empty one.

        Raises:
            StoreUnavailable: it did not answer in time, or is known to be down.
        """
        ...

    def at_hand(self, viewer_ids: Sequence[int]) -> list[ViewerState]:
        """The same as far as this process knows without asking another: for when `read` fails."""
        ...

    def apply(self, updates: ViewerStates) -> None:
        """Add what fresh events amount to. Additions of several writers do not overwrite each other.

        Raises:
            StoreUnavailable: nothing was added, unless the answer itself was lost on the way.
        """
        ...

    def load(self, states: ViewerStates) -> None:
        """Replace the states of these viewers: the bulk load of a release.

        Raises:
            StoreUnavailable: it did not answer in time; load again.
        """
        ...

    def forget(self, viewer_id: int) -> bool:
        """Remove one viewer; whether anything was held. Forgetting twice is forgetting once.

        Raises:
            StoreUnavailable: it did not answer in time; forget again.
        """
        ...

    def clear(self) -> None:
        """Forget everybody: what a release held that nobody reads any more.

        Raises:
            StoreUnavailable: it did not answer; some may be left, and expire.
        """
        ...

    def size(self) -> int:
        """Viewers held. May walk all keys: for a metric now and then, not for a request."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
