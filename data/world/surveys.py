"""Surveys: about some clicks their viewers are asked days later, and answer with one to five stars.

Draws from a stream of its own, so viewers do the same in a world with surveys and without. Knows nothing of what asks.
"""

import numpy as np
import polars as pl

from core import columns as c
from core import events as ev
from core.clock import DAY_MS, SECOND_MS
from data.world.behaviour import Clicks
from data.world.world import World

FIRST_DAYS, LAST_DAYS = 5.0, 9.0
"""Days from the end of a watch to the answer, between them with equal chance."""
_MORE_STARS = 4


def answers(world: World, request_ids: pl.Series, clicks: Clicks, random: np.random.Generator) -> pl.DataFrame:
    """One event per answer; `clicks.page` are positions in `request_ids`."""
    chosen = np.flatnonzero(random.random(len(clicks)) < world.config.survey_share)
    viewers, videos, at = clicks.viewer_rows[chosen], clicks.video_rows[chosen], clicks.at[chosen]
    star = world.truth.star(world.truth.affinity(viewers, videos, at), videos)
    stars = 1 + (random.random((len(chosen), _MORE_STARS)) < star[:, None]).sum(axis=1)
    days = random.uniform(FIRST_DAYS, LAST_DAYS, len(chosen))
    frame = pl.DataFrame(
        {
            c.REQUEST_ID: request_ids.gather(clicks.page[chosen]),
            c.EVENT_AT: at + (clicks.watch_s[chosen] * SECOND_MS + days * DAY_MS).astype(np.int64),
            c.VIEWER_ID: world.viewer_ids[viewers],
            c.VIDEO_ID: world.video_ids[videos],
            c.VALUE: stars.astype(np.float64),
        }
    )
    return frame.with_columns(
        pl.lit(ev.SURVEY).alias(c.KIND),
        pl.concat_str(c.REQUEST_ID, c.VIDEO_ID, pl.lit(ev.SURVEY), separator="/").alias(c.EVENT_ID),
    )
