"""A circuit breaker: after a few failures in a row, stop asking for a while.

closed → (failures in a row) → open → (after a pause, one trial call) → closed or open again.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.errors import StoreUnavailable, Unavailable


class Breaker:
    """Guards calls to one dependency. Safe for many threads."""

    def __init__(
        self,
        failures: int = 3,
        pause_s: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        name: str = "online store",
        error: type[Unavailable] = StoreUnavailable,
    ) -> None:
        """Args:
        failures: in a row, after which it opens.
        pause_s: until the next trial call.
        monotonic: seconds, from any zero.
        name: of the dependency, for people.
        error: what counts as a failure, and what is raised while open.
        """
        self._limit, self._pause_s, self._monotonic = failures, pause_s, monotonic
        self._name, self._error = name, error
        self._failures = 0
        self._retry_at = 0.0
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether calls are refused until a trial call succeeds."""
        return self._failures >= self._limit

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Run one call: `error` counts as a failure, anything else that returns as a success.

        Raises:
            Unavailable: of the type `error`, at once, without calling, while open.
        """
        self._admit()
        try:
            yield
        except self._error:
            self.failed()
            raise
        self._failures = 0

    def failed(self) -> None:
        """Count a failure: `guard` does where it sees one, a caller who gave up on a call says so."""
        with self._lock:
            self._failures += 1
            self._retry_at = self._monotonic() + self._pause_s

    def _admit(self) -> None:
        with self._lock:
            if self.is_open:
                now = self._monotonic()
                if now < self._retry_at:
                    raise self._error(f"the {self._name} failed {self._failures} times in a row; waiting before the next try")
                self._retry_at = now + self._pause_s
