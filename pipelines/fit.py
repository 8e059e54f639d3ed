"""Training both stages in the order that keeps the ranker honest.

    towers on clicks before t_a → their score is out of sample on [t_a, t0) → the ranker learns there → towers continue to t0

t_a and t0 come from `data.splits`; everything from t0 on is for testing only.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import rng
from core.clock import stamp
from data.catalogue import Catalogue, ViewerTable
from data.dataset import Dataset
from data.labels import definitions as labels
from data.splits import TimeSplit
from features.schema import FeatureSchema
from pipelines import examples
from pipelines.presets import RunConfig
from pipelines.progress import Stages, by_step
from ranking import train as ranking
from ranking.batches import RankingData
from ranking.model import Ranker
from retrieval import export, index
from retrieval import train as retrieval
from retrieval.encoder import VECTORS, ViewerEncoder
from retrieval.towers import TwoTower

Advance = Callable[[float, str], None]


@dataclass(frozen=True)
class Material:
    """What both stages are trained from."""

    dataset: Dataset
    catalogue: Catalogue
    early: Catalogue
    """The same with labels as they were known when the ranker's window began."""
    viewers: ViewerTable
    split: TimeSplit
    clicks: examples.Clicks

    @property
    def schema(self) -> FeatureSchema:
        """Column names of every matrix."""
        return self.clicks.features.schema


def prepare(
    dataset: Dataset, catalogue: Catalogue, viewers: ViewerTable, split: TimeSplit, early: Catalogue | None = None
) -> Material:
    """Features of the moment before every training click."""
    early = early or catalogue
    clicks = examples.clicks(dataset.events, early, viewers, split.test_from)
    return Material(dataset, catalogue, early, viewers, split, clicks)


def towers(
    material: Material, config: RunConfig, *, until: int, advance: Advance, warm_start: TwoTower | None = None
) -> TwoTower:
    """Two towers on the clicks before `until`; with `warm_start`, a few more epochs from there."""
    positions = material.clicks.between(0, until)
    plan = config.towers if warm_start is None else config.continued_towers()
    return retrieval.train(
        plan,
        material.schema,
        material.catalogue,
        material.clicks.examples(positions),
        warm_start=warm_start,
        on_step=by_step(advance),
    )


def ranker(material: Material, config: RunConfig, first: TwoTower, advance: Advance) -> Ranker:
    """The ranker on [t_a, t0), seeing the score of towers that were trained before t_a."""
    return ranker_on(ranking_data(material, config, first), material, config, advance)


def ranker_on(data: RankingData, material: Material, config: RunConfig, advance: Advance) -> Ranker:
    """The ranker on rows that are there already."""
    return ranking.train(config.ranker, material.schema, material.catalogue, data, on_step=by_step(advance))


def both(material: Material, config: RunConfig, stages: Stages | None = None) -> tuple[TwoTower, Ranker]:
    """Towers and ranker in the order above, as three of `stages`; without them nobody watches."""
    split, stages = material.split, stages or Stages()
    with stages("towers") as stage:
        early = towers(material, config, until=split.ranker_from, advance=stage.advance)
        stage.note = f"clicks before {stamp(split.ranker_from)}"
    with stages("ranker") as stage:
        second = ranker(material, config, early, stage.advance)
        stage.note = ", ".join(second.heads)
    with stages("towers to the end") as stage:
        last = towers(material, config, until=split.test_from, warm_start=early, advance=stage.advance)
        stage.note = f"clicks before {stamp(split.test_from)}"
    return last, second


def ranking_data(material: Material, config: RunConfig, first: TwoTower) -> RankingData:
    """What the ranker learns from."""
    with tempfile.TemporaryDirectory() as folder:
        export.write(first, material.catalogue, Path(folder), at=material.split.ranker_from)
        return ranking_data_from(material, config, Path(folder))


def ranking_data_from(material: Material, config: RunConfig, first: Path) -> RankingData:
    """The same, from a directory into which the first towers were exported."""
    encode, video_VD = ViewerEncoder.load(first).encode, np.load(first / VECTORS)
    window = (material.split.ranker_from, material.split.test_from)
    events = material.dataset.events
    shown = examples.impression_rows(events, material.early, material.viewers, window, encode, video_VD)
    positions = _sample(material.clicks.between(*window), config.lists.max_lists, config.seed)
    feedback = _feedback(material, known_from_impressions=shown is not None)
    nearest = index.build(video_VD, config.index)
    lists = examples.list_rows(material.clicks, positions, encode, nearest, video_VD, config.lists, config.seed, feedback)
    return RankingData(impressions=shown, lists=lists)


def _sample(positions: NDArray[np.int64], limit: int, seed: int) -> NDArray[np.int64]:
    if len(positions) <= limit:
        return positions
    return np.sort(rng.stream(seed, "ranker lists").choice(positions, size=limit, replace=False))


def _feedback(material: Material, *, known_from_impressions: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Liked and disliked per click of `material.clicks`; unknown where the impressions already carry these labels."""
    n = len(material.clicks)
    if known_from_impressions:
        return np.full(n, np.nan, dtype=np.float32), np.full(n, np.nan, dtype=np.float32)
    before = material.dataset.events.filter(pl.col(c.RECEIVED_AT) < material.split.test_from)
    said = labels.clicked_feedback(before)
    said = said.filter(pl.Series(material.catalogue.rows(said[c.VIDEO_ID].to_numpy()) >= 0))  # the clicks, in their order
    return said[labels.LIKED].cast(pl.Float32).to_numpy(), said[labels.DISLIKED].cast(pl.Float32).to_numpy()
