"""Channels and videos of the world, as arrays in upload order, and the catalogue frame that the rest of the project sees.

Rows follow upload order and ids follow rows (`video_id = row + 1`): what exists at an instant is a prefix, and the catalogue
of `Dataset.until(t)` has the same rows as the world. The frame shows a noisy content vector and the dominant topic, never the
true mixture, quality or clickbait.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import rng
from core.clock import DAY_MS
from data.world.config import WorldConfig
from data.world.titles import channel_names, video_title
from data.world.topics import LANGUAGES, TOPICS, VIDEO_LANGUAGE_SHARES

NUM_STYLES = 6
FIRST_CHANNEL_ID = 10_000_000
_CLICKBAIT_TITLE = 0.5

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Videos:
    """V videos with T topics and S styles, in upload order."""

    topics_VT: Floats
    """[V, T] topic mixture, rows sum to 1."""
    styles_VS: Floats
    """[V, S] style, standard normal."""
    quality: Floats
    """[V] standard normal: how good it truly is."""
    clickbait: Floats
    """[V] 0 to 1."""
    duration_s: Floats
    """[V] length in seconds."""
    uploaded_at: NDArray[np.int64]
    """[V] ascending."""
    channel: Ints
    """[V] channel row."""
    language: Ints
    """[V] position in LANGUAGES."""
    content_VC: Floats
    """[V, C] what the recommender may know of the content, rounded to 4 decimals."""
    channel_names: tuple[str, ...]
    titles: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.quality)

    @property
    def main_topic(self) -> Ints:
        """[V] topic with the largest share."""
        return self.topics_VT.argmax(axis=1).astype(np.int32)

    def num_available(self, at: int) -> int:
        """How many videos were uploaded strictly before `at`; they are rows 0 to that number."""
        return int(np.searchsorted(self.uploaded_at, at, side="left"))


@dataclass(frozen=True)
class _Channels:
    leaning_CT: NDArray[np.float64]
    styles_CS: NDArray[np.float64]
    quality: NDArray[np.float64]
    clickbait: NDArray[np.float64]
    language: NDArray[np.int64]
    size: NDArray[np.float64]


def make_videos(config: WorldConfig) -> Videos:
    """The videos of a world."""
    random = rng.stream(config.seed, "videos")
    channels = _make_channels(config, rng.stream(config.seed, "channels"))
    uploaded_at = _upload_times(config, random)
    channel = random.choice(config.num_channels, size=config.num_videos, p=channels.size)
    topics = _mixtures(channels.leaning_CT[channel], random)
    styles = 0.8 * channels.styles_CS[channel] + 0.6 * random.standard_normal((config.num_videos, NUM_STYLES))
    quality = 0.6 * channels.quality[channel] + 0.8 * random.standard_normal(config.num_videos)
    clickbait = np.clip(channels.clickbait[channel] * random.gamma(2.0, 0.5, config.num_videos), 0, 1)
    names = list(TOPICS)[: config.num_topics]
    main = topics.argmax(axis=1)
    draws = random.integers(0, 1 << 16, size=(config.num_videos, 4)).tolist()
    loud = (clickbait > _CLICKBAIT_TITLE).tolist()
    return Videos(
        topics_VT=topics.astype(np.float32),
        styles_VS=styles.astype(np.float32),
        quality=quality.astype(np.float32),
        clickbait=clickbait.astype(np.float32),
        duration_s=_durations(main, config, random),
        uploaded_at=uploaded_at,
        channel=channel.astype(np.int32),
        language=channels.language[channel].astype(np.int32),
        content_VC=_content(topics, styles, quality, clickbait, config),
        channel_names=tuple(channel_names([names[t] for t in channels.leaning_CT.argmax(axis=1)], random)),
        titles=tuple(video_title(names[t], loud[i], draws[i]) for i, t in enumerate(main.tolist())),
    )


def _make_channels(config: WorldConfig, random: np.random.Generator) -> _Channels:
    demand = np.exp(0.4 * random.standard_normal(config.num_topics))
    size = (1.0 + np.arange(config.num_channels)) ** -0.6
    return _Channels(
        leaning_CT=random.dirichlet(0.06 * demand / demand.mean(), size=config.num_channels),
        styles_CS=random.standard_normal((config.num_channels, NUM_STYLES)),
        quality=random.standard_normal(config.num_channels),
        clickbait=random.beta(0.6, 2.4, size=config.num_channels),
        language=random.choice(len(LANGUAGES), size=config.num_channels, p=VIDEO_LANGUAGE_SHARES),
        size=size / size.sum(),
    )


def _upload_times(config: WorldConfig, random: np.random.Generator) -> NDArray[np.int64]:
    """Backlog ages exponentially (mean 120 days); later uploads spread over the log. Ascending."""
    before = round(config.num_videos * config.backlog_share)
    ages = np.minimum(random.exponential(120.0, before), 1_000.0)
    during = random.uniform(0.0, config.days, config.num_videos - before)
    days = np.concatenate([-ages, during])
    return np.sort(config.start_at + np.floor(days * DAY_MS).astype(np.int64))


def _mixtures(leaning_VT: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """A main topic drawn from the channel's leaning with share 0.6 to 1, the rest on a second topic."""
    num_videos, num_topics = leaning_VT.shape
    cumulative = np.cumsum(leaning_VT, axis=1)
    main = np.minimum((random.random((num_videos, 1)) > cumulative).sum(axis=1), num_topics - 1)
    second = (main + random.integers(1, num_topics, size=num_videos)) % num_topics
    share = random.uniform(0.6, 1.0, size=num_videos)
    mixture = np.zeros((num_videos, num_topics))
    rows = np.arange(num_videos)
    mixture[rows, main] = share
    mixture[rows, second] = 1.0 - share
    return mixture


def _durations(main: NDArray[np.int64], config: WorldConfig, random: np.random.Generator) -> Floats:
    """Seconds: log-normal around a median of its topic, 20 s to 1 h."""
    median = np.exp(rng.stream(config.seed, "topic lengths").uniform(np.log(150), np.log(700), config.num_topics))
    length = median[main] * np.exp(0.5 * random.standard_normal(len(main)))
    return np.round(np.clip(length, 20, 3_600)).astype(np.float32)


def _content(
    topics: NDArray[np.float64],
    styles: NDArray[np.float64],
    quality: NDArray[np.float64],
    clickbait: NDArray[np.float64],
    config: WorldConfig,
) -> Floats:
    """Random projection of topics, with weaker hints of style, quality and clickbait, plus noise."""
    random = rng.stream(config.seed, "content")
    hidden = np.concatenate([topics, 0.25 * styles, 0.15 * quality[:, None], 0.4 * clickbait[:, None]], axis=1)
    projection = random.standard_normal((hidden.shape[1], config.content_size)) / np.sqrt(config.content_size)
    noise = 0.06 * random.standard_normal((len(topics), config.content_size))
    return np.round(hidden @ projection + noise, 4).astype(np.float32)


def video_ids(config: WorldConfig) -> NDArray[np.int64]:
    """[V] ids by row."""
    return np.arange(1, config.num_videos + 1, dtype=np.int64)


def video_frame(config: WorldConfig, videos: Videos) -> pl.DataFrame:
    """The catalogue with schema `columns.VIDEOS`."""
    names = np.array(list(TOPICS)[: config.num_topics])
    ids = pl.Series(c.VIDEO_ID, video_ids(config))
    return pl.DataFrame(
        {
            c.VIDEO_ID: ids,
            c.EXTERNAL_ID: ids.cast(pl.String),
            c.TITLE: list(videos.titles),
            c.CHANNEL_ID: videos.channel.astype(np.int64) + FIRST_CHANNEL_ID,
            c.CHANNEL: pl.Series(list(videos.channel_names)).gather(videos.channel),
            c.CATEGORY: pl.Series(names.tolist()).gather(videos.main_topic),
            c.LANGUAGE: pl.Series(list(LANGUAGES)).gather(videos.language),
            c.DURATION_S: videos.duration_s,
            c.UPLOADED_AT: videos.uploaded_at,
            c.CONTENT: pl.Series(videos.content_VC).arr.to_list(),
        }
    )
