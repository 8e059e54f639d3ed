"""The laboratory's ways to serve, each a `core.policy.Policy` over the serving code, with exact propensities.

    none, epsilon, ips          the recommender itself; its explorer draws slots
    thompson, topics, linear    the recommender's best candidates, ordered by utility + what is not known of their click rates
    served                      the recommender itself, exploring as `serving.thompson` does in service
    holdout                     a share of pages with every slot drawn from the explorer's pool, the rest without chance

Thompson sampling takes the ranker as the mean, and what the log leaves open as the spread (`pipelines.lab.spreads`: per video,
per topic, or linear over video vectors), in M stored samples that are drawn anew every day.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import config as configs
from core import events as ev
from core import rng
from core.clock import DAY_MS
from core.policy import Policy, Request, Slate
from data.catalogue import Catalogue
from experiments import policies
from pipelines.lab import spreads
from pipelines.lab.config import Arm, LabConfig
from pipelines.lab.spreads import Spread
from serving.activity import LiveActivity
from serving.config import ServingConfig
from serving.live import LiveRelease
from serving.recommender import Recommender

HOLDOUT = "holdout"
"""Arm on the impressions of pages filled by chance alone."""


def recommender(live: LiveRelease, config: ServingConfig, epsilon: float, arm: str = "control") -> Recommender:
    """The production policy with another share of chance, over the same online state."""
    exploration = replace(config.exploration, epsilon=epsilon)
    videos = LiveActivity(live.loaded.video_state)
    return live.loaded.recommender(live.features, videos=videos, config=replace(config, exploration=exploration), arm=arm)


def serving_policy(arm: Arm, live: LiveRelease, config: LabConfig, seed: int, log: pl.DataFrame) -> Policy:
    """What fills an arm's pages this week; `log` is what it may know of the past."""
    serving = config.run.serving
    seeded = replace(serving, exploration=replace(serving.exploration, seed=seed))
    if arm.thompson == "served":
        return recommender(live, configs.override(seeded, ["exploration.kind=thompson"]), config.thompson_epsilon)
    usual = recommender(live, seeded, arm.epsilon)
    if arm.holdout:
        return Holdout(usual, recommender(live, seeded, 1.0, HOLDOUT), arm.holdout, seed)
    if arm.thompson:
        return Thompson(usual, live.loaded.catalogue, config, seed, log, _spread_of(arm, live, config))
    return usual


def _spread_of(arm: Arm, live: LiveRelease, config: LabConfig) -> Spread:
    if arm.thompson == "topics":
        return spreads.per_topic(live.loaded.catalogue.category, config.prior_shows)
    if arm.thompson == "linear":
        return spreads.linear(live.loaded.video_VD, config.prior_shows)
    return spreads.per_video(config.prior_shows)


class Holdout:
    """Pages by chance for some requests."""

    def __init__(self, usual: Policy, random: Policy, share: float, seed: int) -> None:
        self._usual, self._random, self._share, self._seed = usual, random, share, seed

    def recommend(self, requests: Sequence[Request]) -> list[Slate]:
        """See Policy. Which requests these are depends on seed and request id alone."""
        held = [rng.stream(self._seed, "holdout", request.request_id).random() < self._share for request in requests]
        parts = {
            flag: iter(policy.recommend([r for r, h in zip(requests, held, strict=True) if h is flag]))
            for flag, policy in ((True, self._random), (False, self._usual))
        }
        return [next(parts[flag]) for flag in held]


class Thompson:
    """See the module. `observe` what happened, and tomorrow's samples know it."""

    def __init__(
        self, inner: Policy, catalogue: Catalogue, config: LabConfig, seed: int, log: pl.DataFrame, spread: Spread
    ) -> None:
        self._inner, self._catalogue, self._config, self._seed = inner, catalogue, config, seed
        self._sampled = spread
        self._shows, self._clicks = np.zeros(len(catalogue)), np.zeros(len(catalogue))
        self._day, self._spread_MV = -1, np.zeros((0, 0))
        self.observe(log)

    def observe(self, events: pl.DataFrame) -> None:
        """Count impressions and clicks."""
        for kind, counts in ((ev.IMPRESSION, self._shows), (ev.CLICK, self._clicks)):
            rows = self._catalogue.rows(events.filter(pl.col(c.KIND) == kind)[c.VIDEO_ID].to_numpy())
            counts += np.bincount(rows[rows >= 0], minlength=len(counts))

    def recommend(self, requests: Sequence[Request]) -> list[Slate]:
        """See Policy."""
        if not requests:
            return []
        wide = self._inner.recommend([replace(request, k=self._config.shortlist) for request in requests])
        rows_BK, utility_BK = self._candidates(wide)
        left = rows_BK >= 0
        spread_MV = self._spread(int(requests[0].at // DAY_MS))
        score_MBK = utility_BK + spread_MV[:, np.maximum(rows_BK, 0)]
        chances = policies.thompson(score_MBK, self._config.thompson_epsilon)
        names = [request.request_id for request in requests]
        drawn = policies.draw(chances, left, max(request.k for request in requests), self._seed, names)
        return [
            _reordered(slate, chosen[: request.k], propensity)
            for slate, request, chosen, propensity in zip(wide, requests, drawn.chosen_BS, drawn.propensity_BS, strict=True)
        ]

    def _candidates(self, slates: Sequence[Slate]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Catalogue rows, −1 padding, and utilities. Both [B, K]"""
        width = max(len(slate.video_ids) for slate in slates)
        rows, utility = np.full((len(slates), width), -1, dtype=np.int32), np.zeros((len(slates), width))
        for line, values, slate in zip(rows, utility, slates, strict=True):
            line[: len(slate.video_ids)] = self._catalogue.rows(slate.video_ids)
            values[: len(slate.video_ids)] = slate.scores["utility"]
        return rows, utility

    def _spread(self, day: int) -> NDArray[np.float64]:
        """[M, V] how far each sample of a video's log-odds lies from its mean; of one day."""
        if day != self._day:
            seed = int(rng.stream(self._seed, "day", day).integers(2**31))
            self._day, self._spread_MV = day, self._sampled(self._clicks, self._shows, seed)
        return self._spread_MV


def _reordered(slate: Slate, chosen: NDArray[np.int64], propensity: NDArray[np.float64]) -> Slate:
    """The page of the chosen candidates; chance made a choice where the first of what was left was passed over."""
    filled = chosen >= 0
    kept = chosen[filled]
    return replace(
        slate,
        video_ids=slate.video_ids[kept],
        propensities=propensity[: len(chosen)][filled],
        exploration=_passed_over(kept),
        sources=tuple(slate.sources[i] for i in kept),
        scores={name: values[kept] for name, values in slate.scores.items()},
    )


def _passed_over(kept: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a better candidate was still left; candidates are in order of utility."""
    best_left = [min(set(range(len(kept) + 1)) - set(kept[:slot].tolist())) for slot in range(len(kept))]
    return np.asarray(kept != np.array(best_left, dtype=np.int64), dtype=np.bool_)
