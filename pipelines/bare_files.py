"""Both stages on two bare files: histories and, perhaps, video vectors, but no attributes, impressions or page.

The same discipline as the full run: towers first learn without each viewer's last interaction, the ranker learns to find that
one among what they retrieve, then the towers go on over the whole training file. The held-out file is opened last.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import rng
from data import dataset as datasets
from data.catalogue import Catalogue
from data.interactions import Interactions
from features.schema import FeatureBatch, FeatureSchema, ViewerPart
from pipelines import cases as splits
from pipelines.cases import Cases, HeldOut
from pipelines.evaluate import DEPTH, FittedModels, Towers, TwoStage
from pipelines.examples import draw
from pipelines.held_out import FileLog, evaluate_files
from pipelines.leaderboard import Leaderboard
from pipelines.presets import ListConfig, RunConfig
from pipelines.progress import Stages, by_step
from ranking import export as ranker_files
from ranking import train as ranking
from ranking.batches import Lists, RankingData
from ranking.scorer import Scorer
from retrieval import export as tower_files
from retrieval import train as retrieval
from retrieval.baselines import top_k
from retrieval.config import TwoTowerConfig
from retrieval.encoder import VECTORS, ViewerEncoder
from retrieval.examples import bare_schema, from_interactions, history_part
from retrieval.towers import TwoTower

_BLOCK = 1_024


@dataclass(frozen=True)
class Bare:
    """A training file as the models want it."""

    log: FileLog
    catalogue: Catalogue
    schema: FeatureSchema
    log_count_V: NDArray[np.float32]

    def part(self, cases: Cases, rows: slice) -> ViewerPart:
        """Viewers given by their histories."""
        found = cases.histories.take(rows)
        return history_part([found[i] for i in range(len(found))], self.schema)

    def batch(self, part: ViewerPart, video_BK: NDArray[np.int32]) -> FeatureBatch:
        """The only number known of a video is how often it was watched."""
        num, width = video_BK.shape
        return FeatureBatch(
            viewer=part,
            video_BK=video_BK,
            video_dense_BKF=self.log_count_V[video_BK][:, :, None],
            cross_dense_BKF=np.zeros((num, width, 0), dtype=np.float32),
            cross_codes_BKC=np.zeros((num, width, 0), dtype=np.int32),
        )


def evaluate(interactions: Path, held_out: Path, vectors: Path | None, config: RunConfig, stages: Stages) -> Leaderboard:
    """Fit everything on `interactions`, then open `held_out`."""
    return evaluate_files(
        interactions,
        held_out,
        vectors,
        more=lambda log: two_stages(log, config, stages),
        max_ease_videos=config.evaluation.ease_videos,
        seed=config.seed,
        stages=stages,
    )


def two_stages(log: FileLog, config: RunConfig, stages: Stages) -> FittedModels:
    """The towers alone and both stages, from the training file alone."""
    plan = config.files.ordered if log.interactions.ordered else config.files.unordered
    bare = _bare(log, plan)
    with TemporaryDirectory() as folder:
        train, last = splits.last_out(bare.log.interactions, max_cases=config.lists.max_lists, seed=config.seed)
        with stages("towers") as stage:
            first = _towers(bare, train, plan, config.seed, stage.advance)
        with stages("ranker") as stage:
            lists = _lists(bare, last, *_exported(first, bare, Path(folder)), config.lists, config.seed)
            ranker = ranking.train(
                config.ranker, bare.schema, bare.catalogue, RankingData(lists=lists), on_step=by_step(stage.advance)
            )
            ranker_files.export(ranker, Path(folder))
            scorer = Scorer.load(Path(folder), bare.catalogue)
        with stages("towers to the end") as stage:
            more = replace(plan, epochs=config.files.continue_epochs)
            towers = _towers(bare, bare.log.interactions, more, config.seed, stage.advance, warm_start=first)
            encoder, video_VD = _exported(towers, bare, Path(folder))
    seconds = dict(stages.seconds)

    def encode(cases: Cases, rows: slice) -> NDArray[np.float32]:
        return encoder.encode(bare.part(cases, rows))

    retrieval_s = seconds["towers"] + seconds["towers to the end"]
    return FittedModels(
        {"two_tower": Towers(video_VD, encode), "two_stage": TwoStage(_ranked(bare, encode, video_VD, scorer))},
        {"two_tower": retrieval_s, "two_stage": retrieval_s + seconds["ranker"]},
    )


def _bare(log: FileLog, towers: TwoTowerConfig) -> Bare:
    names = pl.Series([str(video) for video in log.video_ids])
    frame = pl.DataFrame(
        {c.VIDEO_ID: log.video_ids, c.EXTERNAL_ID: names, c.TITLE: names, c.CHANNEL_ID: np.zeros(len(names), dtype=np.int64)}
    )
    unknown = [pl.lit(c.UNKNOWN).alias(name) for name in (c.CHANNEL, c.CATEGORY, c.LANGUAGE)]
    catalogue = Catalogue.of(datasets.conform(frame.with_columns(unknown), c.VIDEOS))
    if log.content.shape[1]:
        catalogue = replace(catalogue, content=log.content)
    schema = replace(bare_schema(catalogue, towers.history_length), video_dense=("log_count",))
    return Bare(log, catalogue, schema, np.log1p(log.interactions.counts()).astype(np.float32))


def _towers(
    bare: Bare,
    interactions: Interactions,
    plan: TwoTowerConfig,
    seed: int,
    advance: Callable[[float, str], None],
    warm_start: TwoTower | None = None,
) -> TwoTower:
    examples = from_interactions(interactions, bare.schema, seed=seed)
    return retrieval.train(plan, bare.schema, bare.catalogue, examples, warm_start=warm_start, on_step=by_step(advance))


def _exported(towers: TwoTower, bare: Bare, folder: Path) -> tuple[ViewerEncoder, NDArray[np.float32]]:
    tower_files.write(towers, bare.catalogue, folder, at=int(bare.log.interactions.at.max()) + 1)
    return ViewerEncoder.load(folder), np.load(folder / VECTORS)


def _lists(
    bare: Bare, last: HeldOut, encoder: ViewerEncoder, video_VD: NDArray[np.float32], config: ListConfig, seed: int
) -> Lists:
    """Each viewer's last interaction, where it was retrieved, among a sample of what else was."""
    cases, random = last.cases, rng.stream(seed, "ranker negatives")
    targets = last.targets.values[last.targets.offsets[:-1]][:, None]
    kept, rows, affinity = [], [], []
    for begin in range(0, len(cases), _BLOCK):
        block = slice(begin, min(begin + _BLOCK, len(cases)))
        scores = encoder.encode(bare.part(cases, block)) @ video_VD.T
        found = top_k(cases.hide(scores.copy(), block), min(config.depth, cases.num_videos))
        hit = (found == targets[block]).any(axis=1)
        others = draw(np.where(found == targets[block], -1, found), config.negatives, random)
        drawn = np.concatenate([targets[block], others], axis=1)[hit]
        kept.append(begin + np.flatnonzero(hit))
        rows.append(drawn)
        affinity.append(np.take_along_axis(scores[hit], np.maximum(drawn, 0), axis=1))
    chosen_cases, video_BK = np.concatenate(kept), np.concatenate(rows).astype(np.int32)
    mask, video_BK = video_BK >= 0, np.maximum(video_BK, 0)
    unknown = np.full(len(chosen_cases), np.nan, dtype=np.float32)

    def features(chosen: NDArray[np.int64]) -> FeatureBatch:
        histories = cases.histories.take(chosen_cases[chosen])
        part = history_part([histories[i] for i in range(len(histories))], bare.schema)
        return bare.batch(part, video_BK[chosen])

    return Lists(features, np.concatenate(affinity), cases.at[chosen_cases], mask, unknown, unknown)


def _ranked(
    bare: Bare, encode: Callable[[Cases, slice], NDArray[np.float32]], video_VD: NDArray[np.float32], scorer: Scorer
) -> Callable[[Cases, slice], NDArray[np.int32]]:
    def ranked(cases: Cases, rows: slice) -> NDArray[np.int32]:
        scores = cases.hide(encode(cases, rows) @ video_VD.T, rows)
        found = top_k(scores, DEPTH)
        video_BK = np.maximum(found, 0)
        batch = bare.batch(bare.part(cases, rows), video_BK)
        relevance = scorer.score(batch, np.nan_to_num(np.take_along_axis(scores, video_BK, axis=1), neginf=0.0))["relevance"]
        order = np.argsort(-np.where(found >= 0, relevance, -np.inf), axis=1, kind="stable")
        return np.take_along_axis(found, order, axis=1)

    return ranked
