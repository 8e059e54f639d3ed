"""What accepted data looked like, small enough to keep: daily volumes, and histograms of what viewers do, per day.

New data is compared with a profile (`data.expectations`), so the old rows are not needed again. Histograms come from whole
viewers drawn by a hash of their id, up to about `LARGEST_SAMPLE` events, and carry a design effect: rows of one viewer resemble
each other, so n rows are worth n / δ independent ones. δ is the first-order correction of Rao & Scott (JASA 1981) for clusters,

    δ = n / (B − 1) · Σ_b V_b / p_b,    V_b = C / (C − 1) · Σ_viewers (x_vb − p_b · n_v)² / n²,

and never less than 1. One profile per dataset, `<snapshots>/accepted.json`: the last accepted one.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import config, files, two_sample
from core.clock import DAY_MS, HOUR_MS, SECOND_MS
from data.dataset import Dataset
from data.measures import DAY, EMPTY, MEASURES, VIEWER, Measure, Rows

LARGEST_SAMPLE = 500_000
HISTOGRAM_DAYS, VOLUME_DAYS = 28, 56
_ACCEPTED = "accepted.json"
_MOST_LABELS = 20
_MARGIN_MS = 3 * HOUR_MS


@dataclass(frozen=True)
class Histogram:
    """How often each of B bins occurred on each day."""

    edges: tuple[float, ...]
    """Inner edges of a number's bins; empty for categories."""
    labels: tuple[str, ...]
    """Categories, the last bin being all others; empty for numbers."""
    days: dict[str, tuple[int, ...]]
    """Day (`2026-01-31`) → [B] counts."""
    design_effect: float
    """δ: n rows are worth n / δ independent ones."""

    def total(self, days: Iterable[str]) -> NDArray[np.int64]:
        """[B] counts over some days."""
        empty = np.zeros(len(self.edges or self.labels) + 1, dtype=np.int64)
        return empty + sum((np.asarray(self.days[day], dtype=np.int64) for day in days if day in self.days), empty)


@dataclass(frozen=True)
class Profile:
    """What a dataset looked like."""

    snapshot_id: str
    """Of the accepted snapshot; empty for data that is being compared."""
    first_at: int
    last_at: int
    """received_at of the last event it knows, ms."""
    volumes: dict[str, dict[str, int]]
    """Kind → day of arrival → events; complete days only, a day without events is 0."""
    histograms: dict[str, Histogram]
    """Name of a measure → what it was."""


def build(dataset: Dataset, snapshot_id: str = "") -> Profile:
    """The profile of a whole dataset."""
    events = dataset.events
    first_at, last_at = int(events[c.RECEIVED_AT][0]), dataset.end_at
    known = complete_days(first_at, last_at)[-VOLUME_DAYS:]
    recent = replace(dataset, events=events.filter(pl.col(c.RECEIVED_AT) > last_at - HISTOGRAM_DAYS * DAY_MS))
    return Profile(snapshot_id, first_at, last_at, volumes(events, known), histograms(recent))


def histograms(dataset: Dataset, like: Mapping[str, Histogram] | None = None) -> dict[str, Histogram]:
    """A histogram per measure; with `like`, in the same bins. Measures without rows are absent."""
    rows, found = Rows.of(dataset, LARGEST_SAMPLE), {}
    for measure in MEASURES:
        if like is not None and measure.name not in like:
            continue
        frame = rows.of_measure(measure)
        if len(frame):
            found[measure.name] = _histogram(measure, frame, like[measure.name] if like else None)
    return found


def volumes(events: pl.DataFrame, days: list[str]) -> dict[str, dict[str, int]]:
    """Kind → day → number of events received on it."""
    if not days:
        return {}
    day = (pl.col(c.RECEIVED_AT) // DAY_MS).alias(DAY)
    counted = events.lazy().group_by(day, c.KIND).len().collect()
    counts = {(kind, _text(number)): count for number, kind, count in counted.iter_rows()}
    return {kind: {day: counts.get((kind, day), 0) for day in days} for kind in sorted({kind for kind, _ in counts})}


def complete_days(first_at: int, last_at: int) -> list[str]:
    """Days (UTC) that lie within [first_at, last_at], give or take three hours at either end."""
    first = -(-(first_at - _MARGIN_MS) // DAY_MS)
    return [_text(day) for day in range(first, (last_at + _MARGIN_MS) // DAY_MS)]


def weekday(day: str) -> int:
    """0 is Monday."""
    return date.fromisoformat(day).weekday()


def accept(snapshots: Path, found: Profile) -> None:
    """Make `found` what new data is compared with."""
    files.replace_text(snapshots / _ACCEPTED, json.dumps(asdict(found)))


def accepted(snapshots: Path) -> Profile | None:
    """The profile of the last accepted snapshot."""
    path = snapshots / _ACCEPTED
    return config.from_dict(Profile, json.loads(path.read_text())) if path.is_file() else None


def design_effect(viewers: NDArray[np.integer], bins: NDArray[np.integer], num_bins: int) -> float:
    """δ of n rows: `viewers` [n] are codes from 0, `bins` [n] positions below `num_bins`. 1 when nothing can vary."""
    num_viewers = int(viewers.max(initial=-1)) + 1
    x_VB = np.bincount(viewers.astype(np.int64) * num_bins + bins, minlength=num_viewers * num_bins)
    x_VB = x_VB.reshape(num_viewers, num_bins)[:, x_VB.reshape(num_viewers, num_bins).any(axis=0)].astype(np.float64)
    per_viewer = x_VB.sum(axis=1)
    n, num_clusters, used = float(per_viewer.sum()), int((per_viewer > 0).sum()), x_VB.shape[1]
    if used < 2:
        return 1.0
    if num_clusters < 2:
        return n
    share = x_VB.sum(axis=0) / n
    variance = num_clusters / (num_clusters - 1) * ((x_VB - per_viewer[:, None] * share) ** 2).sum(axis=0) / n**2
    return max(1.0, float(n / (used - 1) * (variance / share).sum()))


def _histogram(measure: Measure, rows: pl.DataFrame, like: Histogram | None) -> Histogram:
    """`rows` holds viewer codes, days and values without nulls."""
    value = rows[measure.name]
    edges, labels = (like.edges, like.labels) if like else _bins(measure, value)
    if edges:
        bins = np.searchsorted(np.asarray(edges), value.to_numpy(), side="left")  # as core.two_sample.binned
    else:
        code = {label: at for at, label in enumerate(labels)}
        bins = value.replace_strict(code, default=len(labels), return_dtype=pl.Int64).to_numpy()
    num_bins = len(edges or labels) + 1
    days, at = np.unique(rows[DAY].to_numpy(), return_inverse=True)
    counts = np.bincount(at * num_bins + bins, minlength=len(days) * num_bins).reshape(len(days), num_bins)
    by_day = {_text(int(day)): tuple(row.tolist()) for day, row in zip(days, counts, strict=True)}
    return Histogram(edges, labels, by_day, design_effect(rows[VIEWER].to_numpy(), bins, num_bins))


def _bins(measure: Measure, value: pl.Series) -> tuple[tuple[float, ...], tuple[str, ...]]:
    if measure.numeric:
        return tuple(two_sample.quantile_edges(value.to_numpy()).tolist()), ()
    if measure.rate:
        return (), (EMPTY,)
    counted = value.value_counts(sort=True, name="n").sort("n", measure.name, descending=[True, False])
    return (), tuple(counted[measure.name].head(_MOST_LABELS).to_list())


def _text(day: int) -> str:
    return f"{datetime.fromtimestamp(day * DAY_MS / SECOND_MS, UTC):%Y-%m-%d}"
