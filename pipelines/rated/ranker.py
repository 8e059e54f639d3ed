"""The multi-task ranker on the features of a rated log: the code of `ranking`, fed with another schema.

Numbers are written as piecewise-linear codes (Gorishniy et al., NeurIPS 2022): a number between two quantiles of the training
rows lights the columns below it fully and its own in part, so that the linear term of each head is a smooth additive model and
the trunk sees thresholds as trees do. Videos and viewers have no embeddings here: what is known of them stands in their
features. Several rankers are averaged in log-odds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core.rng import stream
from data import dataset
from data.catalogue import Catalogue
from features.schema import FeatureBatch, FeatureSchema, ViewerPart
from pipelines.rated.features import Table
from pipelines.rated.log import CLICK, LIKE, LONG_VIEW, WATCH, Floats, RatedLog
from ranking import train as ranking
from ranking.batches import Impressions, RankingData
from ranking.config import LossWeights, RankerConfig
from ranking.model import Ranker

Matrix = NDArray[np.float32]
OnStep = Callable[[int, int, float], None]
_BINS = {"duration": 64, "video_number": 96, "hour": 24}
_OTHER_BINS = 8


def default_config() -> RankerConfig:
    """For some ten thousand rows: one wide layer, half of it dropped, no crosses, weights averaged, nothing held back."""
    return RankerConfig(
        video_dim=4,
        code_dim=4,
        cross_layers=0,
        hidden=(256,),
        batch_impressions=128,
        max_epochs=3,
        learning_rate=7e-4,
        weight_decay=0.05,
        dropout=0.5,
        average=0.99,
        holdout=0.0,
        loss_weights=LossWeights(click=1.0, long_view=1.0, like=1.0, watch=0.1),
    )


def draw(base: RankerConfig, seed: int, trial: int) -> RankerConfig:
    """A random setting around `base`; trial 0 is `base` itself."""
    if trial == 0:
        return base
    random = stream(seed, "ranker settings", trial)
    return replace(
        base,
        learning_rate=base.learning_rate * float(np.exp(random.uniform(-0.7, 0.7))),
        weight_decay=base.weight_decay * float(np.exp(random.uniform(-1.0, 1.5))),
        dropout=float(random.choice([0.4, 0.5, 0.6])),
        hidden=((128,), (256,), (512,))[int(random.integers(3))],
        max_epochs=int(random.integers(2, 5)),
    )


@dataclass(frozen=True)
class PiecewiseLinear:
    """Numbers → columns in [0, 1]."""

    names: tuple[str, ...]
    edges: tuple[NDArray[np.float32], ...]
    """Ascending, per feature; fewer than two: the feature never varies and is left out."""
    missing: tuple[bool, ...]
    """Whether the feature has a column of its own for "unknown"."""

    @staticmethod
    def of(table: Table) -> "PiecewiseLinear":
        """Edges at quantiles of the known values."""
        edges, missing = [], []
        for name, values in zip(table.names, table.values_QF.T, strict=True):
            known = values[~np.isnan(values)]
            shares = np.linspace(0, 1, _BINS.get(name, _OTHER_BINS) + 1)
            edges.append(np.unique(np.quantile(known, shares)).astype(np.float32) if len(known) else known)
            missing.append(0 < len(known) < len(values))
        return PiecewiseLinear(table.names, tuple(edges), tuple(missing))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        pieces = zip(self.names, self.edges, self.missing, strict=True)
        return tuple(f"{name}.{i}" for name, edges, missing in pieces for i in range(max(len(edges) - 1, 0) + missing))

    def __call__(self, values_QF: Matrix) -> Matrix:
        """[Q, columns]; unknown values count as the middle one."""
        parts = []
        for values, edges, missing in zip(values_QF.T, self.edges, self.missing, strict=True):
            unknown = np.isnan(values)
            if len(edges) > 1:
                filled = np.where(unknown, edges[len(edges) // 2], values)
                parts.append(np.clip((filled[:, None] - edges[:-1]) / np.diff(edges), 0.0, 1.0))
            if missing:
                parts.append(unknown[:, None])
        return np.concatenate(parts, axis=1, dtype=np.float32)


@dataclass(frozen=True)
class Members:
    """Trained rankers that are averaged."""

    encode: PiecewiseLinear
    rankers: tuple[Ranker, ...]

    def raw_scores(self, values_QF: Matrix) -> dict[str, Floats]:
        """Mean logits by head: log-odds, and log seconds for watch. [Q] each"""
        shown = _shown(self.encode(values_QF), {}, np.zeros(len(values_QF), dtype=np.int64))
        return mean([ranking.raw_scores(ranker, shown, _catalogue()) for ranker in self.rankers])


def mean(scores: Sequence[Mapping[str, NDArray[np.floating]]]) -> dict[str, Floats]:
    """Of several models' logits, by head."""
    return {head: np.mean([each[head] for each in scores], axis=0, dtype=np.float64) for head in scores[0]}


def fit(rows: RatedLog, table: Table, configs: Sequence[RankerConfig], progress: Callable[[int], OnStep]) -> Members:
    """One member per config, all on the same rows, each of which has a line in `table`.

    `progress` gives what is called after every step of a member, by the member's number.
    """
    encode = PiecewiseLinear.of(table)
    schema = FeatureSchema(
        viewer_dense=(),
        viewer_codes=(),
        viewer_code_sizes=(),
        video_dense=(),
        cross_dense=encode.columns,
        cross_codes=(),
        cross_code_sizes=(),
        history_length=1,
        content_size=0,
        video_code_sizes=tuple(len(vocabulary) for vocabulary in _catalogue().vocabularies),
    )
    data = RankingData(_shown(encode(table.values_QF), rows.labels, rows.at))
    rankers = [
        ranking.train(config, schema, _catalogue(), data, on_step=progress(number)) for number, config in enumerate(configs)
    ]
    return Members(encode, tuple(rankers))


def _shown(codes_QW: Matrix, labels: Mapping[str, Floats], at_Q: NDArray[np.int64]) -> Impressions:
    """Rows for the ranker: every number is one of the pair (viewer, video); slots are unknown."""
    unknown = np.full(len(at_Q), np.nan)

    def features(rows: NDArray[np.int64]) -> FeatureBatch:
        empty = np.zeros((len(rows), 0), dtype=np.float32)
        history = np.full((len(rows), 1), -1, dtype=np.int32)
        return FeatureBatch(
            viewer=ViewerPart(empty, empty.astype(np.int32), history, np.zeros_like(history, dtype=np.float32), ()),
            video_BK=np.zeros((len(rows), 1), dtype=np.int32),
            video_dense_BKF=empty[:, None],
            cross_dense_BKF=codes_QW[rows, None],
            cross_codes_BKC=empty[:, None].astype(np.int32),
        )

    return Impressions(
        features=features,
        affinity=np.zeros(len(at_Q), dtype=np.float32),
        at=at_Q,
        position=np.full(len(at_Q), -1, dtype=np.int32),
        clicked=labels.get(CLICK, unknown).astype(np.float32),
        watch_s=labels.get(WATCH, unknown).astype(np.float32),
        liked=labels.get(LIKE, unknown).astype(np.float32),
        disliked=unknown.astype(np.float32),
        long_viewed=labels.get(LONG_VIEW, unknown).astype(np.float32),
        given_click=False,
    )


def _catalogue() -> Catalogue:
    """One video that stands for all."""
    unknown = {name: [c.UNKNOWN] for name in (c.EXTERNAL_ID, c.TITLE, c.CHANNEL, c.CATEGORY, c.LANGUAGE)}
    frame = pl.DataFrame({c.VIDEO_ID: [0], c.CHANNEL_ID: [0], **unknown})
    return Catalogue.of(dataset.conform(frame, c.VIDEOS))
