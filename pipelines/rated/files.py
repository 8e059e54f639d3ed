"""Ranking measured between two files of any rated log: learn from one, be measured on the other, next to tuned LightGBM.

    read → settings of both models, chosen inside the training file → both fitted on all of it → the held-out file is opened
        → features frozen at the end of the training file → report on the ranker, on LightGBM, on several of it averaged,
          and on ranker and averaged LightGBM together

Labels of the held-out file are used for nothing but its figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np

from core import config as configs
from core.errors import BadInput
from core.inference import Interval
from core.rng import stream
from pipelines.progress import Stages
from pipelines.rated import log as rated_log
from pipelines.rated import ranker as rated_ranker
from pipelines.rated import trees as rated_trees
from pipelines.rated.features import RatedFeatures, Table
from pipelines.rated.log import BINARY, HEADS, RatedLog
from pipelines.rated.report import RankingReport, auc_gain, figures, loss_gain
from pipelines.rated.trees import Labelled
from pipelines.rated.tuning import (
    AVERAGED,
    RANKER,
    TOGETHER,
    TREES,
    Chosen,
    RankFilesConfig,
    Scores,
    choose,
    through,
    together,
    training_part,
)

_PAIRS = ((TOGETHER, TREES), (RANKER, TREES), (TOGETHER, AVERAGED))
"""Whose AUC is held against whose."""


def configure(assignments: Sequence[str]) -> RankFilesConfig:
    """The default with `section.key=value` applied.

    Raises:
        ConfigError, BadInput: an unknown key, a wrong type, or a value out of range.
    """
    config = configs.override(RankFilesConfig(), assignments)
    if not 0 < config.tuning_share < 1 or min(config.trials, config.members, config.views, config.max_rows) < 1:
        raise BadInput("tuning_share must lie between 0 and 1; trials, members, views and max_rows be at least 1")
    return config


def evaluate(train: Path, held_out: Path, config: RankFilesConfig, stages: Stages) -> RankingReport:
    """Tune and fit on `train`, then open `held_out` and measure.

    Raises:
        BadInput, SchemaMismatch: a file cannot be used; see `rated_log.read`.
    """
    if not held_out.is_file():  # without a look into it, and before training takes its minutes
        raise BadInput(f"there is no file {held_out}")
    with stages("read") as stage:
        log, attributes = rated_log.read(train), rated_log.read_viewers(train)
        stage.note = f"{len(log):,} rows, {len(np.unique(log.viewer_ids)):,} viewers, {len(np.unique(log.video_ids)):,} videos"
    chosen = choose(log, attributes, config, stages)
    with stages("features") as stage:
        features = RatedFeatures(log, attributes)
        part = training_part(log, features, config)
        stage.note = f"{len(part.table.names)} features of {len(part.rows):,} rows"
    with stages("ranker") as stage:
        count = len(chosen.members)
        ranker = rated_ranker.fit(part.rows, part.table, chosen.members, lambda number: through(stage, number, count))
        stage.note = f"{count} members"
    with stages("lightgbm") as stage:
        trees = {}
        for number, head in enumerate(chosen.trees):
            stage.advance(number / len(chosen.trees), head)
            trees[head] = _forests(head, chosen, part.labelled(head), config)
    with stages("held-out file") as stage:
        rows = rated_log.read(held_out)
        table = features.table(rows, np.minimum(rows.at, log.at[-1] + 1))
        raw: dict[str, Scores] = {RANKER: ranker.raw_scores(table.values_QF), **_tree_scores(trees, table)}
        raw[TOGETHER] = together(raw, chosen.shares)
        stage.note = f"{len(rows):,} rows"
    return _report(rows, raw, chosen, log, config)


def _forests(head: str, chosen: Chosen, rows: Labelled, config: RankFilesConfig) -> list[lgb.Booster]:
    """One for each of the head's best settings, each with its own seed; the first is the baseline."""
    return [rated_trees.fit(head, settings, rows, config.seed + number) for number, settings in enumerate(chosen.trees[head])]


def _tree_scores(trees: Mapping[str, Sequence[lgb.Booster]], table: Table) -> dict[str, Scores]:
    """Of the baseline and of all averaged."""
    return {
        TREES: {head: rated_trees.raw_scores(models[0], table.values_QF) for head, models in trees.items()},
        AVERAGED: {head: rated_trees.mean_scores(models, table.values_QF) for head, models in trees.items()},
    }


def _report(rows: RatedLog, raw: Mapping[str, Scores], chosen: Chosen, log: RatedLog, config: RankFilesConfig) -> RankingReport:
    """Calibrated scores against the labels of the held-out file."""
    heads: dict[str, dict[str, dict[str, Any]]] = {model: {} for model in raw}
    gain: dict[tuple[str, str], dict[str, Interval]] = {pair: {} for pair in _PAIRS}
    calibration: dict[str, dict[str, Interval]] = {}
    for head in [head for head in HEADS if head in rows.labels and head in raw[RANKER]]:
        known = ~np.isnan(rows.labels[head])
        if not known.any():
            continue
        labels, viewers = rows.labels[head][known], rows.viewer_ids[known]
        predicted = {model: chosen.calibrations[model][head](scores[head][known]) for model, scores in raw.items()}
        for model in raw:
            heads[model][head] = figures(head, labels, predicted[model], viewers)
        if head in BINARY and 0 < labels.sum() < len(labels):
            for (first, second), found in gain.items():
                random = stream(config.seed, "ranking gain", head)
                found[head] = auc_gain(labels, raw[first][head][known], raw[second][head][known], viewers, random)
            random = stream(config.seed, "calibration gain", head)
            calibration[head] = loss_gain(labels, predicted[TOGETHER], predicted[TREES], viewers, random)
    return RankingReport(
        heads=heads[TOGETHER],
        alone=heads[RANKER],
        baseline=heads[TREES],
        averaged=heads[AVERAGED],
        gain=gain[TOGETHER, TREES],
        gain_alone=gain[RANKER, TREES],
        gain_over_averaged=gain[TOGETHER, AVERAGED],
        calibration=calibration,
        omitted=_omitted(log, rows, heads[RANKER]),
        facts=_facts(rows, chosen, log, config),
    )


def _facts(rows: RatedLog, chosen: Chosen, log: RatedLog, config: RankFilesConfig) -> dict[str, Any]:
    """Sizes and settings."""
    return {
        "rows": {"train": len(log), "held_out": len(rows)},
        "watch": "gamma deviance for both models; MAE is of the median, a line in logs of the predicted mean",
        "settings": {
            "config": configs.to_dict(config),
            RANKER: [configs.to_dict(member) for member in chosen.members],
            TREES: {head: [asdict(each) for each in settings] for head, settings in chosen.trees.items()},
            TOGETHER: dict(chosen.shares),
        },
        "tuned_auc": dict(chosen.auc),
    }


def _omitted(log: RatedLog, rows: RatedLog, measured: Mapping[str, Any]) -> dict[str, str]:
    few = "too few labels: in the training file to learn from, or none in the held-out file"
    reasons = {head: f"held-out file: {reason}" for head, reason in rows.omitted.items()} | dict(log.omitted)
    return {head: reasons.get(head, few) for head in HEADS if head not in measured}
