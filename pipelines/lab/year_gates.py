"""Whether a release of the simulated year may be promoted: `pipelines.gates` on the day that its training left out.

Candidate and live release predict what came of the same impressions, from features of the moment before, and
`pipelines.gates.judge` gives the verdicts. Test clicks are not asked for: they are of videos that the live release put on its
own pages, so that it finds them first whatever the candidate learned. Whether a week may be learned from, its data checks
say, which hold it against those of the four before it that were.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from core import columns as c
from core import events as ev
from data import profile, validation
from data.dataset import Dataset
from data.validation_report import ValidationReport
from pipelines.gates import judge, measure
from pipelines.gates.gates import Gate, GatesConfig
from serving.releases import LoadedRelease

FAMILIES = ("prediction", "calibration")
"""What is asked of a release; what is asked of a week: `week_report`."""
_FEWEST_A_DAY = 30
"""Events of a kind below which a day without any is not news."""


def week_report(dataset: Dataset, begin: int, accepted: Sequence[tuple[int, int]]) -> ValidationReport:
    """The week from `begin` (ms) on, held against the windows of the log in `accepted`; only against its rules without any."""
    at = pl.col(c.RECEIVED_AT)
    week = replace(dataset, events=dataset.events.filter(at >= begin))
    if not accepted:
        return validation.check(week)
    before = dataset.events.filter(pl.any_horizontal(at.is_between(*window, closed="left") for window in accepted))
    found = profile.build(replace(dataset, events=before))
    lived = {day for day, count in found.volumes[ev.IMPRESSION].items() if count}
    usual = {kind: {day: n for day, n in days.items() if day in lived} for kind, days in found.volumes.items()}
    common = {kind: days for kind, days in usual.items() if np.mean(list(days.values())) >= _FEWEST_A_DAY}
    return validation.check(week, accepted=replace(found, volumes=common, last_at=begin - 1))


def verdicts(
    candidate: LoadedRelease,
    live: LoadedRelease,
    dataset: Dataset,
    config: GatesConfig,
    test_from: int,
) -> list[Gate]:
    """The verdict of every gate that is asked.

    Args:
        candidate: with every video of `dataset`.
        live: the same.
        dataset: the log until now.
        config: bounds.
        test_from: ms; the candidate learned from what came before.
    """
    shown = measure.impressions(dataset, test_from, [candidate, live], config)
    ours, theirs = (measure.heads_of(loaded, dataset, shown) for loaded in (candidate, live))
    return [judge.prediction(ours, theirs, config), *judge.calibration(ours, theirs, config)]
