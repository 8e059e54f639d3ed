"""What is kept of a week for people: its measures (`pipelines.lab.measures`) and a picture that the report replays."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import events as ev
from core.clock import DAY_MS
from data.catalogue import lookup
from data.world.topics import TOPICS
from data.world.world import World
from pipelines.lab import measures
from pipelines.lab.config import WEEK_DAYS, LabConfig
from pipelines.lab.week import Served

_TOP = 8
"""Videos named in the picture."""


def of_week(world: World, served: Served, events: pl.DataFrame, config: LabConfig, week: int) -> dict[str, Any]:
    """The record of a week.

    Args:
        served: the week.
        events: everything since the history began, the week included.
    """
    begin, end = config.starts_at(week), config.starts_at(week + 1)
    available = world.videos.num_available(end)
    shown = served.events.filter(pl.col(c.KIND) == ev.IMPRESSION)
    rows = lookup(world.video_ids, shown[c.VIDEO_ID].to_numpy())
    counts = np.bincount(rows, minlength=available)
    topics = world.videos.main_topic
    clicked = events.filter((pl.col(c.KIND) == ev.CLICK) & (pl.col(c.RECEIVED_AT) < end))[c.VIDEO_ID].to_numpy()
    clicks = np.bincount(lookup(world.video_ids, clicked), minlength=available)
    lately = (world.videos.uploaded_at >= begin - WEEK_DAYS * DAY_MS) & (world.videos.uploaded_at < begin)
    new = np.flatnonzero(lately)
    worth = measures.appeal(world, new, begin).satisfied_s
    good = new[worth >= np.quantile(worth, 0.75)] if len(new) else new
    return {
        "week": week,
        "measures": {
            "satisfied_s": float(served.value_P.mean()),
            "greedy_s": float(served.greedy_S.mean()),
            "best_s": float(served.best_S.mean()),
            "regret_s": float((served.best_S - served.shown_S).mean()),
            "chance_cost_s": float((served.greedy_S - served.shown_S).mean()),
            "coverage": measures.coverage(counts),
            "gini": measures.gini(counts),
            "top_share": measures.top_share(counts),
            "creators": measures.creators(counts, world.videos.channel[:available], config.audience_share),
            "topic_entropy": measures.topic_entropy(shown[c.VIEWER_ID].to_numpy(), topics[rows], world.config.num_topics),
            "new_found": measures.coverage(clicks[new], config.found_clicks),
            "good_new_found": measures.coverage(clicks[good], config.found_clicks),
        },
        "pages": len(served.value_P),
        "chance": float(shown[c.EXPLORATION].mean() or 0.0),  # type: ignore[arg-type]
        "picture": _picture(world, counts, topics[rows]),
    }


def _picture(world: World, counts: NDArray[np.int64], topics: NDArray[np.int32]) -> dict[str, Any]:
    """Who was shown: the Lorenz curve, topics, and the videos shown most."""
    top = np.argsort(-counts, kind="stable")[:_TOP]
    share = np.bincount(topics, minlength=world.config.num_topics) / max(len(topics), 1)
    return {
        "lorenz": [round(float(x), 4) for x in measures.lorenz(counts)],
        "topics": dict(zip(list(TOPICS), (round(float(x), 4) for x in share), strict=False)),
        "top": [
            {
                "title": world.videos.titles[row],
                "share": round(float(counts[row] / counts.sum()), 5),
                "quality": round(float(world.videos.quality[row]), 2),
            }
            for row in top.tolist()
        ],
    }
