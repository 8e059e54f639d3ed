"""What a person who knew everything would say of each video of a world: the truth that programmatic labels are held against.

    clickbait   the world's own level is at least `CLICKBAIT`; the odds of regretting the click are then e^(4 · 0.3) ≈ 3.3 times
                those of an honest video. Titles shout only from a level of one half on.
    for kids    viewers under 18 are drawn to it at least `KEENER` times as much as all viewers: ratio of mean
                P(click | examined) over rested viewers at the start of the log

Read from the world, which stays as it was; nothing here is in the log.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from core import rng
from data.world.topics import AGE_BANDS
from data.world.world import World

CLICKBAIT = 0.3
KEENER = 1.2
_MOST_VIEWERS = 400
_BLOCK = 1_000


def is_clickbait(world: World) -> NDArray[np.bool_]:
    """[V] by row."""
    return world.videos.clickbait >= CLICKBAIT


def is_for_kids(world: World) -> NDArray[np.bool_]:
    """[V] by row. Means are over at most 400 viewers of each kind."""
    random = rng.stream(world.config.seed, "kinds")
    young = np.flatnonzero(world.viewers.age == AGE_BANDS.index("under 18"))
    drawn = [_mean_attraction(world, _sample(rows, random)) for rows in (young, np.arange(len(world.viewers)))]
    return np.asarray(drawn[0] >= KEENER * drawn[1])


def _sample(rows: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    return rows if len(rows) <= _MOST_VIEWERS else random.choice(rows, _MOST_VIEWERS, replace=False)


def _mean_attraction(world: World, viewer_rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """[V] mean over the viewers of P(click | examined)."""
    at, viewers = np.full((1, 1), world.config.start_at, dtype=np.int64), viewer_rows[:, None]
    means = []
    for begin in range(0, len(world.videos), _BLOCK):
        videos = np.arange(begin, min(begin + _BLOCK, len(world.videos)))
        affinity = world.truth.affinity(viewers, videos, at)
        means.append(expit(world.truth.attraction_logit(affinity, viewers, videos, at)).mean(axis=0))
    return np.concatenate(means)
