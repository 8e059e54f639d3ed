"""`experiments.backtest` for the models of this project: a dataset and a model's name in, one figure per origin out.

Baselines keep their default settings, so that every origin trains the same thing; towers are trained from scratch on the
window's clicks with the features of their moments. Each test window is asked as the leaderboard asks: every first click is a
case, ranked among all videos, with the viewer's own earlier clicks as history.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from data import interactions as logs
from data.catalogue import Catalogue, ViewerTable
from data.dataset import Dataset
from data.interactions import Interactions, group
from experiments.backtest import Backtest, Cut, Measured, backtest, rolling_cuts
from pipelines import examples
from pipelines.evaluation.cases import Cases, time_split
from pipelines.evaluation.compare import features_of
from pipelines.evaluation.evaluate import Model, Scored, Towers, measure
from pipelines.presets import RunConfig
from retrieval import export
from retrieval import train as retrieval
from retrieval.encoder import VECTORS, ViewerEncoder
from retrieval.tunable import tunables

TWO_TOWER = "two_tower"
ForCases = Callable[[Cases], Model]
"""A fitted model, once it knows whose features will be asked for."""


@dataclass(frozen=True)
class Log:
    """A dataset as backtests read it."""

    dataset: Dataset
    catalogue: Catalogue
    viewers: ViewerTable
    clicks: Interactions

    @staticmethod
    def of(dataset: Dataset) -> "Log":
        """Arrange a dataset."""
        catalogue = Catalogue.of(dataset.videos)
        clicks = logs.clicks(dataset.events, catalogue.video_ids)
        return Log(dataset, catalogue, ViewerTable.of(dataset.viewers), clicks)


def run(
    log: Log,
    model: str,
    config: RunConfig,
    *,
    origins: int,
    test_ms: int,
    window_ms: int | None = None,
    gap_ms: int = 0,
) -> Backtest:
    """One model at every origin; see `experiments.backtest.rolling_cuts` for the windows.

    Raises:
        BadInput: no such model, or a log too short for these windows.
    """
    baselines = tunables(max_ease_videos=config.evaluation.ease_videos)
    if model != TWO_TOWER and model not in baselines:
        raise BadInput(f"there is no model '{model}' to backtest; known: {', '.join([*baselines, TWO_TOWER])}")

    def train(cut: Cut) -> ForCases:
        if model == TWO_TOWER:
            return _towers(log, config, cut)
        fitted = Scored(baselines[model].default.fit(window(log.clicks, cut.train_from, cut.train_until)))
        return lambda cases: fitted

    def evaluate(fitted: ForCases, cut: Cut) -> Measured:
        known = log.clicks.before(cut.test_until)
        limit = config.evaluation.max_cases
        held_out = time_split(known, cut.test_from, log.catalogue.uploaded_at, max_cases=limit, seed=config.seed)
        return Measured(measure(fitted(held_out.cases), held_out), held_out.cases.viewer_ids)

    cuts = rolling_cuts(log.clicks.at, origins=origins, test_ms=test_ms, window_ms=window_ms, gap_ms=gap_ms)
    return backtest(log.clicks.at, cuts, train, evaluate)


def window(interactions: Interactions, begin: int, end: int) -> Interactions:
    """What happened in [begin, end), with the viewers to whom it happened."""
    keep = (interactions.at >= begin) & (interactions.at < end)
    viewer_ids = interactions.viewer_ids[interactions.viewer_rows[keep]]
    return group(viewer_ids, interactions.video_rows[keep], interactions.at[keep], interactions.num_videos)


def _towers(log: Log, config: RunConfig, cut: Cut) -> ForCases:
    events = log.dataset.until(cut.train_until).events
    clicks = examples.clicks(events, log.catalogue, log.viewers, cut.train_until)
    chosen = clicks.examples(clicks.between(cut.train_from, cut.train_until))
    with TemporaryDirectory() as folder:
        towers = retrieval.train(config.towers, clicks.features.schema, log.catalogue, chosen)
        export.write(towers, log.catalogue, Path(folder), at=cut.train_until)
        encoder, video_VD = ViewerEncoder.load(Path(folder)), np.load(Path(folder) / VECTORS)

    def for_cases(cases: Cases) -> Model:
        features = features_of(log.dataset, log.catalogue, log.viewers, cases)

        def encode(_: Cases, rows: slice) -> NDArray[np.float32]:
            return encoder.encode(features.viewer_part(np.arange(len(cases))[rows]))

        return Towers(video_VD, encode)

    return for_cases
