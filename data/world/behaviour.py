"""What viewers do with pages: uniform random numbers in, clicks and what follows them out.

All chance enters through one array of uniforms per (page, slot), so equal uniforms give equal reactions and two policies can be
compared under common random numbers. Knows nothing of ids, logs or who made the pages.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, expit

from core.clock import SECOND_MS
from data.world import faults
from data.world.config import FaultKind
from data.world.memory import Memory
from data.world.truth import Truth

NUM_UNIFORMS = 6
"""Per slot: click, watch share, like or dislike, regret, subscribe, hour of the regret."""
_LOOK_MS = 1_500
"""Time to look at one slot."""


@dataclass(frozen=True)
class Pages:
    """P pages of K slots."""

    viewer_rows: NDArray[np.int64]
    """[P]"""
    video_rows_PK: NDArray[np.int32]
    """[P, K] in display order; −1 where the page is shorter."""
    at: NDArray[np.int64]
    """[P] instant shown, milliseconds."""


@dataclass(frozen=True)
class Clicks:
    """n clicks with their consequences, by page and position."""

    page: NDArray[np.int64]
    """[n] page of each click."""
    viewer_rows: NDArray[np.int64]
    video_rows: NDArray[np.int32]
    at: NDArray[np.int64]
    """[n] instant of the click, milliseconds; a viewer opens one video after the other."""
    watch_s: NDArray[np.float64]
    """[n] seconds, above 0 and at most the duration."""
    liked: NDArray[np.bool_]
    disliked: NDArray[np.bool_]
    regretted: NDArray[np.bool_]
    subscribed: NDArray[np.bool_]
    """[n] never twice for the same viewer and channel."""
    later: NDArray[np.float64]
    """[n] uniform that places the regret within the next day."""

    def __len__(self) -> int:
        return len(self.at)


def click_chance(truth: Truth, memory: Memory | None, pages: Pages) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(P(click), affinity), both [P, K]; 0 at empty slots."""
    viewers, videos, at = pages.viewer_rows[:, None], np.maximum(pages.video_rows_PK, 0), pages.at[:, None]
    affinity = truth.affinity(viewers, videos, at)
    attraction = expit(truth.attraction_logit(affinity, viewers, videos, at, memory))
    chance = truth.examination(np.arange(videos.shape[1])) * attraction
    if faults.active(truth.config, FaultKind.BOT_TRAFFIC):
        bots = faults.hits(truth.config, FaultKind.BOT_TRAFFIC, pages.viewer_rows, pages.at)
        chance = np.where(bots[:, None], faults.BOT_CLICKS, chance)
    return np.where(pages.video_rows_PK >= 0, chance, 0.0), np.asarray(affinity, dtype=np.float64)


def react(truth: Truth, memory: Memory, pages: Pages, uniforms: NDArray[np.float64]) -> Clicks:
    """The clicks on P pages, from uniforms [P, K, NUM_UNIFORMS]. Does not change the memory."""
    chance, affinity_PK = click_chance(truth, memory, pages)
    page, position = np.nonzero(uniforms[..., 0] < chance)
    drawn = uniforms[page, position]
    viewers, videos = pages.viewer_rows[page], pages.video_rows_PK[page, position]
    affinity = affinity_PK[page, position]
    human = ~faults.hits(truth.config, FaultKind.BOT_TRAFFIC, viewers, pages.at[page])
    watch_s = np.where(human, _watch(truth, affinity, videos, drawn[:, 1]), faults.BOT_WATCH_S)
    subscribed = human & (drawn[:, 4] < truth.subscribe(affinity, videos))
    return Clicks(
        page=page,
        viewer_rows=viewers,
        video_rows=videos,
        at=_click_times(pages.at, page, position, watch_s),
        watch_s=watch_s,
        liked=human & (drawn[:, 2] < truth.like(affinity, videos)),
        disliked=human & (drawn[:, 2] > 1.0 - truth.dislike(affinity, videos)),
        regretted=human & (drawn[:, 3] < truth.regret(affinity, videos)),
        subscribed=subscribed & _new_follow(truth, memory, viewers, videos, subscribed),
        later=drawn[:, 5],
    )


def remember(memory: Memory, truth: Truth, clicks: Clicks) -> None:
    """Let the clicks and subscriptions change the viewers' memory."""
    memory.record(clicks.viewer_rows, clicks.video_rows, clicks.at)
    followed = clicks.subscribed
    memory.follow(clicks.viewer_rows[followed], truth.videos.channel[clicks.video_rows[followed]])


def _watch(
    truth: Truth, affinity: NDArray[np.float64], videos: NDArray[np.int32], uniform: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Seconds: duration · Beta(c·m, c·(1 − m)) by inversion, which keeps the mean exact."""
    mean = np.clip(truth.watch_share(affinity, videos), 1e-3, 1 - 1e-3)
    concentration = truth.config.behaviour.watch_concentration
    share = betaincinv(concentration * mean, concentration * (1 - mean), uniform)
    return np.maximum(np.round(truth.videos.duration_s[videos] * share, 3), 0.001)


def _click_times(
    shown_at: NDArray[np.int64], page: NDArray[np.int64], position: NDArray[np.int64], watch_s: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Look down the page slot by slot, watching what was opened before going on. Clicks are grouped by page."""
    watched = np.cumsum(watch_s) - watch_s
    first = np.searchsorted(page, page)
    before_s = watched - watched[first] if len(page) else watched
    return shown_at[page] + _LOOK_MS * (position + 1) + np.ceil(before_s * SECOND_MS).astype(np.int64)


def _new_follow(
    truth: Truth, memory: Memory, viewers: NDArray[np.int64], videos: NDArray[np.int32], subscribed: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Not followed yet, and the first subscription to that channel in this batch."""
    channels = truth.videos.channel[videos].astype(np.int64)
    key = viewers * len(truth.videos.channel_names) + channels
    where = np.flatnonzero(subscribed)
    _, earliest = np.unique(key[where], return_index=True)
    fresh = np.zeros(len(key), dtype=bool)
    fresh[where[earliest]] = True
    return fresh & ~memory.follows(viewers, channels)
