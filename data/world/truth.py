"""The true behaviour of viewers: every probability and expectation in the world, as formulas over arrays.

With affinity a = taste·topics + style agreement, quality q, clickbait b, position p:

    P(click) = P(examine | p) · σ(intercept + w·a + quality + clickbait + freshness + trend + weekend + follows
                                  − fatigue − watched − foreign)          (position-based model, Craswell et al. 2008)
    E[watch | click] = duration · σ(0.1 + 0.7 a + 0.5 q − 1.6 b − 0.8 ln(duration / 300 s))
    P(like | click), P(dislike | click), P(regret | click), P(subscribe | click) = σ(linear in a, q, b)
    stars of a survey = 1 + Binomial(4, σ(linear in a, q, b))

Given a click, watch share, feedback and regret are independent, so expectations multiply. All arguments broadcast; rows are the
world's rows. Knows nothing of ids, logs or random draws.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit

from core import rng
from core.clock import DAY_MS
from data.world import faults
from data.world.catalogue import NUM_STYLES, Videos
from data.world.config import FaultKind, WorldConfig
from data.world.memory import Memory, Rows
from data.world.topics import ENGLISH
from data.world.viewers import Viewers

Array = NDArray[np.floating]
Instants = NDArray[np.int64]

_FRESH_DAYS = 3.0
_MOST_FATIGUE = 4.0
_CALIBRATION_PAIRS = 50_000
_MONDAY = 3
"""1970-01-01 was a Thursday: (day + 3) % 7 is 0 on Mondays."""

_LIKE = (-3.2, 0.7, 0.6, -1.5)
_DISLIKE = (-4.0, -0.5, -0.6, 3.0)
_REGRET = (-2.8, -0.5, -0.6, 4.0)
_SUBSCRIBE = (-4.2, 0.8, 0.6, -1.0)
_STARS = (0.6, 0.7, 0.6, -2.5)
"""Intercept and weights of affinity, quality, clickbait."""


def weekday(at: ArrayLike) -> NDArray[np.int64]:
    """0 Monday to 6 Sunday, UTC."""
    return (np.asarray(at, dtype=np.int64) // DAY_MS + _MONDAY) % 7


@dataclass(frozen=True)
class Truth:
    """Formulas bound to one world's viewers and videos."""

    config: WorldConfig
    viewers: Viewers
    videos: Videos
    intercept: float
    weekend_T: Array
    wave_T2: Array
    """[T, 2] period in days and phase of each topic's demand."""

    @staticmethod
    def of(config: WorldConfig, viewers: Viewers, videos: Videos) -> "Truth":
        """Draw the seasons and set the intercept so that random pairs have the configured mean attraction."""
        random = rng.stream(config.seed, "seasons")
        weekend = config.behaviour.weekend * random.standard_normal(config.num_topics)
        wave = np.stack([random.uniform(8, 40, config.num_topics), random.uniform(0, 2 * np.pi, config.num_topics)], axis=1)
        raw = Truth(config, viewers, videos, 0.0, weekend, wave)
        pairs = rng.stream(config.seed, "calibration")
        viewer_rows = pairs.integers(0, len(viewers), _CALIBRATION_PAIRS)
        video_rows = pairs.integers(0, max(videos.num_available(config.start_at), 1), _CALIBRATION_PAIRS)
        at = np.full(_CALIBRATION_PAIRS, config.start_at, dtype=np.int64)
        logits = raw.attraction_logit(raw.affinity(viewer_rows, video_rows, at), viewer_rows, video_rows, at)
        goal = config.behaviour.base_attraction
        intercept = brentq(lambda shift: float(expit(logits + shift).mean()) - goal, -20.0, 20.0)
        return Truth(config, viewers, videos, float(intercept), weekend, wave)

    def examination(self, position: ArrayLike) -> Array:
        """P(examine | position), position from 0."""
        return (1.0 + np.asarray(position, dtype=np.float64)) ** -self.config.behaviour.examination_decay

    def taste(self, viewer_rows: Rows, at: Instants) -> Array:
        """[..., T] taste for each topic at each instant: slow drift, and flips under a fault."""
        days = (at - self.config.start_at) / DAY_MS
        progress = np.clip(days, 0.0, 60.0).astype(np.float32)[..., None]
        taste = self.viewers.tastes_NT[viewer_rows] + progress * self.viewers.drift_NT[viewer_rows]
        if faults.active(self.config, FaultKind.TASTE_FLIP):
            flipped = faults.hits(self.config, FaultKind.TASTE_FLIP, viewer_rows, at)
            taste = np.where(flipped[..., None], np.roll(taste, taste.shape[-1] // 2, axis=-1), taste)
        return taste

    def affinity(self, viewer_rows: Rows, video_rows: Rows, at: Instants) -> Array:
        """How well a video suits a viewer, about −1.5 to 3: the part of behaviour that personalisation can learn."""
        weights = self.config.behaviour
        topical = np.einsum("...t,...t->...", self.taste(viewer_rows, at), self.videos.topics_VT[video_rows])
        agreement = np.einsum("...s,...s->...", self.viewers.styles_NS[viewer_rows], self.videos.styles_VS[video_rows])
        return topical + (weights.style / weights.taste / np.sqrt(NUM_STYLES)) * agreement

    def attraction_logit(
        self, affinity: Array, viewer_rows: Rows, video_rows: Rows, at: Instants, memory: Memory | None = None
    ) -> Array:
        """Logit of P(click | examined). Without memory: a rested viewer who follows nobody and has watched nothing."""
        weights, videos = self.config.behaviour, self.videos
        age_days = np.maximum(at - videos.uploaded_at[video_rows], 0) / DAY_MS
        logit = (
            self.intercept
            + weights.taste * affinity
            + weights.quality * videos.quality[video_rows]
            + weights.clickbait * videos.clickbait[video_rows]
            + weights.freshness * np.exp(-age_days / _FRESH_DAYS)
            + self._season(video_rows, at)
            - weights.foreign * self._strangeness(viewer_rows, video_rows)
        )
        if memory is None:
            return logit
        tired = np.einsum("...t,...t->...", memory.fatigue(viewer_rows, at), videos.topics_VT[video_rows])
        logit -= weights.fatigue * np.minimum(tired, _MOST_FATIGUE)
        logit += weights.follows * memory.follows(viewer_rows, videos.channel[video_rows])
        logit -= weights.watched * memory.has_watched(viewer_rows, video_rows)
        return logit

    def watch_share(self, affinity: Array, video_rows: Rows) -> Array:
        """E[share of the video watched | click], in (0, 1)."""
        videos = self.videos
        length = np.log(videos.duration_s[video_rows] / 300.0)
        return expit(_linear((0.1, 0.7, 0.5, -1.6), affinity, videos, video_rows) - 0.8 * length)

    def like(self, affinity: Array, video_rows: Rows) -> Array:
        """P(like | click)."""
        return expit(_linear(_LIKE, affinity, self.videos, video_rows))

    def dislike(self, affinity: Array, video_rows: Rows) -> Array:
        """P(dislike | click); never together with a like."""
        return expit(_linear(_DISLIKE, affinity, self.videos, video_rows)) * (1.0 - self.like(affinity, video_rows))

    def regret(self, affinity: Array, video_rows: Rows) -> Array:
        """P(the viewer regrets the time a day later | click)."""
        return expit(_linear(_REGRET, affinity, self.videos, video_rows))

    def subscribe(self, affinity: Array, video_rows: Rows) -> Array:
        """P(subscribe | click) for a channel not yet followed."""
        return expit(_linear(_SUBSCRIBE, affinity, self.videos, video_rows))

    def star(self, affinity: Array, video_rows: Rows) -> Array:
        """Chance of each of the four stars that a survey can give beyond the first."""
        return expit(_linear(_STARS, affinity, self.videos, video_rows))

    def _season(self, video_rows: Rows, at: Instants) -> Array:
        """Trend wave plus weekend effect of the mixture's topics."""
        days = np.asarray(at, dtype=np.float64)[..., None] / DAY_MS
        period, phase = self.wave_T2[:, 0], self.wave_T2[:, 1]
        wave = self.config.behaviour.trend * np.sin(2 * np.pi * days / period + phase)
        demand = wave + self.weekend_T * (weekday(at) >= 5)[..., None]
        return np.einsum("...t,...t->...", demand.astype(np.float32), self.videos.topics_VT[video_rows])

    def _strangeness(self, viewer_rows: Rows, video_rows: Rows) -> Array:
        """0 in the viewer's language, ½ in English, 1 in any other."""
        language = self.videos.language[video_rows]
        foreign = language != self.viewers.language[viewer_rows]
        return foreign * np.where(language == ENGLISH, 0.5, 1.0)


def _linear(weights: tuple[float, float, float, float], affinity: Array, videos: Videos, rows: Rows) -> Array:
    intercept, of_affinity, of_quality, of_clickbait = weights
    return intercept + of_affinity * affinity + of_quality * videos.quality[rows] + of_clickbait * videos.clickbait[rows]
