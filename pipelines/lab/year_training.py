"""Training in the simulated year: what `upnext train` does, every week from nothing, on the last weeks of the log.

    first towers   on the clicks before the ranker's window
    ranker         on that window, with the affinity of the first towers, which is out of sample there
    towers         go on from the first ones, over all clicks

The ranker's window is `YearConfig.ranker_days`, but half of the log at most. One week, as the feedback-loop laboratory takes,
is too little here: 1,500 clicks on pages that the ranker of the week before has already sorted. Weeks that nothing may be
learned from are left out whole, of rows and of their features.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from core import columns as c
from core.clock import DAY_MS
from data.catalogue import Catalogue, ViewerTable
from data.dataset import Dataset
from data.splits import TimeSplit
from pipelines import fit
from pipelines.lab.training import RELEASE
from pipelines.lab.year_config import YearConfig
from pipelines.presets import RunConfig
from pipelines.releases import bundle


def train(
    dataset: Dataset, until: int, config: YearConfig, run: RunConfig, folder: Path, left_out: Sequence[tuple[int, int]] = ()
) -> None:
    """Write a release that learned from what was received before `until` into `folder`.

    Args:
        dataset: the log, and the videos that the release shall know.
        until: ms.
        config: how far back training looks.
        run: of the seed.
        folder: gets `training.RELEASE`.
        left_out: windows of the log, ms, that are not learned from.
    """
    at = pl.col(c.RECEIVED_AT)
    since = max(until - config.log_days * DAY_MS, int(dataset.events[c.RECEIVED_AT][0]))
    learned = at.is_between(since, until, closed="left")
    for window in left_out:
        learned &= ~at.is_between(*window, closed="left")
    ranker_from = until - min(config.ranker_days * DAY_MS, (until - since) // 2)
    recent = replace(dataset, events=dataset.events.filter(learned))
    split = TimeSplit(ranker_from, until, until + 1)
    material = fit.prepare(recent, Catalogue.of(dataset.videos), ViewerTable.of(dataset.viewers), split)
    towers, ranker = fit.both(material, run)
    bundle.write(folder / RELEASE, replace(material, dataset=dataset), towers, ranker, run, log_offset=0)
