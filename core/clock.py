"""Time as an argument. Instants are integer milliseconds since 1970-01-01T00:00Z everywhere."""

import time
from datetime import UTC, datetime
from typing import Protocol

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def stamp(at: int) -> str:
    """An instant for people: `2026-01-05 13:30` (UTC)."""
    return f"{datetime.fromtimestamp(at / SECOND_MS, UTC):%Y-%m-%d %H:%M}"


class Clock(Protocol):
    """Anything that says what time it is."""

    def now(self) -> int:
        """Milliseconds since the epoch."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that moves only when told to: for tests and the world."""

    def __init__(self, at: int) -> None:
        self._at = at

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return self._at

    def advance(self, ms: int) -> None:
        """Move forward; time never goes back."""
        if ms < 0:
            raise ValueError(f"a clock cannot go back ({ms} ms)")
        self._at += ms


class ContinuedClock:
    """Time that goes on from a log's end: a log that ended over a day ago is served as if its last event had just happened.

    Without it, a log of 1998 served today has empty windows, ages of decades, and features the models never saw. A log that is
    up to date keeps the base clock's time.
    """

    def __init__(self, end_at: int, base: Clock) -> None:
        self._base = base
        behind = base.now() - end_at
        self._shift = behind if behind > DAY_MS else 0

    def now(self) -> int:
        """Milliseconds since the epoch, in the log's time."""
        return self._base.now() - self._shift
