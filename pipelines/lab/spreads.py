"""What a log leaves open about click rates, as M stored samples of how far each video's log-odds may lie from their mean.

    per video   rate(v) ~ Beta(a + clicks_v, b + impressions_v − clicks_v)                    logit(rate_m) − logit(mean rate)
    per topic   the same of all videos of a category together
    linear      θ ~ N(A⁻¹ Xᵀy, σ² A⁻¹), x_v the video's vector, y a click; σ² = r(1 − r)        (θ_m − mean θ)·x_v / (r(1 − r))

a, b and A's prior are worth `prior_shows` impressions at the mean rate r of all videos. What is shared between videos is soon
known: a new video of a known topic, or with a familiar vector, is explored no more than an old one. Takes impressions in any
slot, for any viewer, as trials of one rate: coarse, but it shrinks at the right speed.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from experiments import posteriors
from experiments.posteriors import LinearPosterior

Floats = NDArray[np.float64]
Spread = Callable[[Floats, Floats, int], Floats]
"""(clicks [V], impressions [V], seed) → [M, V] log-odds."""
_LEAST_RATE = 1e-4


def per_video(prior_shows: float) -> Spread:
    """Every video by itself."""

    def spread(click_V: Floats, show_V: Floats, seed: int) -> Floats:
        return _beta(click_V, np.maximum(show_V, click_V), prior_shows, seed)

    return spread


def per_topic(topic_V: NDArray[np.int32], prior_shows: float) -> Spread:
    """Videos of one topic together; `topic_V` are codes from 0."""

    def spread(click_V: Floats, show_V: Floats, seed: int) -> Floats:
        clicks, shows = (np.bincount(topic_V, counts).astype(np.float64) for counts in (click_V, np.maximum(show_V, click_V)))
        return _beta(clicks, shows, prior_shows, seed)[:, topic_V]

    return spread


def linear(vector_VD: NDArray[np.float32], prior_shows: float) -> Spread:
    """A click rate that is linear in a video's vector, of length about 1."""
    x = vector_VD.astype(np.float64)

    def spread(click_V: Floats, show_V: Floats, seed: int) -> Floats:
        shows = np.maximum(show_V, click_V)
        rate = _mean_rate(click_V, shows)
        root = np.sqrt(shows)  # one row per video says what one row per impression would
        mean_click = np.divide(click_V, root, out=np.zeros_like(root), where=root > 0)
        variance = rate * (1 - rate)
        found = LinearPosterior.fit(root[:, None] * x, mean_click, prior_precision=prior_shows, noise=float(np.sqrt(variance)))
        return np.asarray((found.samples(seed) - found.mean_D) @ x.T / variance)

    return spread


def _beta(clicks: Floats, shows: Floats, prior_shows: float, seed: int) -> Floats:
    rate = _mean_rate(clicks, shows)
    prior = prior_shows * rate, prior_shows * (1 - rate)
    sample = posteriors.beta_samples(clicks, shows, seed, prior=prior)
    mean = (prior[0] + clicks) / (sum(prior) + shows)
    return np.asarray(logit(np.clip(sample, _LEAST_RATE, 1 - _LEAST_RATE)) - logit(mean))


def _mean_rate(clicks: Floats, shows: Floats) -> float:
    """Of all together; defined, and small, before anything was shown."""
    return float((clicks.sum() + 1.0) / (shows.sum() + 10.0))
