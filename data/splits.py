"""Cutting a log in time, for everyone at once: towers learn from the first part, the ranker from the next, then comes the test.

One global cut, not each viewer's last click: leaving one out per viewer trains on what happens after the test and lets models
recommend the future (Ji et al., "A Critical Study on Data Leakage in Recommender System Offline Evaluation", arXiv 2010.11060).
Times are `received_at`: what the service knew.
"""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from core import columns as c
from core import events as ev
from core.errors import BadInput


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


def check_no_leak(train_events: pl.DataFrame, test_from: int) -> None:
    """Raise BadInput if any training event was received at or after `test_from`."""
    late = train_events.filter(pl.col(c.RECEIVED_AT) >= test_from)
    if len(late):
        first = late.row(0, named=True)
        raise BadInput(
            f"{len(late):,} training events were received at or after the start of the test ({test_from}), "
            f"e.g. {first[c.KIND]} {first[c.EVENT_ID]} at {first[c.RECEIVED_AT]}; train on received_at < {test_from}"
        )
