"""Cutting a log in time, for everyone at once: towers learn from the first part, the ranker from the next, then comes the test.

One global cut, not each viewer's last click: leaving one out per viewer trains on what happens after the test and lets models
recommend the future (Ji et al., "A Critical Study on Data Leakage in Recommender System Offline Evaluation", arXiv 2010.11060).
Times are `received_at`: what the service knew. `find_leaks` looks for the same faults in any split, also in one that came from
elsewhere as two files.
"""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import events as ev
from core.clock import stamp
from core.errors import BadInput
from data.catalogue import lookup
from data.interactions import Interactions


@dataclass(frozen=True)
class TimeSplit:
    """Instants (ms): towers < `ranker_from` ≤ ranker < `test_from` ≤ test < `test_until`."""

    ranker_from: int
    test_from: int
    test_until: int


def global_time_split(events: pl.DataFrame, test_fraction: float = 0.1, ranker_fraction: float = 0.2) -> TimeSplit:
    """Cut at quantiles of the times of clicks.

    At least `test_fraction` of the clicks come at or after `test_from` and at least `ranker_fraction` between the cuts; more,
    where several clicks share the instant of a cut: an instant is never divided.

    Raises:
        BadInput: fractions outside (0, 1), or too few distinct instants for three parts.
    """
    if not (test_fraction > 0 and ranker_fraction > 0 and test_fraction + ranker_fraction < 1):
        raise BadInput(f"test {test_fraction} and ranker {ranker_fraction} must be positive fractions with a sum below 1")
    at = np.sort(events.filter(pl.col(c.KIND) == ev.CLICK)[c.RECEIVED_AT].to_numpy())
    n = len(at)
    if n < 3:
        raise BadInput(f"a split in time needs at least 3 clicks; the log has {n}")
    test_from = int(at[min(n - 1, math.floor(n * (1 - test_fraction)))])
    ranker_from = int(at[min(n - 1, math.floor(n * (1 - test_fraction - ranker_fraction)))])
    if not at[0] < ranker_from < test_from:
        raise BadInput("too many clicks share one instant to cut the log into three parts; does the log have real times?")
    return TimeSplit(ranker_from, test_from, int(events[c.RECEIVED_AT].max()) + 1)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Pairs:
    """n rows of a split: who met which video, and when where that is known."""

    viewer_ids: NDArray[np.int64]
    video_rows: NDArray[np.int32]
    """Catalogue rows; −1 where the catalogue lacks the video."""
    at: NDArray[np.int64] | None = None
    """Instants that compare across viewers; None where the log has none."""

    def __len__(self) -> int:
        return len(self.viewer_ids)

    @staticmethod
    def of(interactions: Interactions, *, timed: bool = True) -> "Pairs":
        """All interactions, at the instant they were received."""
        viewer_ids = interactions.viewer_ids[interactions.viewer_rows]
        return Pairs(viewer_ids, interactions.video_rows, interactions.at if timed else None)


@dataclass(frozen=True)
class Leak:
    """One way in which the training rows know of the test, or rows ask for what could not be."""

    kind: str
    """late, tie, repeated or before_upload."""
    count: int
    """Rows it concerns."""
    of: int
    """Among how many."""
    text: str
    """In plain words."""


def find_leaks(train: Pairs, test: Pairs, uploaded_at: NDArray[np.int64] | None = None) -> tuple[Leak, ...]:
    """Everything suspicious about a split, whoever made it; empty for a clean one.

    late: training rows after the first test row. tie: training rows of that very instant, whose order nobody knows. repeated:
    test pairs that training has. before_upload: rows of either part earlier than the video's upload (uploaded_at: [V], 0 where
    unknown). What needs times is passed over where there are none.
    """
    found = [*_out_of_order(train, test), *_repeated(train, test)]
    if uploaded_at is not None:
        found += [leak for name, part in (("training", train), ("test", test)) for leak in _unborn(name, part, uploaded_at)]
    return tuple(found)


def _out_of_order(train: Pairs, test: Pairs) -> list[Leak]:
    if train.at is None or test.at is None or not len(train) or not len(test):
        return []
    first, n = int(test.at.min()), len(train)
    late, tied = int((train.at > first).sum()), int((train.at == first).sum())
    where = f"the first test row ({stamp(first)})"
    leaks = []
    if late:
        text = f"{late:,} of {n:,} training rows come after {where}, up to {stamp(int(train.at.max()))}"
        leaks.append(Leak("late", late, n, text))
    if tied:
        leaks.append(Leak("tie", tied, n, f"{tied:,} of {n:,} training rows share the instant of {where}"))
    return leaks


def _repeated(train: Pairs, test: Pairs) -> list[Leak]:
    width = 1 + max(int(train.video_rows.max(initial=0)), int(test.video_rows.max(initial=0)))
    viewers = np.unique(test.viewer_ids)
    known = lookup(viewers, train.viewer_ids).astype(np.int64)
    usable = (known >= 0) & (train.video_rows >= 0)
    have = np.unique(known[usable] * width + train.video_rows[usable])
    asked = lookup(viewers, test.viewer_ids).astype(np.int64) * width + test.video_rows
    again = int(((lookup(have, asked) >= 0) & (test.video_rows >= 0)).sum())
    if not again:
        return []
    return [
        Leak("repeated", again, len(test), f"{again:,} of {len(test):,} test pairs of viewer and video are in training too")
    ]


def _unborn(name: str, part: Pairs, uploaded_at: NDArray[np.int64]) -> list[Leak]:
    if part.at is None:
        return []
    known = part.video_rows >= 0
    early = int((uploaded_at[part.video_rows[known]] > part.at[known]).sum())
    if not early:
        return []
    return [
        Leak("before_upload", early, len(part), f"{early:,} of {len(part):,} {name} rows are earlier than their video's upload")
    ]
