"""The monitor of the simulated year: at every midnight, one look at what the log knew then, and what follows from it.

    rollback    of the live release when the diagnosis blames it and another one served before; of its canary likewise
    report      where the data are broken (not where viewers changed), this week's training waits
    retrain     the weekly training takes it along

A look ends two hours before midnight, when outcomes are complete (`monitoring.observations.SETTLED_H`).
"""

from collections.abc import Collection

import polars as pl

from core import columns as c
from core.clock import DAY_MS, HOUR_MS
from data.dataset import Dataset
from monitoring import observations as o
from monitoring import signals, watch
from monitoring.severity import Action, Diagnosis

_LEAD_DAYS = 7
"""Days before the first window that say who is a known viewer."""
WAITS = ("ingest", "upstream", "features", "traffic")
"""Steps of the pipeline whose trouble is in the training data, too."""


def look(dataset: Dataset, midnight: int) -> Diagnosis | None:
    """What the last day shows; None on a quiet one, and while there is too little log to compare with."""
    end = midnight // HOUR_MS - o.SETTLED_H
    first = end - 24 * watch.WARM_UP_DAYS
    if dataset.events[c.RECEIVED_AT][0] > first * HOUR_MS:
        return None
    recent = pl.col(c.RECEIVED_AT).is_between(first * HOUR_MS - _LEAD_DAYS * DAY_MS, midnight, closed="left")
    rows = o.observe(dataset.events.filter(recent), dataset.viewers, dataset.videos)
    return watch.look(signals.tally(rows, first, end), end).diagnosis


def release_of(diagnosis: Diagnosis) -> str:
    """Which release a diagnosis blames, where it blames one."""
    return o.release_of(diagnosis.feature)


def action(diagnosis: Diagnosis, replaceable: Collection[str]) -> Action:
    """What is done: the diagnosis's own action, but a rollback of a release that cannot be replaced is a report."""
    possible = release_of(diagnosis) in replaceable
    return Action.REPORT if diagnosis.action == Action.ROLLBACK and not possible else diagnosis.action
