"""The policy that made the pages of the log: popular and recent videos, followed channels or a guess of the viewer's
topics, and a share of pages drawn uniformly at random.

It sees past clicks and a noisy guess of tastes (topics only), never the truth. On random pages the videos are distinct and the
probability of slot i, given the slots before, is exactly 1 / (available − i); on other pages it is not known.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core import rng
from core.clock import DAY_MS
from data.world.behaviour import Clicks
from data.world.memory import Memory
from data.world.truth import Truth

SOURCES = ("popular", "followed", "random")
POPULAR, FOLLOWED, RANDOM = range(3)
_OVERSAMPLING = 3
_GUESS_SHARPNESS = 1.3
_FOLLOWED_CHANNELS = 0.5
"""Share of `followed` draws that take a followed channel when there is one; the rest take a guessed topic."""


@dataclass(frozen=True)
class HistoryPages:
    """P pages of K slots."""

    video_rows_PK: NDArray[np.int32]
    """−1 where fewer than K distinct videos were drawn."""
    source_PK: NDArray[np.int8]
    """Position in SOURCES."""
    propensity_PK: NDArray[np.float64]
    """nan where not known."""


@dataclass(frozen=True)
class _Shelf:
    """Available videos in groups (all, by topic or by channel), drawn with probability ∝ weight within a group."""

    order: NDArray[np.int64]
    cumulative: NDArray[np.float64]
    bounds: NDArray[np.int64]

    @staticmethod
    def of(groups: NDArray[np.int32], weights: NDArray[np.float64], num_groups: int) -> "_Shelf":
        order = np.argsort(groups, kind="stable")
        cumulative = np.concatenate([[0.0], np.cumsum(weights[order])])
        bounds = np.searchsorted(groups[order], np.arange(num_groups + 1))
        return _Shelf(order, cumulative, bounds)

    def draw(self, groups: NDArray[np.int64], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
        """One video row per group; −1 where the group is empty."""
        begin, end = self.bounds[groups], self.bounds[groups + 1]
        low, high = self.cumulative[begin], self.cumulative[end]
        at = np.searchsorted(self.cumulative, low + uniform * (high - low), side="right") - 1
        drawn = self.order[np.clip(at, begin, np.maximum(end - 1, begin)).clip(max=len(self.order) - 1)]
        return np.where(end > begin, drawn, -1)


class HistoryPolicy:
    """Stateful over days: `open_day`, then `pages` and `observe` in any number of rounds."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._config = truth.config.history
        random = rng.stream(truth.config.seed, "guesses")
        tastes = truth.viewers.tastes_NT
        noise = random.standard_normal(tastes.shape, dtype=np.float32)
        self._guess_NT = tastes + np.float32(self._config.guess_noise) * noise
        chances = np.exp(_GUESS_SHARPNESS * self._guess_NT)
        self._topic_cdf_NT = np.cumsum(chances / chances.sum(axis=1, keepdims=True), axis=1)
        self._main_topic = truth.videos.main_topic
        # Clicks of the time before the log: better videos start out more popular.
        self._popularity = np.exp(0.5 * truth.videos.quality + 0.8 * random.standard_normal(len(truth.videos)))

    def open_day(self, at: int) -> None:
        """Stock the shelves with what was uploaded before `at`; yesterday's popularity fades."""
        videos, config = self._truth.videos, self._config
        self._available = n = videos.num_available(at)
        self._popularity *= 0.5 ** (1.0 / config.half_life_days)
        age_days = (at - videos.uploaded_at[:n]) / DAY_MS
        weights = self._popularity[:n] + 2.0 * np.exp(-age_days / 3.0) + 0.05
        self._log_weight = np.log(weights)
        everything = np.zeros(n, dtype=np.int32)
        self._all = _Shelf.of(everything, weights, 1)
        self._by_topic = _Shelf.of(self._main_topic[:n], weights, self._truth.config.num_topics)
        recent = np.exp(-age_days / 14.0) + 0.02
        self._by_channel = _Shelf.of(videos.channel[:n], recent, len(videos.channel_names))

    def observe(self, clicks: Clicks) -> None:
        """Count clicks towards popularity; shelves change the next day."""
        self._popularity += np.bincount(clicks.video_rows, minlength=len(self._popularity))

    def pages(self, viewer_rows: NDArray[np.int64], k: int, memory: Memory, random: np.random.Generator) -> HistoryPages:
        """One page per viewer."""
        shape = (len(viewer_rows), _OVERSAMPLING * k)
        explore = random.random(len(viewer_rows)) < self._config.random_share
        source = np.where(random.random(shape) < self._config.followed_share, FOLLOWED, POPULAR)
        source[explore] = RANDOM
        drawn = self._draw(viewer_rows, source, memory, random)
        picks = _first_distinct(drawn, k)
        rows, source = np.take_along_axis(drawn, picks, 1), np.take_along_axis(source, picks, 1)
        rows = np.where(_repeats(rows), -1, rows)
        order = np.argsort(-self._order_score(viewer_rows, rows, explore, random), axis=1, kind="stable")
        rows, source = np.take_along_axis(rows, order, 1), np.take_along_axis(source, order, 1)
        exact = 1.0 / np.maximum(self._available - np.arange(k), 1)
        propensity = np.where(explore[:, None], exact, np.nan)
        return HistoryPages(rows.astype(np.int32), source.astype(np.int8), propensity)

    def _draw(
        self, viewer_rows: NDArray[np.int64], source: NDArray[np.int64], memory: Memory, random: np.random.Generator
    ) -> NDArray[np.int64]:
        """Video rows for every cell of `source`, with repeats."""
        uniform = random.random(source.shape)
        page, slot = np.nonzero(source == FOLLOWED)
        drawn = np.where(source == RANDOM, (uniform * self._available).astype(np.int64), -1)
        drawn[page, slot] = self._draw_followed(viewer_rows[page], uniform[page, slot], memory, random)
        # A guessed topic may have no video yet: the slot goes to a popular one.
        empty = drawn < 0
        drawn[empty] = self._all.draw(np.zeros(int(empty.sum()), dtype=np.int64), random.random(int(empty.sum())))
        source[empty] = POPULAR
        return drawn

    def _draw_followed(
        self, viewer_rows: NDArray[np.int64], uniform: NDArray[np.float64], memory: Memory, random: np.random.Generator
    ) -> NDArray[np.int64]:
        choice = random.random(len(viewer_rows))
        cdf = self._topic_cdf_NT[viewer_rows]
        topic = np.minimum((choice[:, None] > cdf).sum(axis=1), cdf.shape[1] - 1)
        drawn = self._by_topic.draw(topic, uniform)
        channels, begin, end = memory.followed(viewer_rows)
        take = (end > begin) & (random.random(len(viewer_rows)) < _FOLLOWED_CHANNELS)
        chosen = begin[take] + (choice[take] * (end - begin)[take]).astype(np.int64)
        drawn[take] = self._by_channel.draw(channels[chosen], uniform[take])
        return drawn

    def _order_score(
        self, viewer_rows: NDArray[np.int64], rows: NDArray[np.int64], explore: NDArray[np.bool_], random: np.random.Generator
    ) -> NDArray[np.float64]:
        """Guessed taste and popularity plus noise; random pages keep the order of their draws, gaps go last."""
        safe = np.maximum(rows, 0)
        taste = np.einsum("pt,pkt->pk", self._guess_NT[viewer_rows], self._truth.videos.topics_VT[safe])
        score = taste + 0.3 * self._log_weight[safe] + self._config.order_noise * random.gumbel(size=rows.shape)
        score = np.where(explore[:, None], -np.arange(rows.shape[1], dtype=np.float64), score)
        return np.where(rows < 0, -np.inf, score)


def _repeats(rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the same value occurs earlier in its line."""
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, 1)
    same = np.concatenate([np.zeros((len(rows), 1), dtype=bool), ordered[:, 1:] == ordered[:, :-1]], axis=1)
    repeats = np.empty_like(same)
    np.put_along_axis(repeats, order, same, 1)
    return repeats


def _first_distinct(rows: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """[P, k] columns of the first k distinct values of each line; repeats only where there are fewer."""
    return np.argsort(_repeats(rows), axis=1, kind="stable")[:, :k]
