"""Viewers of the world as arrays, and the viewer table that the rest of the project sees.

A viewer has a taste (how much each topic pulls, about −1 to 2.5), a style, attributes that correlate with taste, and a rhythm:
how many pages per day, at which local hour. The table shows the attributes only. `viewer_id = row + 1`.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import rng
from core.clock import DAY_MS
from data.world import topics as t
from data.world.catalogue import NUM_STYLES, Floats, Ints
from data.world.config import WorldConfig

_FAVOURITES = (2.5, 1.9, 1.3, 0.7)
_INDIFFERENCE = -0.6
_DRIFT_DAYS = 60.0


@dataclass(frozen=True)
class Viewers:
    """N viewers with T topics and S styles."""

    tastes_NT: Floats
    """[N, T] taste at the start of the log."""
    drift_NT: Floats
    """[N, T] change of taste per day; zero for most."""
    styles_NS: Floats
    """[N, S] style, standard normal."""
    pages_per_day: NDArray[np.float64]
    """[N] expected pages on an average day once joined."""
    joined_at: NDArray[np.int64]
    """[N] no pages before this instant."""
    hour: Floats
    """[N] favourite hour of the day, UTC."""
    language: Ints
    """[N] position in LANGUAGES."""
    country: Ints
    age: Ints
    gender: Ints
    device: Ints
    segment: Ints

    def __len__(self) -> int:
        return len(self.pages_per_day)


def make_viewers(config: WorldConfig) -> Viewers:
    """The viewers of a world."""
    random = rng.stream(config.seed, "viewers")
    n = config.num_viewers
    age = random.choice(len(t.AGE_BANDS), size=n, p=t.AGE_SHARES)
    gender = random.choice(len(t.GENDERS), size=n, p=t.GENDER_SHARES)
    country = random.choice(len(t.COUNTRIES), size=n, p=[place.share for place in t.COUNTRIES])
    tastes, drift = _tastes(config, age, gender, rng.stream(config.seed, "tastes"))
    pages, joined_at = _activity(config, rng.stream(config.seed, "activity"))
    offset = np.array([place.utc_offset_h for place in t.COUNTRIES])[country]
    language = np.array([t.LANGUAGES.index(place.language) for place in t.COUNTRIES])[country]
    return Viewers(
        tastes_NT=tastes,
        drift_NT=drift,
        styles_NS=random.standard_normal((n, NUM_STYLES)).astype(np.float32),
        pages_per_day=pages,
        joined_at=joined_at,
        hour=((19.0 + 3.0 * random.standard_normal(n) - offset) % 24).astype(np.float32),
        language=language.astype(np.int32),
        country=country.astype(np.int32),
        age=age.astype(np.int32),
        gender=gender.astype(np.int32),
        device=random.choice(len(t.DEVICES), size=n, p=t.DEVICE_SHARES).astype(np.int32),
        segment=np.searchsorted(np.quantile(pages, [0.5, 0.85]), pages).astype(np.int32),
    )


def _tastes(
    config: WorldConfig, age: NDArray[np.int64], gender: NDArray[np.int64], random: np.random.Generator
) -> tuple[Floats, Floats]:
    """Four favourite topics each, drawn (Gumbel top-k) from what age and gender lean to, above a noisy indifference."""
    shape = (config.num_viewers, config.num_topics)
    demand = 0.4 * random.standard_normal(config.num_topics)
    by_age = 0.7 * random.standard_normal((len(t.AGE_BANDS), config.num_topics))
    by_gender = 0.5 * random.standard_normal((len(t.GENDERS), config.num_topics))
    leaning = demand + by_age[age] + by_gender[gender]

    def favourites() -> Floats:
        order = np.argsort(-(leaning + random.gumbel(size=shape)), axis=1)[:, : len(_FAVOURITES)]
        pull = np.full(shape, _INDIFFERENCE, dtype=np.float32)
        np.put_along_axis(pull, order, np.array(_FAVOURITES, dtype=np.float32)[None, : order.shape[1]], axis=1)
        return pull

    now, later = favourites(), favourites()
    drifting = random.random((config.num_viewers, 1)) < config.drifting_share
    noise = 0.3 * random.standard_normal(shape, dtype=np.float32)
    return now + noise, np.where(drifting, (later - now) / np.float32(_DRIFT_DAYS), np.float32(0))


def _activity(config: WorldConfig, random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Log-normal page rates, scaled so that the whole log has the wanted number of impressions on average."""
    rate = np.exp(0.7 * random.standard_normal(config.num_viewers))
    joins = random.random(config.num_viewers) < config.joining_share
    joined_day = np.where(joins, random.uniform(0, config.days, config.num_viewers), 0.0)
    pages = config.impressions / config.slate_size
    rate *= pages / (rate * (config.days - joined_day)).sum()
    return rate, config.start_at + (joined_day * DAY_MS).astype(np.int64)


def viewer_ids(config: WorldConfig) -> NDArray[np.int64]:
    """[N] ids by row."""
    return np.arange(1, config.num_viewers + 1, dtype=np.int64)


def viewer_frame(config: WorldConfig, viewers: Viewers) -> pl.DataFrame:
    """The viewer table with schema `columns.VIEWERS`."""
    ids = pl.Series(c.VIEWER_ID, viewer_ids(config))
    return pl.DataFrame(
        {
            c.VIEWER_ID: ids,
            c.EXTERNAL_ID: ids.cast(pl.String),
            c.AGE_BAND: pl.Series(t.AGE_BANDS).gather(viewers.age),
            c.GENDER: pl.Series(t.GENDERS).gather(viewers.gender),
            c.COUNTRY: pl.Series([place.code for place in t.COUNTRIES]).gather(viewers.country),
            c.LANGUAGE: pl.Series(t.LANGUAGES).gather(viewers.language),
            c.DEVICE: pl.Series(t.DEVICES).gather(viewers.device),
            c.SEGMENT: pl.Series(t.SEGMENTS).gather(viewers.segment),
        }
    )
