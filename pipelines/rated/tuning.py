"""Settings of the ranker and of LightGBM for a rated log, chosen on the last part of the training file as if it were held out.

Both models learn from the same earlier rows, are tried with equally many settings (LightGBM: for each head), are judged by AUC
(for watched seconds: gamma deviance), and get their calibration from the later rows. So does what they say together,

    raw = (1 − share) · raw of the ranker + share · mean raw of LightGBM's best settings       with a share for each head,

for they err differently. LightGBM with its best setting is the bar; averaged, it stands beside it, so that nobody takes what
averaging gains for what the ranker adds. Knows nothing of the held-out file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from core import metrics
from core.errors import BadInput
from core.rng import stream
from pipelines.progress import Stage, Stages
from pipelines.rated import ranker as rated_ranker
from pipelines.rated import trees as rated_trees
from pipelines.rated.features import RatedFeatures, Table, lagged
from pipelines.rated.log import BINARY, Attributes, Floats, RatedLog
from pipelines.rated.report import Calibration, calibration
from pipelines.rated.trees import Labelled, TreeSettings
from ranking.config import RankerConfig

RANKER, TREES, AVERAGED, TOGETHER = "ranker", "lightgbm", "lightgbm averaged", "together"
_EVEN = 0.5
_SHARES = (0.5, 0.25, 0.75, 0.0, 1.0)
"""Of equals the first is taken."""
Scores = Mapping[str, Floats]
"""Raw scores by head: log-odds, and log seconds for watch."""


@dataclass(frozen=True)
class RankFilesConfig:
    """How both models are tuned and fitted."""

    seed: int = 1
    trials: int = 5
    """Settings tried for each model."""
    members: int = 3
    """So many of the best settings of each model, each with its own seed, are trained again and averaged in log-odds."""
    tuning_share: float = 0.2
    """Last share of the training rows, on which settings are chosen and scores calibrated."""
    stalest: float = 0.25
    """Training rows see pasts that end up to this share of the log's time before them."""
    views: int = 3
    """How often each training row is shown, each time with a past of another age."""
    max_rows: int = 150_000
    """Most rows of all views together; of a longer log the latest rows train, and all count as past."""
    ranker: RankerConfig = field(default_factory=rated_ranker.default_config)


@dataclass(frozen=True)
class Part:
    """Rows with their features."""

    rows: RatedLog
    table: Table

    def labelled(self, head: str) -> Labelled:
        """Those with a label of that head."""
        return Labelled.of(self.table.values_QF, self.rows.labels[head])


@dataclass(frozen=True)
class Chosen:
    """What tuning decided."""

    members: tuple[RankerConfig, ...]
    """The rankers to be averaged."""
    trees: Mapping[str, tuple[TreeSettings, ...]]
    """By head, the best first."""
    shares: Mapping[str, float]
    """Of averaged LightGBM in what both say together, by head."""
    calibrations: Mapping[str, Mapping[str, Calibration]]
    """By model and head."""
    auc: Mapping[str, float]
    """By model, mean over the binary heads on the rows that it was chosen on."""


def training_part(log: RatedLog, features: RatedFeatures, config: RankFilesConfig) -> Part:
    """Every row of the log in several views, each with a past of another age."""
    views = int(np.clip(config.max_rows // len(log), 1, config.views))
    drawn = [lagged(log.at, config.stalest, stream(config.seed, "ages of pasts", view)) for view in range(views)]
    rows, cut = (np.concatenate([pair[side][-config.max_rows :] for pair in drawn]) for side in (0, 1))
    if not len(rows):
        raise BadInput("the training file is too short to learn from: no row has a past")
    shown = log.take(rows)
    return Part(shown, features.table(shown, cut))


def choose(log: RatedLog, attributes: Attributes | None, config: RankFilesConfig, stages: Stages) -> Chosen:
    """Tune and calibrate both models.

    Raises:
        BadInput: too little time, or too few labels of every head.
    """
    with stages("features for tuning") as stage:
        part, held = _inner(log, attributes, config)
        stage.note = f"{len(part.rows):,} rows to learn from, {len(held.rows):,} later ones"
    with stages("ranker settings") as stage:
        members, scores = _members(part, held, config, stage)
        raw: dict[str, Scores] = {
            RANKER: {head: mine for head, mine in scores.items() if not np.isnan(held.rows.labels[head]).all()}
        }
        stage.note = f"mean AUC {_mean_auc(held.rows, raw[RANKER]):.4f}, best {len(members)} of {config.trials}"
    with stages("lightgbm settings") as stage:
        trees, raw[TREES], raw[AVERAGED] = _trees(part, held, tuple(raw[RANKER]), config, stage)
        stage.note = f"mean AUC {_mean_auc(held.rows, raw[TREES]):.4f}, best of {config.trials} for each head"
    shares = {head: _share(held.rows, head, raw) for head in raw[RANKER]}
    raw[TOGETHER] = together(raw, shares)
    calibrations = {model: _calibrate(held.rows, scores) for model, scores in raw.items()}
    return Chosen(members, trees, shares, calibrations, {model: _mean_auc(held.rows, scores) for model, scores in raw.items()})


def together(raw: Mapping[str, Scores], shares: Mapping[str, float]) -> dict[str, Floats]:
    """What both say of some rows, head by head."""
    return {head: (1 - share) * raw[RANKER][head] + share * raw[AVERAGED][head] for head, share in shares.items()}


def through(stage: Stage, number: int, count: int) -> rated_ranker.OnStep:
    """Progress of training number `number` of `count`."""
    return lambda step, steps, loss: stage.advance((number + step / max(steps, 1)) / count, f"loss {loss:.3f}")


def _inner(log: RatedLog, attributes: Attributes | None, config: RankFilesConfig) -> tuple[Part, Part]:
    """Earlier rows, and later ones with features frozen where they begin."""
    boundary = log.at[min(int(len(log) * (1 - config.tuning_share)), len(log) - 1)]
    earlier, later = (log.take(np.flatnonzero(side)) for side in (log.at < boundary, log.at >= boundary))
    if not len(earlier):
        raise BadInput("the rows of the training file have too few different instants: there is no past to learn from")
    features = RatedFeatures(earlier, attributes)
    return training_part(earlier, features, config), Part(later, features.table(later, np.full(len(later), boundary)))


def _members(part: Part, held: Part, config: RankFilesConfig, stage: Stage) -> tuple[tuple[RankerConfig, ...], Scores]:
    """The settings with the best mean AUC, and the mean of their scores of the held rows."""

    def attempt(trial: int) -> tuple[RankerConfig, Scores]:
        setting = replace(rated_ranker.draw(config.ranker, config.seed, trial), seed=config.seed + trial)
        members = rated_ranker.fit(part.rows, part.table, [setting], lambda _: through(stage, trial, config.trials))
        return setting, members.raw_scores(held.table.values_QF)

    tried = [attempt(trial) for trial in range(config.trials)]
    best = sorted(tried, key=lambda found: -_mean_auc(held.rows, found[1]))[: config.members]
    return tuple(setting for setting, _ in best), rated_ranker.mean([scores for _, scores in best])


def _trees(
    part: Part, held: Part, heads: Sequence[str], config: RankFilesConfig, stage: Stage
) -> tuple[dict[str, tuple[TreeSettings, ...]], Scores, Scores]:
    """The best settings of each head, and scores of the held rows: the best one's and their mean."""
    settings: dict[str, tuple[TreeSettings, ...]] = {}
    best, mean = {}, {}
    for number, head in enumerate(heads):
        known = part.labelled(head), held.labelled(head)
        done = partial(_tried, stage, number, len(heads), config.trials)
        found = rated_trees.tune(head, *known, config.trials, config.seed, done)[: config.members]
        settings[head] = tuple(each.settings for each in found)
        best[head] = rated_trees.raw_scores(found[0].model, held.table.values_QF)
        mean[head] = rated_trees.mean_scores([each.model for each in found], held.table.values_QF)
    return settings, best, mean


def _tried(stage: Stage, number: int, heads: int, trials: int, trial: int) -> None:
    stage.advance((number + (trial + 1) / trials) / heads)


def _share(rows: RatedLog, head: str, raw: Mapping[str, Scores]) -> float:
    """Halfway between an even share and the best of a few: a fifth of the rows cannot tell neighbouring shares apart."""

    def value(share: float) -> float:
        labels, scores = _known(rows, head, together(raw, {head: share}))
        if head in BINARY:
            return float(np.nan_to_num(metrics.auc(labels, scores)))
        return -float((scores + labels * np.exp(-scores)).mean())  # gamma deviance, up to a constant

    return (_EVEN + max(_SHARES, key=value)) / 2


def _mean_auc(rows: RatedLog, scores: Scores) -> float:
    """Over the binary heads that have both labels; 0 without any, so that the first setting is kept."""
    found = [metrics.auc(*_known(rows, head, scores)) for head in BINARY if head in scores]
    return float(np.mean([auc for auc in found if not np.isnan(auc)] or [0.0]))


def _calibrate(rows: RatedLog, scores: Scores) -> dict[str, Calibration]:
    return {head: calibration(head, *_known(rows, head, scores)) for head in scores}


def _known(rows: RatedLog, head: str, scores: Scores) -> tuple[Floats, Floats]:
    """Labels and scores of the rows with a label."""
    known = ~np.isnan(rows.labels[head])
    return rows.labels[head][known], scores[head][known]
