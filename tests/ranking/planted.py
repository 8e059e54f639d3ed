"""A small log whose truth is known: click = σ(base + quality + interest + hidden + bias[position]); watch, like given a click.

`quality` is a numeric video feature, `interest` a cross feature, `hidden` a video effect that no feature shows and only a table
can learn. With `confounded`, better videos were shown higher up, as any logging policy does.
"""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from scipy.special import expit

from core import columns as c
from data.catalogue import Catalogue
from features.schema import FeatureBatch, FeatureSchema, ViewerPart
from ranking.batches import Impressions, Lists, RankingData

BIAS = np.array([0.0, -0.5, -1.0, -1.4, -1.7, -2.0])
BASE = -0.8


def catalogue(num_videos: int, seed: int = 0) -> Catalogue:
    rng = np.random.default_rng(seed)
    content = rng.normal(size=(num_videos, 4)).astype(np.float32)
    return Catalogue.of(
        pl.DataFrame(
            {
                c.VIDEO_ID: np.arange(num_videos, dtype=np.int64),
                c.CATEGORY: [f"category {i % 5}" for i in range(num_videos)],
                c.CHANNEL_ID: (np.arange(num_videos) % 17).astype(np.int64),
                c.LANGUAGE: ["en"] * num_videos,
                c.DURATION_S: np.full(num_videos, 60, dtype=np.float32),
                c.UPLOADED_AT: np.zeros(num_videos, dtype=np.int64),
                c.CONTENT: content.tolist(),
            }
        ).with_columns(pl.col(c.CONTENT).cast(pl.List(pl.Float32)))
    )


def schema(videos: Catalogue, history_length: int = 8) -> FeatureSchema:
    return FeatureSchema(
        viewer_dense=("mood", "activity"),
        viewer_codes=(*c.VIEWER_ATTRIBUTES, "hour", "weekday"),
        viewer_code_sizes=(4, 3, 5, 3, 3, 2, 24, 7),
        video_dense=("quality", "noise"),
        cross_dense=("interest",),
        cross_codes=("age_x_category",),
        cross_code_sizes=(20,),
        history_length=history_length,
        content_size=4,
        video_code_sizes=tuple(len(vocabulary) for vocabulary in videos.vocabularies),
    )


@dataclass(frozen=True)
class World:
    videos: Catalogue
    schema: FeatureSchema
    quality: np.ndarray
    hidden: np.ndarray

    def batch(self, rng: np.random.Generator, video_BK: np.ndarray) -> FeatureBatch:
        """Random viewers in front of the given videos."""
        num, k = video_BK.shape
        sizes = self.schema.viewer_code_sizes
        history = rng.integers(-1, len(self.videos), size=(num, self.schema.history_length)).astype(np.int32)
        noise = rng.normal(size=(num, k))
        return FeatureBatch(
            viewer=ViewerPart(
                dense_BF=rng.normal(size=(num, 2)).astype(np.float32),
                codes_BC=np.stack([rng.integers(0, size, num) for size in sizes], axis=1).astype(np.int32),
                history_BL=history,
                history_age_BL=np.zeros_like(history, dtype=np.float32),
                seen=(),
            ),
            video_BK=video_BK.astype(np.int32),
            video_dense_BKF=np.stack([self.quality[video_BK], noise], axis=-1).astype(np.float32),
            cross_dense_BKF=rng.normal(size=(num, k, 1)).astype(np.float32),
            cross_codes_BKC=rng.integers(0, 20, size=(num, k, 1)).astype(np.int32),
        )

    def click_logit(self, batch: FeatureBatch) -> np.ndarray:
        """[B, K] at position 0."""
        return BASE + self.quality[batch.video_BK] + 1.2 * batch.cross_dense_BKF[..., 0] + self.hidden[batch.video_BK]

    def like_logit(self, batch: FeatureBatch) -> np.ndarray:
        """[B] given a click."""
        return -1.0 + 1.5 * batch.viewer.dense_BF[:, 0]

    def watch_mean(self, batch: FeatureBatch) -> np.ndarray:
        """[B, K] seconds given a click."""
        return np.exp(3.0 + 0.7 * batch.cross_dense_BKF[..., 0])


def world(num_videos: int = 200, seed: int = 0) -> World:
    rng = np.random.default_rng(seed + 1)
    videos = catalogue(num_videos, seed)
    return World(videos, schema(videos), 0.6 * rng.normal(size=num_videos), 0.6 * rng.normal(size=num_videos))


def take(batch: FeatureBatch, rows: np.ndarray) -> FeatureBatch:
    viewer = batch.viewer
    return FeatureBatch(
        viewer=ViewerPart(
            viewer.dense_BF[rows], viewer.codes_BC[rows], viewer.history_BL[rows], viewer.history_age_BL[rows], viewer.seen
        ),
        video_BK=batch.video_BK[rows],
        video_dense_BKF=batch.video_dense_BKF[rows],
        cross_dense_BKF=batch.cross_dense_BKF[rows],
        cross_codes_BKC=batch.cross_codes_BKC[rows],
    )


def impressions(truth: World, num: int, seed: int = 0, confounded: bool = True) -> tuple[Impressions, FeatureBatch]:
    rng = np.random.default_rng(seed + 2)
    video = rng.integers(0, len(truth.videos), size=(num, 1))
    batch = truth.batch(rng, video)
    taste = truth.quality[video[:, 0]] / 0.6 if confounded else np.zeros(num)
    position = np.clip(np.round(2.5 - 1.5 * taste + 1.5 * rng.normal(size=num)), 0, 5).astype(np.int32)
    clicked = (rng.random(num) < expit(truth.click_logit(batch)[:, 0] + BIAS[position])).astype(np.float32)
    watch = rng.gamma(2.0, truth.watch_mean(batch)[:, 0] / 2.0)
    liked = (rng.random(num) < expit(truth.like_logit(batch))).astype(np.float32)
    part = Impressions(
        features=lambda rows: take(batch, rows),
        affinity=rng.normal(scale=0.2, size=num).astype(np.float32),
        at=np.arange(num, dtype=np.int64),
        position=position,
        clicked=clicked,
        watch_s=np.where(clicked > 0, watch, 0).astype(np.float32),
        liked=np.where(clicked > 0, liked, 0).astype(np.float32),
        disliked=np.full(num, np.nan, dtype=np.float32),
    )
    return part, batch


def lists(truth: World, num: int, width: int = 8, seed: int = 0) -> Lists:
    """The clicked video is drawn by softmax of the true logit and swapped into column 0."""
    rng = np.random.default_rng(seed + 3)
    batch = truth.batch(rng, rng.integers(0, len(truth.videos), size=(num, width)))
    best = (truth.click_logit(batch) + rng.gumbel(size=(num, width))).argmax(axis=1)
    order = np.argsort(np.arange(width) != best[:, None], axis=1, kind="stable")
    batch = replace(
        batch,
        video_BK=np.take_along_axis(batch.video_BK, order, 1),
        video_dense_BKF=np.take_along_axis(batch.video_dense_BKF, order[..., None], 1),
        cross_dense_BKF=np.take_along_axis(batch.cross_dense_BKF, order[..., None], 1),
        cross_codes_BKC=np.take_along_axis(batch.cross_codes_BKC, order[..., None], 1),
    )
    return Lists(
        features=lambda rows: take(batch, rows),
        affinity=rng.normal(scale=0.2, size=(num, width)).astype(np.float32),
        at=np.arange(num, dtype=np.int64),
        mask=np.ones((num, width), dtype=bool),
        liked=(rng.random(num) < expit(truth.like_logit(batch))).astype(np.float32),
        disliked=np.full(num, np.nan, dtype=np.float32),
    )


def data(truth: World, num: int, seed: int = 0) -> RankingData:
    return RankingData(impressions(truth, num, seed)[0], lists(truth, num // 8, seed=seed))
