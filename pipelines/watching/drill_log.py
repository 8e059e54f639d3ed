"""What a service would have logged about the pages of a world: a prediction, the age of its features, and which release it
was.

The world's own log has none of them, because its old policy has no model. A prediction is position × viewer's interest in
the category × the video's appeal, each a ratio of clicks to expected clicks, shrunk towards one (Gamma–Poisson), fitted on
the first days. A bad release predicts for the viewer it mistook this one for.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import events as ev
from core import rng
from core.clock import DAY_MS, HOUR_MS
from data.dataset import Dataset
from data.labels import definitions as labels
from data.world import faults
from data.world.config import WorldConfig
from monitoring import observations as o

Floats = NDArray[np.float64]
TRAIN_DAYS = 6
_INTEREST, _APPEAL = 1.0, 5.0
"""Expected clicks that weigh as much as the assumption that nothing is special."""
_LARGEST = 0.95
_USUAL_AGE_H = 0.01


@dataclass(frozen=True)
class Scorer:
    """A click model small enough to be fitted in a drill."""

    position_K: Floats
    interest_NC: Floats
    """[viewers, categories]"""
    appeal_V: Floats

    def __call__(self, position: NDArray, viewer: NDArray, category: NDArray, video: NDArray) -> Floats:
        """P(click) of n impressions, given as rows."""
        found = self.position_K[position] * self.interest_NC[viewer, category] * self.appeal_V[video]
        return np.minimum(found, _LARGEST)


def served(config: WorldConfig, dataset: Dataset, frozen_at: int | None = None) -> pl.DataFrame:
    """One row per impression: request_id, video_id, `predicted`, `feature_age_h`.

    Args:
        config: of the world that wrote the log.
        dataset: its log.
        frozen_at: features know nothing that happened after this instant, milliseconds.
    """
    shown = dataset.events.filter(pl.col(c.KIND) == ev.IMPRESSION)
    at, viewer = shown[c.EVENT_AT].to_numpy(), shown[c.VIEWER_ID].to_numpy() - 1
    video, position = shown[c.VIDEO_ID].to_numpy() - 1, shown[c.POSITION].to_numpy()
    names = dataset.videos[c.CATEGORY].unique().sort()
    categories = dataset.videos.sort(c.VIDEO_ID)[c.CATEGORY].cast(pl.Enum(names)).to_physical().to_numpy()[video]
    clicked = labels.impression_outcomes(dataset.events)[labels.CLICKED].to_numpy()
    old = at < config.start_at + TRAIN_DAYS * DAY_MS
    fitted = _fit(config, (position[old], viewer[old], categories[old], video[old]), clicked[old], len(names))
    age = rng.stream(config.seed, "feature ages").exponential(_USUAL_AGE_H, len(at))
    if frozen_at is not None:
        age = np.where(at > frozen_at, age + (at - frozen_at) / HOUR_MS, age)
    predicted = fitted(position, faults.made_for(config, viewer, at), categories, video)
    return shown.select(c.REQUEST_ID, c.VIDEO_ID).with_columns(
        pl.Series(o.PREDICTED, predicted), pl.Series(o.FEATURE_AGE_H, age)
    )


def released(events: pl.DataFrame, switches: list[int]) -> pl.DataFrame:
    """The log with its impressions marked by the release that made them: a new one from each instant (ms) of `switches` on."""
    number = pl.lit(0)
    for at in switches:
        number = number + (pl.col(c.EVENT_AT) >= at).cast(pl.Int32)
    shown = pl.col(c.KIND) == ev.IMPRESSION
    name = pl.concat_str(pl.lit("release-"), number)
    return events.with_columns(pl.when(shown).then(name).otherwise(pl.col(c.RELEASE_ID)).alias(c.RELEASE_ID))


def _fit(config: WorldConfig, rows: tuple[NDArray, ...], clicked: NDArray[np.bool_], num_categories: int) -> Scorer:
    position, viewer, category, video = rows
    shown = np.bincount(position, minlength=config.slate_size)
    by_position = np.bincount(position, clicked, config.slate_size) / np.maximum(shown, 1)
    expected, shape = by_position[position], (config.num_viewers, num_categories)
    cell = viewer * num_categories + category
    clicks, chances = (np.bincount(cell, weights, shape[0] * shape[1]) for weights in (clicked, expected))
    interest = (clicks + _INTEREST) / (chances + _INTEREST)
    chances = np.bincount(video, expected * interest[cell], config.num_videos)
    appeal = (np.bincount(video, clicked, config.num_videos) + _APPEAL) / (chances + _APPEAL)
    return Scorer(by_position, interest.reshape(shape), appeal)
