"""Named stages with their times: what a long command shows while it works, and what it reports at the end.

Knows nothing of terminals; a listener (the command line, a test) decides how progress looks.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol


class Listener(Protocol):
    """Hears about stages."""

    def started(self, name: str) -> None:
        """A stage begins."""
        ...

    def advanced(self, name: str, share: float, note: str) -> None:
        """A stage is `share` (0 to 1) done."""
        ...

    def finished(self, name: str, seconds: float, note: str) -> None:
        """A stage ended well."""
        ...


class Silent:
    """A listener that does nothing."""

    def started(self, name: str) -> None:
        """Ignored."""

    def advanced(self, name: str, share: float, note: str) -> None:
        """Ignored."""

    def finished(self, name: str, seconds: float, note: str) -> None:
        """Ignored."""


@dataclass
class Stage:
    """The stage that is running; `note` is what it says when it is done."""

    name: str
    listener: Listener
    note: str = ""

    def advance(self, share: float, note: str = "") -> None:
        """Report progress."""
        self.listener.advanced(self.name, share, note)


@dataclass
class Stages:
    """The stages of one run, in order."""

    listener: Listener = field(default_factory=Silent)
    seconds: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def __call__(self, name: str) -> Iterator[Stage]:
        """Run the body as the stage `name`."""
        self.listener.started(name)
        began, stage = time.perf_counter(), Stage(name, self.listener)
        yield stage
        took = time.perf_counter() - began
        self.seconds.append((name, took))
        self.listener.finished(name, took, stage.note)

    def total(self, *names: str) -> float:
        """Seconds of the named stages together."""
        return sum(took for name, took in self.seconds if name in names)

    def to_json(self) -> list[dict[str, str | float]]:
        """`[{"name", "seconds"}]`."""
        return [{"name": name, "seconds": round(took, 3)} for name, took in self.seconds]


def unwatched(share: float, note: str) -> None:
    """Progress that nobody looks at."""


def by_step(advance: Callable[[float, str], None]) -> Callable[[int, int, float], None]:
    """A trainer's (step, steps, loss) as a stage's progress."""
    return lambda step, steps, loss: advance(step / max(steps, 1), f"loss {loss:.3f}")
