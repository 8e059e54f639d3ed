"""Thompson sampling in service: slots go to whichever video is best in one of M samples of what its click rate may be.

    a, b      = prior·rate + clicks_v,  prior·(1 − rate) + impressions_v − clicks_v          rate: of all videos together
    spread_v  = √(1/a + 1/b)                                          standard error of log-odds (Woolf 1955)
    score_mv  = utility_v + temperature · spread_v · z_mv             z_mv ~ N(0, 1), m = 1 … M

The ranker is the mean, a video's own log the spread. Events count as `serving.activity` says, 1.2 on their first day, .2 in
their first week, .03 in their first month, so what was shown long ago is explored again (discounted Thompson sampling, Raj &
Kalyani 2017); they come from the release and the event stream, and are looked at once per `refresh_s` of request time.
z derives from (seed, day, video, m) by hashing: M stored samples that take no memory, and a slot's propensity is a count
(`experiments.policies`). Only the explorer's pool and the re-ranked page take part, in order of utility: an explored slot knows
nothing of the re-ranker's variety. Takes impressions in any slot, for any viewer, as trials of one rate.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.clock import DAY_MS
from core.policy import Request
from experiments.assignment import units
from experiments.policies import NUM_SAMPLES
from retrieval.sources import Shared, VideoCounts
from serving import explorer
from serving.config import ExplorationConfig
from serving.explorer import Page
from serving.recommender import Parts, Recommender

Floats = NDArray[np.float32]


def spread(clicks: ArrayLike, impressions: ArrayLike, prior_shows: float) -> Floats:
    """[V] how far the log-odds of each video's click rate may be off; see the module."""
    clicks = np.asarray(clicks, dtype=np.float64)
    shows = np.maximum(np.asarray(impressions, dtype=np.float64), clicks)
    rate = (clicks.sum() + 1.0) / (shows.sum() + 10.0)  # defined, and small, before anything was shown
    a, b = prior_shows * rate + clicks, prior_shows * (1.0 - rate) + shows - clicks
    return np.sqrt(1.0 / a + 1.0 / b).astype(np.float32)


def deviates(seed: int, day: int, video_ids: ArrayLike, num: int = NUM_SAMPLES) -> NDArray[np.float64]:
    """[M, K] standard normal numbers, the same for a seed, day, video and m wherever they are asked for (Box & Muller 1958)."""
    keys = np.asarray(video_ids, dtype=np.int64)[None, :] * num + np.arange(num)[:, None]
    radius, angle = (units(f"thompson:{seed}:{day}:{part}", keys.ravel()).reshape(keys.shape) for part in ("radius", "angle"))
    return np.asarray(np.sqrt(-2.0 * np.log1p(-radius)) * np.cos(2.0 * np.pi * angle), dtype=np.float64)


def page_of(
    ranked: NDArray[np.int64],
    utility_K: Floats,
    spread_K: Floats,
    fresh_K: NDArray[np.bool_],
    video_ids_K: NDArray[np.int64],
    config: ExplorationConfig,
    request: Request,
) -> Page:
    """Fill as many slots as `ranked` has; K candidates, in any order: draws go by utility."""
    members = explorer.pool(utility_K, fresh_K, config.pool)
    these = np.union1d(ranked, members)
    these = these[np.argsort(-utility_K[these], kind="stable")]
    place = {candidate: i for i, candidate in enumerate(these.tolist())}
    weight = np.zeros(len(these))
    weight[[place[i] for i in members.tolist()]] = explorer.weights(utility_K[members], fresh_K[members], config)
    noise = spread_K[these] * deviates(config.seed, request.at // DAY_MS, video_ids_K[these])
    score_MK = utility_K[these].astype(np.float64) + config.temperature * noise
    page = explorer.thompson([place[i] for i in ranked.tolist()], score_MK, weight, config, request.request_id)
    return replace(page, chosen=these[page.chosen])


class ThompsonRecommender(Recommender):
    """The recommender whose last stage is the module's."""

    def __init__(self, parts: Parts, videos: VideoCounts) -> None:
        super().__init__(parts)
        self._videos = videos
        self._refresh_ms = max(int(self.config.refresh_s * 1000), 1)
        self._spreads = Shared(self._spread, of_now=videos.of_now)

    def spread(self, at: int) -> Floats:
        """[V] of the period that an instant lies in, or while that is being made, of the one before."""
        return self._spreads.of(at // self._refresh_ms)

    def _spread(self, period: int) -> Floats:
        since = period * self._refresh_ms
        return spread(self._videos.clicks(since), self._videos.impressions(since), self.config.exploration.prior_shows)

    def fill(
        self,
        request: Request,
        rows_K: NDArray[np.int32],
        utility_K: Floats,
        order: NDArray[np.int64],
        settings: ExplorationConfig,
    ) -> Page:
        """See Recommender."""
        if settings.epsilon <= 0:
            return super().fill(request, rows_K, utility_K, order, settings)
        fresh, video_ids = self.parts.fresh(rows_K, request.at), self.parts.catalogue.video_ids[rows_K]
        return page_of(order, utility_K, self.spread(request.at)[rows_K], fresh, video_ids, settings, request)
