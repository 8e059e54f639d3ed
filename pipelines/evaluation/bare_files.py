"""Both stages on two bare files: histories and, perhaps, video vectors, but no attributes, impressions or page.

The same discipline as the full run: towers first learn without each viewer's last interaction (in a file without order, a fifth
of them), the ranker learns to find those among what they retrieve, then the towers go on over the whole training file. The
held-out file is opened last. Which towers a file gets depends on whether it has an order (`presets.FilesConfig`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import rng
from data import dataset as datasets
from data.catalogue import Catalogue
from data.interactions import Interactions
from features.schema import FeatureBatch, FeatureSchema, ViewerPart
from pipelines import opinions
from pipelines.evaluation import blend
from pipelines.evaluation import cases as splits
from pipelines.evaluation.blend import Blend, Judged
from pipelines.evaluation.cases import Cases, HeldOut
from pipelines.evaluation.evaluate import DEPTH, FittedModels, Towers, TwoStage
from pipelines.evaluation.held_out import FileLog, evaluate_files
from pipelines.evaluation.leaderboard import Leaderboard
from pipelines.examples import draw
from pipelines.opinions import Opinions
from pipelines.presets import ListConfig, RunConfig
from pipelines.progress import Stages, by_step, unwatched
from ranking import export as ranker_files
from ranking import train as ranking
from ranking.batches import Lists, RankingData
from ranking.scorer import Scorer
from retrieval import export as tower_files
from retrieval import train as retrieval
from retrieval.baselines import Baseline, top_k
from retrieval.config import TwoTowerConfig
from retrieval.encoder import VECTORS, ViewerEncoder
from retrieval.examples import bare_schema, from_interactions, history_part
from retrieval.towers import TwoTower

_BLOCK = 1_024
_AT_ONCE = 128
"""Histories that are encoded together: row by row, a thousand long ones would take gigabytes."""


@dataclass(frozen=True)
class Bare:
    """A training file as the models want it."""

    log: FileLog
    catalogue: Catalogue
    schema: FeatureSchema

    @staticmethod
    def of(log: FileLog, history_length: int, columns: tuple[str, ...] = ()) -> "Bare":
        """The catalogue and the features that a file implies; `columns` names what the ranker reads besides."""
        names = pl.Series([str(video) for video in log.video_ids])
        frame = pl.DataFrame(
            {
                c.VIDEO_ID: log.video_ids,
                c.EXTERNAL_ID: names,
                c.TITLE: names,
                c.CHANNEL_ID: np.zeros(len(names), dtype=np.int64),
            }
        )
        unknown = [pl.lit(c.UNKNOWN).alias(name) for name in (c.CHANNEL, c.CATEGORY, c.LANGUAGE)]
        catalogue = Catalogue.of(datasets.conform(frame.with_columns(unknown), c.VIDEOS))
        if log.content.shape[1]:
            catalogue = replace(catalogue, content=log.content)
        schema = replace(bare_schema(catalogue, history_length), video_dense=("log_count",), cross_dense=columns)
        return Bare(log, catalogue, schema)

    def part(self, cases: Cases, rows: slice) -> ViewerPart:
        """Viewers given by their histories."""
        found = cases.histories.take(rows)
        return history_part([found[i] for i in range(len(found))], self.schema)


@dataclass(frozen=True)
class Retrieved:
    """The first stage, exact, and what else was known when it was fitted."""

    bare: Bare
    encoder: ViewerEncoder
    video_VD: NDArray[np.float32]
    opinions: Opinions
    log_count_V: NDArray[np.float32]

    @staticmethod
    def after(
        interactions: Interactions, bare: Bare, towers: TwoTower, models: Mapping[str, Baseline], folder: Path
    ) -> "Retrieved":
        """Towers and simple models that were fitted to the same interactions."""
        counts = np.log1p(interactions.counts()).astype(np.float32)
        return Retrieved(bare, *_exported(towers, bare, folder), Opinions.fit(models, interactions), counts)

    def encode(self, cases: Cases, rows: slice) -> NDArray[np.float32]:
        """Viewer vectors. [n, D]"""
        return _encode(self.encoder, self.bare, cases, rows)

    def batch(self, part: ViewerPart, video_BK: NDArray[np.int32], opinion_BKF: NDArray[np.float32]) -> FeatureBatch:
        """Of a video itself only how often it was watched is known."""
        return FeatureBatch(
            viewer=part,
            video_BK=video_BK,
            video_dense_BKF=self.log_count_V[video_BK][:, :, None],
            cross_dense_BKF=opinion_BKF,
            cross_codes_BKC=np.zeros((*video_BK.shape, 0), dtype=np.int32),
        )

    def candidates(
        self, cases: Cases, rows: slice, depth: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
        """Rows (−1 padding), affinities (0 there) and opinions of the `depth` best. [n, K], [n, K], [n, K, F]"""
        scores = cases.hide(self.encode(cases, rows) @ self.video_VD.T, rows)
        found = top_k(scores, depth)
        affinity = np.where(found >= 0, np.take_along_axis(scores, np.maximum(found, 0), axis=1), 0.0).astype(np.float32)
        return found, affinity, self.opinions.of(cases, rows, found, affinity)


@dataclass(frozen=True)
class Order:
    """The second stage: what puts the best candidates in order."""

    retrieved: Retrieved
    scorer: Scorer
    decided: int
    """How many; the rest stay behind them."""
    blend: Blend | None = None
    """With whose opinions; None is the ranker alone."""

    def ranked(self, cases: Cases, rows: slice) -> NDArray[np.int32]:
        """All candidates, best first. [n, DEPTH]"""
        best, rest, opinion, relevance = self._asked(cases, rows)
        scores = relevance if self.blend is None else self.blend.scores(opinion, relevance, best >= 0)
        order = np.argsort(-np.where(best >= 0, scores, -np.inf), axis=1, kind="stable")
        return np.concatenate([np.take_along_axis(best, order, axis=1), rest], axis=1)

    def judged_by(self, judges: HeldOut, num_models: int) -> "Order":
        """With the blend that orders the candidates of these viewers best; the ranker must not have learned from them."""

        def judged() -> Iterator[Judged]:
            for begin in range(0, len(judges), _BLOCK):
                block = slice(begin, min(begin + _BLOCK, len(judges)))
                best, _, opinion, relevance = self._asked(judges.cases, block)
                yield Judged(opinion, relevance, best >= 0, judges.hits(best, block))

        return replace(self, blend=blend.choose(num_models, judged()))

    def _asked(
        self, cases: Cases, rows: slice
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
        """The best candidates and the rest, opinions of the best and what the ranker says of them."""
        found, affinity, opinion = self.retrieved.candidates(cases, rows, DEPTH)
        best, opinion = found[:, : self.decided], opinion[:, : self.decided]
        batch = self.retrieved.batch(self.retrieved.bare.part(cases, rows), np.maximum(best, 0), opinion)
        relevance = self.scorer.score(batch, affinity[:, : self.decided])["relevance"]
        return best, found[:, self.decided :], opinion, relevance


def evaluate(interactions: Path, held_out: Path, vectors: Path | None, config: RunConfig, stages: Stages) -> Leaderboard:
    """Fit everything on `interactions`, then open `held_out`."""
    return evaluate_files(
        interactions,
        held_out,
        vectors,
        more=lambda log, baselines: two_stages(log, config, stages, baselines.settings),
        max_ease_videos=config.evaluation.ease_videos,
        seed=config.seed,
        stages=stages,
    )


def two_stages(
    log: FileLog, config: RunConfig, stages: Stages, tuned: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
) -> FittedModels:
    """The towers alone and both stages, from the training file alone; `tuned` holds settings of baselines that they hear."""
    plan = _plan(log, config)
    limit = config.evaluation.ease_videos
    models = opinions.panel(ordered=log.interactions.ordered, max_ease_videos=limit, tuned=tuned)
    bare = Bare.of(log, plan.history_length, opinions.columns(models))
    with TemporaryDirectory() as folder:
        hold_back = splits.last_out if log.interactions.ordered else splits.share_out
        drawn = replace(config.lists, max_lists=config.files.max_lists)
        train, last = hold_back(log.interactions, max_cases=drawn.max_lists, seed=config.seed)
        with stages("towers") as stage:
            first = _towers(bare, train, plan, config.seed, stage.advance)
        with stages("ranker") as stage:
            retrieved = Retrieved.after(train, bare, first, models, Path(folder))
            decided = config.files.decided if log.interactions.ordered else config.files.decided_of_sets
            learned, judged = (last, None) if log.interactions.ordered else map(last.take, blend.split(len(last)))
            lists = _lists(retrieved, learned, drawn, decided, config.seed)
            ranker = ranking.train(
                config.files.ranker, bare.schema, bare.catalogue, RankingData(lists=lists), on_step=by_step(stage.advance)
            )
            ranker_files.export(ranker, Path(folder), bare.catalogue)
            order = Order(retrieved, Scorer.load(Path(folder), bare.catalogue), decided)
            order = order if judged is None else order.judged_by(judged, len(models) + 1)
        with stages("towers to the end") as stage:
            rate = config.files.continue_rate * plan.learning_rate
            more = replace(plan, epochs=config.files.continue_epochs, learning_rate=rate)
            towers = _towers(bare, bare.log.interactions, more, config.seed, stage.advance, warm_start=first)
            retrieved = Retrieved.after(log.interactions, bare, towers, models, Path(folder))
    seconds = dict(stages.seconds)
    retrieval_s = seconds["towers"] + seconds["towers to the end"]
    both = TwoStage(replace(order, retrieved=retrieved).ranked)
    alone = Towers(retrieved.video_VD, retrieved.encode)
    return FittedModels(
        {"two_tower": alone, "two_stage": both},
        {"two_tower": retrieval_s, "two_stage": retrieval_s + seconds["ranker"]},
    )


def first_stage(log: FileLog, config: RunConfig) -> Towers:
    """The towers alone, from the training file alone, as settings are tried."""
    plan = _plan(log, config)
    with TemporaryDirectory() as folder:
        return towers_alone(Bare.of(log, plan.history_length), plan, config.seed, Path(folder))


def towers_alone(bare: Bare, plan: TwoTowerConfig, seed: int, folder: Path) -> Towers:
    """The first stage by itself, on the whole training file; `folder` takes its files."""
    encoder, video_VD = _exported(_towers(bare, bare.log.interactions, plan, seed, unwatched), bare, folder)
    return Towers(video_VD, lambda cases, rows: _encode(encoder, bare, cases, rows))


def _plan(log: FileLog, config: RunConfig) -> TwoTowerConfig:
    """The towers that a file asks for."""
    plan = config.files.ordered if log.interactions.ordered else config.files.unordered
    return plan if log.content.shape[1] else replace(plan, id_dropout=0.0)  # nothing could stand in for an id


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


def _encode(encoder: ViewerEncoder, bare: Bare, cases: Cases, rows: slice) -> NDArray[np.float32]:
    begin, end, _ = rows.indices(len(cases))
    blocks = [slice(at, min(at + _AT_ONCE, end)) for at in range(begin, end, _AT_ONCE)]
    return np.concatenate([encoder.encode(bare.part(cases, block)) for block in blocks])


def _exported(towers: TwoTower, bare: Bare, folder: Path) -> tuple[ViewerEncoder, NDArray[np.float32]]:
    tower_files.write(towers, bare.catalogue, folder, at=int(bare.log.interactions.at.max()) + 1)
    return ViewerEncoder.load(folder), np.load(folder / VECTORS)


def _lists(retrieved: Retrieved, last: HeldOut, config: ListConfig, decided: int, seed: int) -> Lists:
    """Each interaction held back, where it is among the best `decided`, among a sample of what else is there."""
    cases, bare, random = last.cases, retrieved.bare, rng.stream(seed, "ranker negatives")
    chosen = np.sort(random.permutation(len(last.targets.values))[: config.max_lists])
    owner, target = last.targets.owners[chosen], last.targets.values[chosen]
    kept, rows, affinities, opinion = [], [], [], []
    for begin in range(0, len(cases), _BLOCK):
        block = slice(begin, min(begin + _BLOCK, len(cases)))
        found, affinity, said = retrieved.candidates(cases, block, min(config.depth, cases.num_videos))
        found, affinity, said = found[:, :decided], affinity[:, :decided], said[:, :decided]
        wanted = last.hits(found, block)
        pairs = np.arange(*np.searchsorted(owner, [block.start, block.stop]))
        case = owner[pairs] - begin
        place = np.where(found[case] == target[pairs][:, None], np.arange(found.shape[1]), -1).max(axis=1)
        pairs, case, place = pairs[place >= 0], case[place >= 0], place[place >= 0]
        others = draw(np.where(wanted | (found < 0), -1, np.arange(found.shape[1]))[case], config.negatives, random)
        drawn = np.concatenate([place[:, None], others], axis=1)
        column = np.maximum(drawn, 0)
        kept.append(owner[pairs])
        rows.append(np.where(drawn >= 0, found[case[:, None], column], -1))
        affinities.append(affinity[case[:, None], column])
        opinion.append(said[case[:, None], column])
    chosen_cases, video_BK, opinion_BKF = np.concatenate(kept), np.concatenate(rows), np.concatenate(opinion)
    mask, video_BK = video_BK >= 0, np.maximum(video_BK, 0)
    unknown = np.full(len(chosen_cases), np.nan, dtype=np.float32)

    def features(asked: NDArray[np.int64]) -> FeatureBatch:
        histories = cases.histories.take(chosen_cases[asked])
        part = history_part([histories[i] for i in range(len(histories))], bare.schema)
        return retrieved.batch(part, video_BK[asked], opinion_BKF[asked])

    return Lists(features, np.concatenate(affinities), cases.at[chosen_cases], mask, unknown, unknown)
