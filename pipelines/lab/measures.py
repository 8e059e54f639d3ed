"""What a feedback loop does to viewers, videos and channels: one number per week, each with its formula.

    satisfied_s        mean over pages of Σ_slots P(click)·E[watch s | click]·(1 − P(regret | click)), from the world's truth
    regret_s           the same sum for the best possible page of the same moment, minus that of the page shown
    coverage           share of the available videos with at least one impression
    gini               Σ_i (2i − n − 1) x_i / (n Σ x) of impressions x_1 ≤ … ≤ x_n over the available videos; 0 is even
    top_share          share of impressions on the hundredth of videos shown most
    creators           share of channels with at least a tenth of an equal share of impressions
    topic_entropy      mean over viewers of −Σ_t p_t log2 p_t, p the topics of the videos shown to the viewer this week
    new_found          share of the videos uploaded the week before with a few clicks by now
    good_new_found     the same among their best quarter: by the true satisfied seconds of an average viewer

The best page puts the k videos of highest value under full examination in order, which is optimal because a slot's value is
examination(position) times that, and examination only falls (Craswell et al. 2008). All of them are exact; none estimates.
Entropy of few impressions is biased downwards, alike for policies that show as many.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from core.policy import Request, Slate
from data.catalogue import lookup
from data.world.world import World

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
_AVERAGE_VIEWERS = 200


def gini(counts: ArrayLike) -> float:
    """Of non-negative amounts; 0 where there are none."""
    x = np.sort(np.asarray(counts, dtype=np.float64))
    total, n = x.sum(), len(x)
    return float(((2 * np.arange(1, n + 1) - n - 1) * x).sum() / (n * total)) if total > 0 else 0.0


def coverage(counts: ArrayLike, at_least: int = 1) -> float:
    """Share of amounts that reach `at_least`; 0 of none."""
    reached = np.asarray(counts) >= at_least
    return float(reached.mean()) if reached.size else 0.0


def top_share(counts: ArrayLike, share: float = 0.01) -> float:
    """Share of the total that the largest `share` of all amounts hold, at least one of them."""
    x = np.sort(np.asarray(counts, dtype=np.float64))[::-1]
    return float(x[: max(round(share * len(x)), 1)].sum() / x.sum()) if x.sum() > 0 else 0.0


def lorenz(counts: ArrayLike, points: int = 21) -> Floats:
    """[points] share of the total that the smallest 0 … 100 % of all amounts hold."""
    x = np.sort(np.asarray(counts, dtype=np.float64))
    held = np.concatenate([[0.0], np.cumsum(x)]) / max(x.sum(), 1e-12)
    return np.interp(np.linspace(0, 1, points), np.linspace(0, 1, len(held)), held)


def creators(counts: ArrayLike, channels: ArrayLike, audience_share: float) -> float:
    """Share of the channels in `channels` ([V] channel of each video) that still have an audience.

    A channel lives while the impressions of its videos are at least `audience_share` of an equal share among channels.
    """
    _, channel = np.unique(np.asarray(channels), return_inverse=True)
    shown = np.bincount(channel, weights=np.asarray(counts, dtype=np.float64))
    return float((shown >= audience_share * shown.sum() / len(shown)).mean())


def topic_entropy(viewers: ArrayLike, topics: ArrayLike, num_topics: int) -> float:
    """Mean bits per viewer over n impressions, given by viewer and topic."""
    found, viewer = np.unique(np.asarray(viewers), return_inverse=True)
    cells = viewer * num_topics + np.asarray(topics, dtype=np.int64)
    counts = np.bincount(cells, minlength=len(found) * num_topics).reshape(len(found), num_topics)
    share = counts / counts.sum(axis=1, keepdims=True)
    bits = -(share * np.log2(np.where(share > 0, share, 1.0))).sum(axis=1)
    return float(bits.mean())


@dataclass(frozen=True)
class Appeal:
    """What n videos truly are to an average rested viewer who sees them in the first slot. All [n]."""

    satisfied_s: Floats
    """Expected satisfied seconds of an impression."""
    regretted_s: Floats
    """Expected seconds of an impression that are regretted."""
    regret: Floats
    """P(regret | click)."""


def appeal(world: World, rows: Rows, at: int) -> Appeal:
    """Averages over an even sample of viewers."""
    viewers = np.arange(0, len(world.viewers), max(len(world.viewers) // _AVERAGE_VIEWERS, 1))[:, None]
    truth, instant = world.truth, np.asarray(at)
    affinity = np.asarray(truth.affinity(viewers, rows[None, :], instant), dtype=np.float64)
    click = expit(truth.attraction_logit(affinity, viewers, rows[None, :], instant))
    seconds, regret = click * world.videos.duration_s[rows] * truth.watch_share(affinity, rows), truth.regret(affinity, rows)
    return Appeal(
        satisfied_s=(seconds * (1.0 - regret)).mean(axis=0),
        regretted_s=(seconds * regret).mean(axis=0),
        regret=(click * regret).mean(axis=0) / click.mean(axis=0),
    )


def page_values(world: World, requests: Sequence[Request], slates: Sequence[Slate]) -> Floats:
    """[P] true satisfied seconds of each page, as the viewers are now."""
    viewers = lookup(world.viewer_ids, [request.viewer_id for request in requests])
    width = max((len(slate.video_ids) for slate in slates), default=0)
    rows = np.full((len(slates), width), -1, dtype=np.int32)
    for line, slate in zip(rows, slates, strict=True):
        line[: len(slate.video_ids)] = lookup(world.video_ids, slate.video_ids)
    at = np.array([request.at for request in requests], dtype=np.int64)[:, None]
    value = world.expected_satisfaction(viewers[:, None], np.maximum(rows, 0), at, np.arange(width))
    return np.asarray(np.where(rows >= 0, value, 0.0).sum(axis=1), dtype=np.float64)


def best_values(world: World, requests: Sequence[Request]) -> Floats:
    """[P] true satisfied seconds of the best possible page of the same length; all videos uploaded by then may be on it."""
    best = np.zeros(len(requests))
    for place, request in enumerate(requests):
        rows = np.arange(world.videos.num_available(request.at))
        value = world.expected_satisfaction(lookup(world.viewer_ids, [request.viewer_id]), rows, request.at)
        k = min(request.k, len(rows))
        top = np.sort(np.partition(value, len(value) - k)[len(value) - k :])[::-1]
        best[place] = float((top * world.truth.examination(np.arange(k))).sum())
    return best
