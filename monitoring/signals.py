"""What is watched, declared once: every signal is a ratio of two sums over an hour, so any window is two additions and a
division.

`Tallies` holds both sums by hour, segment and signal. Adding a signal is one line in `SIGNALS`. Knows nothing of what is
normal.

Shape legend: H hours, G segments (the first is everyone), S signals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from data.labels import definitions as labels
from monitoring import observations as o

Floats = NDArray[np.float64]
EVERYONE = "all"
VOLUME, MISSING, RANGE, SCALE, OUTCOME, CALIBRATION, ESTIMATE, FRESHNESS, CROWDING, POLICY = (
    "volume", "missing", "range", "scale", "outcome", "calibration", "estimate", "freshness", "crowding", "policy",
)  # fmt: skip


@dataclass(frozen=True)
class Signal:
    """A ratio of sums over impressions."""

    name: str
    role: str
    """What a change of it means: one of the roles above."""
    feature: str
    """The column or number that it is about."""
    top: pl.Expr
    bottom: pl.Expr
    least: float
    """Smallest change worth an alarm, in units of the signal; a share of the expected value where `relative`."""
    relative: bool = False
    """Whether changes are ratios; the test then works on logarithms."""
    dimensions: tuple[str, ...] = o.VIEWER_SEGMENTS
    """By which columns it is broken down."""


_WATCHED = pl.col(o.REPORTED) & pl.col(labels.WATCH_S).is_not_null()
_SECONDS = pl.when(_WATCHED).then(pl.col(labels.WATCH_S)).otherwise(0.0)
_PREDICTED = pl.col(o.PREDICTED).is_not_null()

SIGNALS = (
    Signal(
        "pages", VOLUME, "volume", (pl.col(c.POSITION) == 0), pl.lit(1.0), 0.2, relative=True,
        dimensions=(c.COUNTRY, c.DEVICE),
    ),
    Signal("crowding", CROWDING, "pages per viewer", pl.col(o.CROWD), pl.lit(1.0), 0.5, relative=True, dimensions=(c.DEVICE,)),
    Signal("click_rate", OUTCOME, "clicks", pl.col(labels.CLICKED), pl.lit(1.0), 0.1, relative=True),
    Signal(
        "predicted_rate", ESTIMATE, "estimated clicks", pl.col(o.PREDICTED).fill_null(0.0), _PREDICTED, 0.1, relative=True
    ),
    Signal(
        "click_residual", CALIBRATION, "clicks against prediction",
        pl.when(_PREDICTED).then(pl.col(labels.CLICKED)).otherwise(0.0), pl.col(o.PREDICTED).fill_null(0.0), 0.1,
        relative=True, dimensions=o.SEGMENTS,
    ),
    Signal(
        "like_rate", OUTCOME, "likes", pl.col(labels.LIKED), pl.col(labels.CLICKED), 0.3, relative=True, dimensions=()
    ),
    Signal("watch_log_s", SCALE, labels.WATCH_S, _SECONDS.clip(0.001).log().mul(_WATCHED), _WATCHED, 0.25),
    Signal(
        "watch_missing", MISSING, labels.WATCH_S,
        pl.col(o.REPORTED) & pl.col(labels.WATCH_S).is_null(), pl.col(o.REPORTED), 0.02,
    ),
    Signal(
        "watch_impossible", RANGE, labels.WATCH_S,
        _WATCHED & (pl.col(labels.WATCH_S) > 1.05 * pl.col(c.DURATION_S)), _WATCHED, 0.02,
    ),
    Signal(
        "watch_lost", MISSING, "watch events", pl.col(labels.CLICKED) & ~pl.col(o.REPORTED), pl.col(labels.CLICKED), 0.05
    ),
    Signal(
        "feature_age_h", FRESHNESS, "served features", pl.col(o.FEATURE_AGE_H).fill_null(0.0),
        pl.col(o.FEATURE_AGE_H).is_not_null(), 0.5, dimensions=(),
    ),
    Signal("exploration", POLICY, "exploration", pl.col(c.EXPLORATION), pl.lit(1.0), 0.03, dimensions=()),
)  # fmt: skip
"""All are known two hours after the page; regrets, a day later, confirm (`concept_drift.confirm`)."""


def place(name: str) -> int:
    """Position of a signal in SIGNALS."""
    return next(at for at, signal in enumerate(SIGNALS) if signal.name == name)


@dataclass(frozen=True)
class Tallies:
    """Sums by hour, segment and signal."""

    first_hour: int
    segments: tuple[str, ...]
    """`all`, then `column=value`, sorted."""
    top_HGS: Floats
    bottom_HGS: Floats
    tested_GS: NDArray[np.bool_]
    """Whether the signal is broken down by the segment's column."""
    release_hours: tuple[tuple[int, str], ...]
    """First hour of each release, and of each step of its canary, that shows up after the first one, in order."""

    @property
    def end_hour(self) -> int:
        """First hour after the last one."""
        return self.first_hour + len(self.top_HGS)

    def cell(self, segment: str, signal: str, begin_hour: int, end_hour: int) -> tuple[Floats, Floats]:
        """Hourly tops and bottoms of one cell; hours since 1970."""
        hours = slice(begin_hour - self.first_hour, end_hour - self.first_hour)
        at = (hours, self.segments.index(segment), place(signal))
        return self.top_HGS[at], self.bottom_HGS[at]

    def windows(self, ends: Sequence[int], hours: int) -> "Windows":
        """Sums of the `hours` hours before each of W ends (hours since 1970)."""
        end = np.asarray(ends) - self.first_hour
        if (end - hours < 0).any() or (end > len(self.top_HGS)).any():
            raise ValueError(f"windows of {hours} h before {list(ends)} leave the hours [{self.first_hour}, {self.end_hour})")
        return Windows(*(summed[end] - summed[end - hours] for summed in self._sums))

    @cached_property
    def _sums(self) -> tuple[Floats, ...]:
        top, bottom = self.top_HGS, self.bottom_HGS
        start = np.zeros((1, *top.shape[1:]))
        parts = (top, bottom, top * top, top * bottom, bottom * bottom)
        return tuple(np.concatenate([start, np.cumsum(part, axis=0)]) for part in parts)


@dataclass(frozen=True)
class Windows:
    """W windows of hours. All [W, G, S]."""

    top: Floats
    bottom: Floats
    top_square: Floats
    """Σ_h top²; the next two alike."""
    product: Floats
    bottom_square: Floats

    def ratio(self) -> Floats:
        """Top over bottom, nan without a bottom."""
        return np.divide(self.top, self.bottom, out=np.full_like(self.top, np.nan), where=self.bottom > 0)

    def scatter(self) -> Floats:
        """Σ_h (top_h − ratio · bottom_h)²: the delta method's numerator with hours as clusters. [W, G, S]"""
        ratio = np.nan_to_num(self.ratio())
        return np.maximum(self.top_square - 2 * ratio * self.product + ratio**2 * self.bottom_square, 0.0)


def tally(rows: pl.DataFrame, first_hour: int, end_hour: int) -> Tallies:
    """Sums of the observations (`observations.observe`) of the hours in [first_hour, end_hour)."""
    rows = rows.filter(pl.col(o.HOUR).is_between(first_hour, end_hour, closed="left"))
    segments = [EVERYONE, *(f"{by}={value}" for by in o.SEGMENTS for value in rows[by].unique().sort().to_list())]
    places = {name: at for at, name in enumerate(segments)}
    shape = (end_hour - first_hour, len(segments), len(SIGNALS))
    top, bottom = np.zeros(shape), np.zeros(shape)
    sums = [
        expr.cast(pl.Float64).sum().alias(f"{end}{at}")
        for at, s in enumerate(SIGNALS)
        for end, expr in (("t", s.top), ("b", _counted(s.bottom)))
    ]
    for by in (None, *o.SEGMENTS):
        found = rows.group_by([o.HOUR] if by is None else [o.HOUR, by]).agg(sums)
        hours = found[o.HOUR].to_numpy() - first_hour
        where = (
            np.zeros(len(found), dtype=np.int64)
            if by is None
            else np.array([places[f"{by}={v}"] for v in found[by]], dtype=np.int64)
        )
        top[hours, where] = found.select(f"t{at}" for at in range(len(SIGNALS))).to_numpy()
        bottom[hours, where] = found.select(f"b{at}" for at in range(len(SIGNALS))).to_numpy()
    bottom[:, :, place("pages")] = 1.0
    return Tallies(first_hour, tuple(segments), top, bottom, _tested(segments), _releases(rows))


def _counted(bottom: pl.Expr) -> pl.Expr:
    """A literal one counts rows."""
    return pl.when(pl.col(o.HOUR).is_not_null()).then(bottom)


def _tested(segments: Sequence[str]) -> NDArray[np.bool_]:
    columns = [segment.split("=")[0] for segment in segments]
    return np.array([[column == EVERYONE or column in signal.dimensions for signal in SIGNALS] for column in columns])


def _releases(rows: pl.DataFrame) -> tuple[tuple[int, str], ...]:
    first = rows.drop_nulls(c.RELEASE_ID).group_by(c.RELEASE_ID).agg(pl.col(o.HOUR).min()).sort(o.HOUR, c.RELEASE_ID)
    return tuple((int(hour), str(name)) for name, hour in first.rows())[1:]
