"""Features of a shown video from a viewer's, a video's and the log's past, for any instant at which that past is cut off.

Everything counted happened strictly before the cut (`pipelines.past`). Rates are empirical-Bayes means, shrunk with a fixed
weight towards a parent: the log's rate for viewers, videos, authors, lengths, hours; the viewer's rate for pairs with a viewer.

A held-out row sees the past up to the end of the training file, which may be days old by then. Training rows are shown with a
past of random age as well (`lagged`), so that a model learns from pasts as stale as those it is measured with.

A video's id is given as a number as well: platforms often number videos in the order of upload.

Shape legend: N rows of the log, Q rows asked about, M values per row, F features.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.clock import DAY_MS, HOUR_MS
from data.catalogue import lookup
from pipelines.past import Found, Past
from pipelines.rated.log import BINARY, WATCH, Attributes, RatedLog

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Columns = Iterator[tuple[str, NDArray]]

_LENGTHS = 12
"""Lengths of video told apart, at quantiles of the log."""
_HOURS_PER_PART = 3
_LOG_WEIGHT, _WEIGHT, _LIFT_WEIGHT, _LATEST_WEIGHT = 20.0, 10.0, 5.0, 2.0
"""Weight of the parent, in rows."""
_LATEST = (3, 10)
"""A viewer's latest rows, looked at by themselves."""
_RECENT = 0.15
"""Share of the log's time that counts as recent."""
_WARM_UP = 0.1
"""Share of the log's time in which there is too little past to learn from."""
_MOST_SHARE = 2.0
"""A video played more than twice over counts as twice."""


@dataclass(frozen=True)
class Table:
    """Features of Q rows."""

    names: tuple[str, ...]
    values_QF: NDArray[np.float32]
    """NaN where the past says nothing."""


def lagged(at_N: Indices, most: float, random: np.random.Generator) -> tuple[Indices, Indices]:
    """Rows to learn from and where each one's past ends: up to `most` of the log's time before it. Early rows are left out."""
    span = int(at_N[-1] - at_N[0])
    cut = at_N - (random.uniform(0, most, len(at_N)) * span).astype(np.int64)
    rows = np.flatnonzero(cut >= at_N[0] + int(_WARM_UP * span))
    return rows, cut[rows]


class RatedFeatures:
    """Features from the past in a log, and from what is known of viewers."""

    def __init__(self, log: RatedLog, attributes: Attributes | None) -> None:
        self._attributes = attributes
        self.viewer_ids, self.video_ids = np.unique(log.viewer_ids), np.unique(log.video_ids)
        self._contexts = {name: np.unique(values) for name, values in log.contexts.items()}
        self._edges = _edges(log.duration_s)
        self._begin_at, self._recent_ms = int(log.at[0]), int(_RECENT * (log.at[-1] - log.at[0]))
        self.values, values_NM = _values(log)
        keys, first = self._keys(log), _first(log.video_ids)
        self._past = {name: Past(key, log.at, values_NM) for name, key in keys.items()}
        self._new = {name: Past(keys[name][first], log.at[first], values_NM[first]) for name in ("log", "viewer", "length")}
        surprise_NM = values_NM - self._expected(keys, log.at)
        self._surprise = {name: Past(keys[name], log.at, surprise_NM) for name in ("video", "viewer_length")}

    def table(self, rows: RatedLog, cut_Q: Indices) -> Table:
        """Features of `rows` from what happened strictly before each row's cut; its labels are not looked at."""
        keys = self._keys(rows)
        columns = dict(
            [
                *self._context(rows, cut_Q),
                *self._rates(keys, rows.at, cut_Q),
                *self._lately(keys, cut_Q),
                *self._novelty(keys, cut_Q),
                *self._lifts(keys, cut_Q),
                *self._viewer_attributes(rows),
            ]
        )
        return Table(tuple(columns), np.stack(list(columns.values()), axis=1).astype(np.float32))

    def _keys(self, rows: RatedLog) -> dict[str, Indices]:
        """[Q] by kind; −1 for what the log does not know."""
        hour = rows.at // HOUR_MS % 24
        viewer = lookup(self.viewer_ids, rows.viewer_ids).astype(np.int64)
        alone = {
            "video": lookup(self.video_ids, rows.video_ids).astype(np.int64),
            "length": np.searchsorted(self._edges, rows.duration_s).astype(np.int64),
            "hour": hour,
            **{name: _rows_of(known, rows.contexts.get(name), len(rows)) for name, known in self._contexts.items()},
        }
        paired = {name: key for name, key in alone.items() if name != "hour"} | {"hours": hour // _HOURS_PER_PART}
        sizes = {
            "video": len(self.video_ids),
            "length": _LENGTHS,
            "hours": 24,
            **{n: len(v) for n, v in self._contexts.items()},
        }
        pairs = {
            f"viewer_{name}": np.where((viewer < 0) | (key < 0), -1, viewer * sizes[name] + key) for name, key in paired.items()
        }
        return {"log": np.zeros_like(viewer), "viewer": viewer, **alone, **pairs}

    def _context(self, rows: RatedLog, cut_Q: Indices) -> Columns:
        yield "duration", np.log(np.maximum(rows.duration_s, 0.1))
        yield "video_number", rows.video_ids
        yield "hour", rows.at // HOUR_MS % 24
        yield "weekday", rows.at // DAY_MS % 7
        yield "staleness", np.log1p(np.maximum(rows.at - cut_Q, 0) / HOUR_MS)

    def _rates(self, keys: Mapping[str, Indices], at_Q: Indices, cut_Q: Indices) -> Columns:
        """Counts, smoothed rates and hours since the latest, by key."""
        base = self._base(cut_Q)
        viewer = self._past["viewer"].before(keys["viewer"], cut_Q).rate(base, _WEIGHT)
        for name in self._past:
            if name == "log":
                continue
            found = self._past[name].before(keys[name], cut_Q)
            yield f"rows_{name}", np.log1p(found.rows_Q)
            yield from self._named(name, found.rate(viewer if name.startswith("viewer_") else base, _WEIGHT))
            if name in ("viewer", "video", "author"):
                yield f"hours_since_{name}", _log_hours(at_Q, found.last_at_Q)
        yield "hours_since_first_video", _log_hours(at_Q, self._past["video"].first_at(keys["video"], cut_Q))

    def _lately(self, keys: Mapping[str, Indices], cut_Q: Indices) -> Columns:
        """The viewer's latest rows; the viewer's and the video's recent ones."""
        base = self._base(cut_Q)
        past = self._past["viewer"]
        found = past.before(keys["viewer"], cut_Q)
        viewer = found.rate(base, _WEIGHT)
        for count in _LATEST:
            yield from self._named(
                f"latest_{count}", past.before(keys["viewer"], cut_Q, latest=count).rate(viewer, _LATEST_WEIGHT)
            )
        recent = found.minus(past.before(keys["viewer"], cut_Q - self._recent_ms))
        yield "rows_recent_viewer", np.log1p(recent.rows_Q)
        yield from self._named("recent_viewer", recent.rate(viewer, _WEIGHT))
        video = self._past["video"].before(keys["video"], cut_Q)
        earlier = self._past["video"].before(keys["video"], cut_Q - self._recent_ms)
        yield "rows_recent_video", np.log1p(video.minus(earlier).rows_Q)

    def _novelty(self, keys: Mapping[str, Indices], cut_Q: Indices) -> Columns:
        """How rows with a video nobody had met before went, and the others."""
        base = self._base(cut_Q)
        for name, past in self._new.items():
            everything, new = self._past[name].before(keys[name], cut_Q), past.before(keys[name], cut_Q)
            yield f"share_new_{name}", (new.rows_Q + 1) / (everything.rows_Q + 2)
            yield from self._named(f"new_{name}", new.rate(base, _LIFT_WEIGHT))
            yield from self._named(f"known_{name}", everything.minus(new).rate(base, _LIFT_WEIGHT))

    def _lifts(self, keys: Mapping[str, Indices], cut_Q: Indices) -> Columns:
        """How much better than viewer and length let expect a video's rows went, and a viewer's of that length."""
        for name, past in self._surprise.items():
            found = past.before(keys[name], cut_Q)
            yield from self._named(f"lift_{name}", found.rate(np.zeros_like(found.total_QM), _LIFT_WEIGHT))

    def _viewer_attributes(self, rows: RatedLog) -> Columns:
        if self._attributes is None:
            return
        found = lookup(self._attributes.viewer_ids, rows.viewer_ids)
        for column, name in enumerate(self._attributes.names):
            yield f"viewer.{name}", np.where(found >= 0, self._attributes.values_NA[found, column], np.nan)

    def _base(self, cut_Q: Indices) -> Floats:
        """The log's rates before each instant. [Q, M]"""
        found: Found = self._past["log"].before(np.zeros_like(cut_Q), cut_Q)
        return found.rate(np.full_like(found.total_QM, 0.5), 1.0)

    def _expected(self, keys: Mapping[str, Indices], at_N: Indices) -> Floats:
        """The log's rate, plus what viewer and length usually add. [N, M]"""
        base = self._base(at_N)
        viewer = self._past["viewer"].before(keys["viewer"], at_N).rate(base, _WEIGHT)
        length = self._past["length"].before(keys["length"], at_N).rate(base, _LOG_WEIGHT)
        return np.maximum(viewer + length - base, 0.0)

    def _named(self, name: str, values_QM: Floats) -> Columns:
        return ((f"{value}_{name}", values_QM[:, column]) for column, value in enumerate(self.values))


def _values(log: RatedLog) -> tuple[tuple[str, ...], Floats]:
    """What is averaged over the past: binary labels, share of the video played, log of the seconds. [N, M]"""
    values = {head: log.labels[head] for head in BINARY if head in log.labels}
    if WATCH in log.labels:
        watched_s = log.labels[WATCH]
        values["share"] = np.minimum(watched_s / np.maximum(log.duration_s, 0.1), _MOST_SHARE)
        values["log_watch"] = np.log1p(watched_s)
    return tuple(values), np.stack(list(values.values()), axis=1)


def _edges(duration_s: Floats) -> Floats:
    known = duration_s[~np.isnan(duration_s)]
    return np.unique(np.quantile(known, np.arange(1, _LENGTHS) / _LENGTHS)) if len(known) else np.empty(0)


def _rows_of(known: Indices, ids: Indices | None, num: int) -> Indices:
    """Row of each id, −1 where unknown; all unknown where a log lacks the column."""
    return np.full(num, -1) if ids is None else lookup(known, ids).astype(np.int64)


def _first(video_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    first = np.zeros(len(video_ids), dtype=bool)
    first[np.unique(video_ids, return_index=True)[1]] = True
    return first


def _log_hours(at_Q: Indices, since_Q: Indices) -> Floats:
    return np.where(since_Q >= 0, np.log1p(np.maximum(at_Q - since_Q, 0) / HOUR_MS), np.nan)
