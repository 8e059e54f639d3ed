"""The history of a world: pages by the old policy, reactions, and the log that came of it, as a Dataset.

Days run in order, and within a day first every viewer's first page, then every second page, and so on: each page is one row of
large arrays, and each viewer still lives one page after the other.
"""

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import rng
from core.clock import DAY_MS
from data import dataset
from data.world import behaviour, faults, journal
from data.world.behaviour import NUM_UNIFORMS, Clicks, Pages
from data.world.config import WorldConfig
from data.world.history_policy import HistoryPages, HistoryPolicy
from data.world.rhythm import plan_day
from data.world.world import World

Progress = Callable[[str, float], None]


def generate(config: WorldConfig, progress: Progress | None = None) -> dataset.Dataset:
    """The dataset of a world. `progress(note, share)` is called after every day."""
    return history(World(config), progress)


def history(world: World, progress: Progress | None = None) -> dataset.Dataset:
    """Live through the log's days; `world` remembers them. Holds what the log received before `config.end_at`."""
    config, videos = world.config, world.video_frame()
    policy = HistoryPolicy(world.truth)
    free_at = np.zeros(len(world.viewers), dtype=np.int64)
    days = [journal.deliver(_uploaded(config, videos), config.delivery, rng.stream(config.seed, "delivery", "uploads"))]
    for day in range(config.days):
        policy.open_day(config.start_at + day * DAY_MS)
        events = _live_day(world, policy, day, free_at)
        random = rng.stream(config.seed, "delivery", day)
        days.append(journal.deliver(faults.corrupt(config, events, random), config.delivery, random))
        if progress:
            progress(f"day {day + 1} of {config.days}", (day + 1) / config.days)
    received = [dataset.conform(part, c.EVENTS).filter(pl.col(c.RECEIVED_AT) < config.end_at) for part in days]
    return dataset.make(config.name, pl.concat(received), world.viewer_frame(), videos)


def _uploaded(config: WorldConfig, videos: pl.DataFrame) -> pl.DataFrame:
    return journal.uploads(videos.filter(pl.col(c.UPLOADED_AT) >= config.start_at))


def _live_day(world: World, policy: HistoryPolicy, day: int, free_at: NDArray[np.int64]) -> pl.DataFrame:
    """All events caused by the pages of one day. `free_at` [N] is when each viewer has finished the page before; updated."""
    config = world.config
    plan = plan_day(config, world.viewers, day)
    numbers = pl.Series(np.arange(len(plan)))
    request_ids = pl.select(pl.concat_str(pl.lit(f"{config.name}-{day}-"), numbers)).to_series()
    frames = []
    for turn, chosen in enumerate(plan.rounds()):
        random = rng.stream(config.seed, "history pages", day, turn)
        viewers = plan.viewer_rows[chosen]
        shown = policy.pages(viewers, config.slate_size, world.memory, random)
        pages = Pages(viewers, shown.video_rows_PK, np.maximum(plan.at[chosen], free_at[viewers]))
        clicks = _react(world, pages, random)
        policy.observe(clicks)
        np.maximum.at(free_at, clicks.viewer_rows, clicks.at + np.ceil(clicks.watch_s * 1_000).astype(np.int64))
        frames += _frames(world, request_ids.gather(chosen), pages, shown, clicks)
    return pl.concat(frames, how="diagonal") if frames else journal.punctual(_uploaded(config, world.video_frame().clear()))


def _react(world: World, pages: Pages, random: np.random.Generator) -> Clicks:
    uniforms = random.random((*pages.video_rows_PK.shape, NUM_UNIFORMS))
    clicks = behaviour.react(world.truth, world.memory, pages, uniforms)
    behaviour.remember(world.memory, world.truth, clicks)
    return clicks


def _frames(
    world: World, request_ids: pl.Series, pages: Pages, shown: HistoryPages, clicks: Clicks
) -> tuple[pl.DataFrame, pl.DataFrame]:
    return (
        journal.impressions(request_ids, pages, shown, world.viewer_ids, world.video_ids),
        journal.outcomes(request_ids, clicks, world.viewer_ids, world.video_ids),
    )
