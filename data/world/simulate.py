"""The history of a world: pages by the old policy, reactions, and the log that came of it, as a Dataset.

Days run in order, and within a day first every viewer's first page, then every second page, and so on: each page is one row of
large arrays, and each viewer still lives one page after the other.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import rng
from core.clock import DAY_MS, SECOND_MS
from data import dataset
from data.world import behaviour, faults, journal, surveys
from data.world.behaviour import NUM_UNIFORMS, Clicks, Pages
from data.world.config import WorldConfig
from data.world.history_policy import HistoryPages, HistoryPolicy
from data.world.rhythm import Plan, plan_day
from data.world.world import World

Progress = Callable[[str, float], None]
Arrays = TypeVar("Arrays", Pages, HistoryPages, Clicks)


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
        events = faults.corrupt(config, world.viewers, events, rng.stream(config.seed, "faults", day))
        days.append(journal.deliver(events, config.delivery, rng.stream(config.seed, "delivery", day)))
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
    request_ids = pl.select(pl.concat_str(pl.lit(f"{config.name}-{day}-"), pl.int_range(len(plan)))).to_series()
    rounds = [_live_round(world, policy, plan, chosen, free_at, (day, turn)) for turn, chosen in enumerate(plan.rounds())]
    if not rounds:
        return journal.nothing()
    numbers, pages, shown, clicks = (list(parts) for parts in zip(*rounds, strict=True))
    page_ids = request_ids.gather(np.concatenate(numbers))
    seen = journal.impressions(page_ids, _joined(pages), _joined(shown), world.viewer_ids, world.video_ids)
    opened = _joined(clicks)
    parts = [seen, journal.outcomes(request_ids, opened, world.viewer_ids, world.video_ids)]
    if config.survey_share:
        parts.append(surveys.answers(world, request_ids, opened, rng.stream(config.seed, "surveys", day)))
    return pl.concat(parts, how="diagonal")


def _live_round(
    world: World, policy: HistoryPolicy, plan: Plan, chosen: NDArray[np.int64], free_at: NDArray[np.int64], key: tuple[int, int]
) -> tuple[NDArray[np.int64], Pages, HistoryPages, Clicks]:
    """The pages `chosen` from the plan, one per viewer; the clicks' `page` is the number in the plan."""
    random = rng.stream(world.config.seed, "history pages", *key)
    viewers = plan.viewer_rows[chosen]
    at = np.maximum(plan.at[chosen], free_at[viewers])
    shown = policy.pages(faults.made_for(world.config, viewers, at), world.config.slate_size, world.memory, random)
    pages = Pages(viewers, shown.video_rows_PK, at)
    clicks = behaviour.react(world.truth, world.memory, pages, random.random((*pages.video_rows_PK.shape, NUM_UNIFORMS)))
    behaviour.remember(world.memory, world.truth, clicks)
    policy.observe(clicks)
    np.maximum.at(free_at, clicks.viewer_rows, clicks.at + np.ceil(clicks.watch_s * SECOND_MS).astype(np.int64))
    return chosen, pages, shown, replace(clicks, page=chosen[clicks.page])


def _joined(parts: list[Arrays]) -> Arrays:
    """Dataclasses of arrays, end to end."""
    names = [spec.name for spec in fields(parts[0])]
    return type(parts[0])(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
