"""Switchable faults: who is hit and when, and what happens to the log. Stateless: membership is a hash of the viewer's row.

Taste flips, bots and seasons act on behaviour (`truth`, `rhythm`, `behaviour` ask here), bad releases on who a page is made for
(`simulate`); null features and unit changes act on finished event frames.
"""

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from core import columns as c
from core import events as ev
from core.clock import DAY_MS
from data.world.config import Fault, FaultKind, WorldConfig
from data.world.topics import DEVICES
from data.world.viewers import Viewers

BOT_PAGES = 30.0
"""How many times more pages a bot asks for than the viewer it took over."""
BOT_CLICKS = 0.9
"""P(click) of a bot, whatever is shown, wherever."""
BOT_WATCH_S = 1.0
"""Seconds a bot stays."""
SEASON_PAGES = 1.6
"""How many times more pages a viewer asks for in a season."""


def hits(config: WorldConfig, kind: FaultKind, viewer_rows: ArrayLike, at: ArrayLike) -> NDArray[np.bool_]:
    """Whether each viewer is under a fault of `kind` at each instant (broadcast)."""
    rows, instants = np.asarray(viewer_rows, dtype=np.uint64), np.asarray(at, dtype=np.int64)
    chance = ((rows + np.uint64(1)) * np.uint64(2_654_435_761) % np.uint64(2**32)) / 2.0**32
    hit = np.zeros(np.broadcast_shapes(rows.shape, instants.shape), dtype=bool)
    for fault in _of(config, kind):
        begin, end = _range(config, fault)
        hit |= (chance < fault.share) & (instants >= begin) & (instants < end)
    return hit


def active(config: WorldConfig, kind: FaultKind) -> bool:
    """Whether the config has any fault of `kind`."""
    return bool(_of(config, kind))


def made_for(config: WorldConfig, viewer_rows: NDArray[np.int64], at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whom the page of each viewer is made for: the viewer, or under a bad release the one at the other end of the table."""
    confused = hits(config, FaultKind.BAD_RELEASE, viewer_rows, at)
    return np.where(confused, config.num_viewers - 1 - viewer_rows, viewer_rows)


def corrupt(config: WorldConfig, viewers: Viewers, events: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
    """Apply null features and unit changes to the watch events of a frame."""
    for fault in config.faults:
        if fault.kind not in (FaultKind.NULL_FEATURE, FaultKind.UNIT_CHANGE):
            continue
        begin, end = _range(config, fault)
        drawn = pl.Series(random.random(len(events)) < fault.share)
        hit = (pl.col(c.KIND) == ev.WATCH) & pl.col(c.EVENT_AT).is_between(begin, end, closed="left") & drawn
        if fault.device is not None:
            theirs = np.flatnonzero(viewers.device == DEVICES.index(fault.device)) + 1
            hit &= pl.col(c.VIEWER_ID).is_in(theirs.tolist())
        wrong = pl.lit(None, dtype=pl.Float64) if fault.kind == FaultKind.NULL_FEATURE else pl.col(c.VALUE) * 1_000
        events = events.with_columns(pl.when(hit).then(wrong).otherwise(pl.col(c.VALUE)).alias(c.VALUE))
    return events


def _of(config: WorldConfig, kind: FaultKind) -> list[Fault]:
    return [fault for fault in config.faults if fault.kind == kind]


def _range(config: WorldConfig, fault: Fault) -> tuple[int, int]:
    return config.start_at + int(fault.from_day * DAY_MS), config.start_at + int(fault.until_day * DAY_MS)
