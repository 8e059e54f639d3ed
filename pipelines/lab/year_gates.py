"""Whether a release of the simulated year may be promoted: `pipelines.gates` on the day that its training left out.

Candidate and live release answer the same test clicks and score the same test impressions, from features of the moment before;
`pipelines.gates.judge` gives the verdicts. Only the families in `YearConfig.judged` are asked. The data gate holds a week
against those of the four before it that were learned from.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from core import columns as c
from core import events as ev
from data import interactions, profile, validation
from data.dataset import Dataset
from data.validation_report import ValidationReport
from pipelines.evaluation import slices
from pipelines.evaluation.cases import time_split
from pipelines.evaluation.compare import PROTOCOL
from pipelines.evaluation.evaluate import measure
from pipelines.evaluation.leaderboard import About, Entry, Leaderboard
from pipelines.gates import measure as gates_measure
from pipelines.gates.gates import Gate
from pipelines.gates.judge import Evidence, Measured, judge
from pipelines.gates.questions import CANDIDATE, Answered, Questions
from pipelines.lab.year_config import YearConfig
from pipelines.presets import RunConfig
from serving.releases import LoadedRelease

_FEWEST_A_DAY = 30
"""Events of a kind below which a day without any is not news."""
_UNTIMED = np.ones(1)


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
    report: ValidationReport,
    config: YearConfig,
    run: RunConfig,
    test_from: int,
) -> list[Gate]:
    """The verdict of every gate that is asked.

    Args:
        candidate: with every video of `dataset`.
        live: the same.
        dataset: the log until now.
        report: on the week that the candidate learned from.
        config: bounds.
        run: of the seed.
        test_from: ms; the candidate learned from what came before.
    """
    clicks = interactions.clicks(dataset.events, candidate.catalogue.video_ids)
    held_out = time_split(clicks, test_from, candidate.catalogue.uploaded_at, max_cases=run.evaluation.max_cases, seed=run.seed)
    questions = Questions(dataset, candidate.catalogue, candidate.viewers, clicks, test_from, held_out, run)
    shown = gates_measure.impressions(questions, [candidate, live], config.gates)
    measured = {name: _measured(name, loaded, questions, shown) for name, loaded in ((CANDIDATE, candidate), ("live", live))}
    ours, theirs = measured[CANDIDATE], measured["live"]
    about = About(labels=slices.label(held_out, questions.catalogue, questions.viewers))
    board = Leaderboard(PROTOCOL, held_out, (ours.entry,), about=about, seed=run.seed)
    found = gates_measure.slices_of(board, theirs.entry, config.gates)
    gates = judge(Evidence(ours, theirs, board, report, slices=found), config.gates)
    return [gate for gate in gates if gate.family in config.judged]


def _measured(name: str, loaded: LoadedRelease, questions: Questions, shown: pl.DataFrame) -> Measured:
    entry = Entry(name, measure(Answered(loaded, questions).model, questions.held_out), 0.0)
    return Measured(loaded.release_id, entry, gates_measure.heads_of(loaded, questions, shown), _UNTIMED, 0)
