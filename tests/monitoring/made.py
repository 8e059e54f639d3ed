"""Observations without a world: every hour alike but for chance, and whatever a test changes from some hour on."""

import numpy as np
import polars as pl

from core import columns as c
from core import rng
from core.clock import HOUR_MS
from data.labels import definitions as labels
from monitoring import observations as o
from monitoring.signals import Tallies, tally

FIRST = 490_992
"""A Monday, midnight, as hours since 1970."""
DAYS = 20


def rows(seed: int = 1, days: int = DAYS, per_hour: int = 60, click_rate: float = 0.2) -> pl.DataFrame:
    """`days` days of impressions; predictions are right on average."""
    random, n = rng.stream(seed, "made"), days * 24 * per_hour
    hour = FIRST + np.repeat(np.arange(days * 24), per_hour)
    predicted = random.uniform(0.5 * click_rate, 1.5 * click_rate, n)
    clicked = random.random(n) < predicted
    return pl.DataFrame(
        {
            c.VIEWER_ID: random.integers(1, 500, n),
            c.VIDEO_ID: random.integers(1, 200, n),
            labels.AT: hour * HOUR_MS,
            o.HOUR: hour,
            c.POSITION: np.tile(np.arange(10), n // 10),
            c.RELEASE_ID: np.where(hour < FIRST + 24 * 17 + 5, "first", "second"),
            c.EXPLORATION: random.random(n) < 0.1,
            o.PREDICTED: predicted,
            labels.CLICKED: clicked,
            labels.LIKED: clicked & (random.random(n) < 0.2),
            labels.DISLIKED: np.zeros(n, dtype=bool),
            labels.REGRETTED: clicked & (random.random(n) < 0.1),
            o.REPORTED: clicked,
            labels.WATCH_S: np.where(clicked, np.exp(5 + random.standard_normal(n)), np.nan),
            o.FEATURE_AGE_H: random.exponential(0.01, n),
            o.CROWD: random.integers(10, 30, n),
            c.COUNTRY: random.choice(["BR", "DE"], n),
            c.DEVICE: random.choice(["phone", "tv"], n, p=[0.7, 0.3]),
            c.AGE_BAND: random.choice(["18-24", "25-34"], n),
            o.KNOWN: np.repeat("known", n),
            c.CATEGORY: random.choice(["Cats", "Chess"], n),
            c.DURATION_S: np.repeat(50_000.0, n),
        }
    ).with_columns(pl.col(labels.WATCH_S).fill_nan(None))


def since(hour: int, **values: pl.Expr) -> list[pl.Expr]:
    """Columns that are something else from an hour on."""
    return [pl.when(pl.col(o.HOUR) >= hour).then(value).otherwise(pl.col(name)).alias(name) for name, value in values.items()]


def tallied(frame: pl.DataFrame, days: int = DAYS) -> Tallies:
    """All hours of it."""
    return tally(frame, FIRST, FIRST + 24 * days)
