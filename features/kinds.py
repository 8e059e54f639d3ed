"""The kinds of features, as declarations with their formulas.

A declaration says what a number means (entity, window, default, how old it may be when served); its `read` turns `Facts`
into the number, ready for a model: finite, of order one (logarithms and ratios). The same `read` trains and serves.
Knows nothing of logs, stores, or which features this project has (`definitions`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from core.clock import DAY_MS, HOUR_MS, MINUTE_MS
from core.errors import ConfigError
from features.facts import Doubles, Facts
from features.tiles import COUNT, Sum

STREAM_S = 10
"""Freshness budget of what the event stream feeds."""
RELEASE_S = 86_400
"""Freshness budget of what comes with a release."""
SEEN_LIMIT = 1_000
"""How many clicks of a viewer are remembered."""
TOLD = "told"
"""Marks fields that are for people only: two declarations that differ there mean the same number."""


@dataclass(frozen=True)
class Window:
    """The latest `tiles` tiles of `tile_ms`; see `tiles` for the exact meaning."""

    tile_ms: int
    tiles: int

    def sum(self, event: str, quantity: str = COUNT) -> Sum:
        """The window sum of a quantity of one event kind."""
        return Sum(event, quantity, self.tile_ms, self.tiles)


DAY = Window(3 * HOUR_MS, 8)
WEEK = Window(DAY_MS, 7)
MONTH = Window(5 * DAY_MS, 6)


@dataclass(frozen=True, kw_only=True)
class Feature:
    """What every declaration says."""

    name: str
    entity: Literal["viewer", "video", "cross", "context"]
    description: str
    freshness_s: int = STREAM_S
    default: float = 0.0
    """The value where nothing is known."""
    owner: str = field(default="features", metadata={TOLD: True})
    """The package whose people answer for it."""

    moves: ClassVar[bool] = False
    """Whether the value changes with every millisecond, without an event."""

    @cached_property
    def sums(self) -> tuple[Sum, ...]:
        """The window sums that the formula needs."""
        return ()

    def read(self, facts: Facts) -> Doubles:
        """The value, in the shape of the facts."""
        raise ConfigError(f"'{self.name}' is not a number; it has no formula")


@dataclass(frozen=True, kw_only=True)
class WindowCount(Feature):
    """log(1 + events in the window)."""

    event: str
    window: Window

    @cached_property
    def sums(self) -> tuple[Sum, ...]:
        """See Feature."""
        return (self.window.sum(self.event),)

    def read(self, facts: Facts) -> Doubles:
        """See Feature."""
        return np.log1p(facts.total(self.sums[0]))


@dataclass(frozen=True, kw_only=True)
class Rate(Feature):
    """(events + strength · prior) / (chances + strength), at most 1: a rate shrunk towards a prior."""

    event: str
    chance: str
    window: Window
    prior: float
    strength: float

    @cached_property
    def sums(self) -> tuple[Sum, ...]:
        """See Feature."""
        return self.window.sum(self.event), self.window.sum(self.chance)

    def read(self, facts: Facts) -> Doubles:
        """See Feature."""
        events, chances = (facts.total(spec) for spec in self.sums)
        return np.minimum((events + self.strength * self.prior) / (chances + self.strength), 1.0)


@dataclass(frozen=True, kw_only=True)
class Mean(Feature):
    """(Σ quantity / unit + strength · default) / (events + strength); its logarithm of 1 + mean where `log`."""

    event: str
    quantity: str
    window: Window
    unit: float
    strength: float = 0.0
    log: bool = False

    @cached_property
    def sums(self) -> tuple[Sum, ...]:
        """See Feature."""
        return self.window.sum(self.event, self.quantity), self.window.sum(self.event)

    def read(self, facts: Facts) -> Doubles:
        """See Feature."""
        amount, events = (facts.total(spec) for spec in self.sums)
        weight = events + self.strength
        known = (amount / self.unit + self.strength * self.default) / np.where(weight > 0, weight, 1.0)
        mean = np.where(weight > 0, known, self.default)
        return np.log1p(mean) if self.log else mean


@dataclass(frozen=True, kw_only=True)
class Std(Feature):
    """log(1 + standard deviation of the latest watch lengths, in seconds); the sums are exact integers."""

    def read(self, facts: Facts) -> Doubles:
        """√(n Σx² − (Σx)²) / n over the n remembered watches."""
        watch_ms = facts.latest_watch_ms()
        n = np.count_nonzero(watch_ms >= 0, axis=-1).astype(np.int64)
        x = np.maximum(watch_ms, 0)
        spread = n * (x * x).sum(axis=-1) - x.sum(axis=-1) ** 2
        return np.log1p(np.sqrt(spread.astype(np.float64)) / np.maximum(n, 1) / 1000)


@dataclass(frozen=True, kw_only=True)
class WatchQuantile(Feature):
    """log(1 + a quantile of the latest watch lengths, in seconds): 0 the shortest, ½ the (lower) median, 1 the longest."""

    quantile: float

    def read(self, facts: Facts) -> Doubles:
        """The ⌊q (n − 1)⌋-th of the n remembered watches, counted from the shortest."""
        ordered_BN, n_B = facts.ordered_watch_ms()
        place_B = ordered_BN.shape[1] - n_B + (self.quantile * (n_B - 1)).astype(np.int64)
        watch_ms = ordered_BN[np.arange(len(n_B)), np.minimum(place_B, ordered_BN.shape[1] - 1)]
        return np.where(n_B > 0, np.log1p(np.maximum(watch_ms, 0) / 1000), self.default)


@dataclass(frozen=True, kw_only=True)
class LastN(Feature):
    """The latest n events of a kind, most recent first: a sequence, not a number."""

    event: str
    n: int


@dataclass(frozen=True, kw_only=True)
class Size(Feature):
    """Length of the history over its longest possible length."""

    longest: int

    def read(self, facts: Facts) -> Doubles:
        """See Feature."""
        return facts.size() / self.longest


@dataclass(frozen=True, kw_only=True)
class Share(Feature):
    """Share of the history that has something in common."""

    of: str

    def read(self, facts: Facts) -> Doubles:
        """See Feature."""
        return facts.share(self.of)


@dataclass(frozen=True, kw_only=True)
class TimeSince(Feature):
    """log(1 + time since something, in units of `unit_hours`)."""

    moves: ClassVar[bool] = True
    of: str
    unit_hours: float = 1.0

    def read(self, facts: Facts) -> Doubles:
        """See Feature."""
        hours = facts.hours_since(self.of)
        return np.where(hours < 0, self.default, np.log1p(np.maximum(hours, 0.0) / self.unit_hours))


@dataclass(frozen=True, kw_only=True)
class SessionCount(Feature):
    """log(1 + clicks of the running session): back from now without a pause of `gap_ms` or more."""

    gap_ms: int = 30 * MINUTE_MS

    def read(self, facts: Facts) -> Doubles:
        """See Feature."""
        return np.log1p(facts.session_clicks(self.gap_ms))


@dataclass(frozen=True, kw_only=True)
class SessionMean(Feature):
    """log(1 + clicks per session) over the history's clicks of the latest `span_ms`; a pause of `gap_ms` ends a session."""

    span_ms: int
    gap_ms: int = 30 * MINUTE_MS

    def read(self, facts: Facts) -> Doubles:
        """See Feature."""
        clicks, sessions = facts.sessions(self.span_ms, self.gap_ms)
        return np.where(sessions > 0, np.log1p(clicks / np.maximum(sessions, 1)), self.default)


@dataclass(frozen=True, kw_only=True)
class CalendarPart(Feature):
    """A part of the request's date in UTC: `hour` 0-23, or `weekday` 0-6 with Monday 0."""

    part: Literal["hour", "weekday"]

    @property
    def codes(self) -> int:
        """How many values it has."""
        return 24 if self.part == "hour" else 7

    def of(self, at: NDArray[np.int64]) -> NDArray[np.int32]:
        """The code of each instant. 1970-01-01 was a Thursday."""
        value = at // HOUR_MS % 24 if self.part == "hour" else (at // DAY_MS + 3) % 7
        return value.astype(np.int32)


@dataclass(frozen=True, kw_only=True)
class Attribute(Feature):
    """A known column of the entity: a number (`log` takes log(1 + x)), or a code where it is declared among codes."""

    column: str
    log: bool = False
    owner: str = field(default="data", metadata={TOLD: True})

    def read(self, facts: Facts) -> Doubles:
        """See Feature."""
        value = facts.column(self.column)
        return np.log1p(np.maximum(value, 0.0)) if self.log else value


@dataclass(frozen=True, kw_only=True)
class Vector(Feature):
    """Cosine between a candidate's vector and the mean over the history; 0 where either is missing."""

    of: str

    def read(self, facts: Facts) -> Doubles:
        """See Feature."""
        return facts.cosine(self.of)


@dataclass(frozen=True, kw_only=True)
class Cross(Feature):
    """A pair (viewer or context code, video code) as one code: left · (number of right codes) + right."""

    left: str
    right: str


def matrix(features: Sequence[Feature], facts: Facts, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """All values side by side; `shape` is that of the facts. [..., F]"""
    values = np.empty((*shape, len(features)), dtype=np.float32)
    for column, feature in enumerate(features):
        values[..., column] = feature.read(facts)
    return values
