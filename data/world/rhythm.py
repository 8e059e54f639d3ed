"""When viewers come: pages of sessions over days, from each viewer's rate and favourite hour.

A day of the world is a pure function of (seed, purpose, day, rate). Knows nothing of what is shown.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core import rng
from core.clock import DAY_MS, HOUR_MS, MINUTE_MS
from data.world import faults
from data.world.config import FaultKind, WorldConfig
from data.world.truth import weekday
from data.world.viewers import Viewers

_WEEKDAYS = np.array([0.93, 0.92, 0.93, 0.95, 1.02, 1.14, 1.11])
"""Pages by weekday from Monday; mean 1."""
_PAGES_PER_SESSION = 2.0
_MOST_PAGES = 12
_BETWEEN_PAGES_MS = 2 * MINUTE_MS


@dataclass(frozen=True)
class Plan:
    """Pages asked for on one day, in time order."""

    viewer_rows: NDArray[np.int64]
    """[P]"""
    at: NDArray[np.int64]
    """[P] milliseconds, ascending; the tail may fall into the next day."""

    def __len__(self) -> int:
        return len(self.at)

    def rounds(self) -> Iterator[NDArray[np.int64]]:
        """Positions of every viewer's first page, then of every second page, …: within a round each viewer is alone."""
        order = np.lexsort((self.at, self.viewer_rows))
        grouped = self.viewer_rows[order]
        first = np.flatnonzero(np.concatenate([[True], grouped[1:] != grouped[:-1]])) if len(grouped) else order
        sizes = np.diff(np.append(first, len(grouped)))
        for turn in range(int(sizes.max(initial=0))):
            yield np.sort(order[first[sizes > turn] + turn])


def plan_day(config: WorldConfig, viewers: Viewers, day: int, rate: float = 1.0, purpose: str = "history") -> Plan:
    """The pages of day `day` (0 is the first of the log; later than the log is fine), `rate` times as many as usual."""
    random = rng.stream(config.seed, "rhythm", purpose, day, repr(rate))
    begin = config.start_at + day * DAY_MS
    pages = viewers.pages_per_day * rate * _WEEKDAYS[weekday(begin)]
    bots = faults.hits(config, FaultKind.BOT_TRAFFIC, np.arange(len(viewers)), begin)
    pages = np.where(bots, pages * faults.BOT_PAGES, pages)
    keen = faults.hits(config, FaultKind.SEASONAL_SHIFT, np.arange(len(viewers)), begin)
    pages = np.where(keen, pages * faults.SEASON_PAGES, pages)
    pages = pages * np.clip((begin + DAY_MS - viewers.joined_at) / DAY_MS, 0.0, 1.0)
    sessions = random.poisson(pages / _PAGES_PER_SESSION)
    session_viewer = np.repeat(np.arange(len(viewers)), sessions)
    hour = (viewers.hour[session_viewer] + 2.5 * random.standard_normal(len(session_viewer))) % 24
    start = np.maximum(begin + (hour * HOUR_MS).astype(np.int64), viewers.joined_at[session_viewer])
    size = np.minimum(random.geometric(1 / _PAGES_PER_SESSION, len(session_viewer)), _MOST_PAGES)
    viewer_rows = np.repeat(session_viewer, size)
    at = np.repeat(start, size) + _since_start(size, random)
    order = np.lexsort((viewer_rows, at))
    return Plan(viewer_rows[order], at[order])


def _since_start(size: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """Milliseconds from the start of its session to each page, for sessions of `size` pages laid end to end."""
    steps = random.exponential(_BETWEEN_PAGES_MS, int(size.sum()))
    passed = np.cumsum(steps)
    before = np.repeat(np.append(0.0, passed)[np.cumsum(size) - size], size)
    return (passed - before).astype(np.int64)
