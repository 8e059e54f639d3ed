"""Watches a release that has just taken over, and says when it should give way to the one before: people click clearly less.

    x_v  = share of a viewer's pages with a click within `patience_s`, over pages at least that old
    back = always-valid interval of  mean x(new) − (1 − margin) · mean x(before)  lies wholly below zero
           (`experiments.sequential`, so one may look as often as one likes)

`before` are the last pages of the release before, so hours of the day and who comes differ: this is a brake for what is plainly
wrong, and no experiment. A canary compares at the same time and finds much less. Knows nothing of releases but their ids.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import events as ev
from core.event_log import EventLog, batches
from experiments.config import MetricConfig
from experiments.effects import Sample
from experiments.guardrails import Safety, contrast, judge
from experiments.sequential import always_valid

_NEEDED = [c.EVENT_AT, c.KIND, c.VIEWER_ID, c.REQUEST_ID, c.RELEASE_ID]


@dataclass(frozen=True)
class ProbationConfig:
    """How long a release is watched, and what it may lose."""

    watch_s: float = 3_600.0
    """Of probation, from the take-over."""
    patience_s: float = 60.0
    """Time in which a click on a page counts."""
    margin: float = 0.3
    """Share of clicks that may be lost."""
    viewers: int = 100
    """Least viewers of either release before anything is said."""
    alpha: float = 0.05
    planned_viewers: int = 1_000
    """Viewers of both at which the interval is tightest."""
    lookback: int = 50_000
    """Events of the log before the take-over that are read for what was usual."""


class Probation:
    """One release on probation. One thread looks."""

    def __init__(
        self, log: EventLog, before_id: str, release_id: str, *, offset: int, at: int, config: ProbationConfig | None = None
    ) -> None:
        """Args:
        log: says what was shown and clicked.
        before_id: the release before.
        release_id: the one that took over.
        offset: of the log, when it did.
        at: instant when it did.
        config: instead of the defaults.
        """
        self.before_id, self.release_id, self.at = before_id, release_id, at
        self.config = config or ProbationConfig()
        self._log, self._offset = log, max(offset - self.config.lookback, 0)
        self._events = pl.DataFrame(pl.from_arrow(c.EVENTS.empty_table().select(_NEEDED)))
        self._said: dict[str, Any] = {"safety": None, "viewers": [0, 0]}

    def over(self, now: int) -> bool:
        """Whether it was watched for long enough."""
        return now >= self.at + self.config.watch_s * 1_000

    def look(self, now: int) -> str | None:
        """Why to go back; None while there is no reason. Raises LogUnavailable."""
        self._read_on()
        before, after = (self._clicked(release_id, now) for release_id in (self.before_id, self.release_id))
        self._said = {"safety": None, "viewers": [len(before), len(after)]}
        if min(len(before), len(after)) < self.config.viewers:
            return None
        metric = MetricConfig("pages clicked", margin=self.config.margin)
        estimate = contrast(metric, Sample.of(before), Sample.of(after))
        found = judge(always_valid(estimate, len(before) + len(after), self.config.planned_viewers, self.config.alpha))
        self._said |= {"safety": found.value, "clicked": [float(before.mean()), float(after.mean())]}
        if found != Safety.HARMED:
            return None
        return f"{after.mean():.1%} of the pages of {self.release_id} are clicked, {before.mean():.1%} of those before it"

    def to_json(self) -> dict[str, Any]:
        """What the last look saw; pairs are before and after."""
        return {"before": self.before_id, "release": self.release_id, "since": self.at, **self._said}

    def _read_on(self) -> None:
        fresh = []
        for events, following in batches(self._log, self._offset):
            self._offset = following
            frame = pl.DataFrame(pl.from_arrow(events.select(_NEEDED)))
            fresh.append(frame.filter(pl.col(c.KIND).is_in([ev.IMPRESSION, ev.CLICK]) & pl.col(c.REQUEST_ID).is_not_null()))
        if fresh:
            self._events = pl.concat([self._events, *fresh])

    def _clicked(self, release_id: str, now: int) -> NDArray[np.float64]:
        """[viewers] share of pages with a click soon enough."""
        patience_ms = round(self.config.patience_s * 1_000)
        shown = self._events.filter((pl.col(c.KIND) == ev.IMPRESSION) & (pl.col(c.RELEASE_ID) == release_id))
        pages = shown.group_by(c.REQUEST_ID, c.VIEWER_ID).agg(pl.col(c.EVENT_AT).min().alias("shown_at"))
        pages = pages.filter(pl.col("shown_at") <= now - patience_ms)
        clicks = self._events.filter(pl.col(c.KIND) == ev.CLICK).group_by(c.REQUEST_ID).agg(pl.col(c.EVENT_AT).min())
        soon = (pl.col(c.EVENT_AT) - pl.col("shown_at") <= patience_ms).fill_null(False).alias("clicked")
        found = pages.join(clicks, on=c.REQUEST_ID, how="left").with_columns(soon)
        return found.group_by(c.VIEWER_ID).agg(pl.col("clicked").mean())["clicked"].to_numpy()
