"""Posterior samples for Thompson sampling: what a log of rewards leaves open, as M draws that are made once and stored.

    per arm (video or topic)   rate ~ Beta(a + successes, b + failures)
    linear                     θ ~ N(A⁻¹ Xᵀy, σ² A⁻¹),  A = λ I + XᵀX;  score of a video with vector x: θ·x
                               (Agrawal & Goyal, ICML 2013)

Assumes exchangeable rewards: trends and positions must be taken out before. Shape legend: M samples, A arms, N rows, D vector
size.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from core import rng
from core.errors import BadInput
from experiments.estimators import Floats
from experiments.policies import NUM_SAMPLES


def beta_samples(
    success_A: ArrayLike, trial_A: ArrayLike, seed: int, *, prior: tuple[float, float] = (1.0, 1.0), num: int = NUM_SAMPLES
) -> Floats:
    """[M, A] draws of each arm's success rate.

    Args:
        success_A: rewards of 1 by arm.
        trial_A: times shown by arm.
        seed: names the draws.
        prior: (a, b); their sum is the number of trials that the prior is worth.
        num: M.

    Raises:
        BadInput: more successes than trials.
    """
    success, trial = np.asarray(success_A, dtype=np.float64), np.asarray(trial_A, dtype=np.float64)
    if (success > trial).any() or (success < 0).any():
        raise BadInput(
            f"arm {int(np.argmax((success > trial) | (success < 0)))} has more successes than trials, or fewer than none"
        )
    random = rng.stream(seed, "beta posterior")
    return np.asarray(random.beta(prior[0] + success, prior[1] + trial - success, (num, len(trial))))


@dataclass(frozen=True)
class LinearPosterior:
    """A Gaussian over weights of D features."""

    mean_D: Floats
    factor_DD: Floats
    """L with L Lᵀ = covariance."""

    @staticmethod
    def fit(
        feature_ND: ArrayLike, reward_N: ArrayLike, *, prior_precision: float = 1.0, noise: float = 1.0
    ) -> "LinearPosterior":
        """Bayesian ridge regression; `noise` is the standard deviation of a reward around its mean."""
        features, reward = np.asarray(feature_ND, dtype=np.float64), np.asarray(reward_N, dtype=np.float64)
        precision = prior_precision * np.eye(features.shape[1]) + features.T @ features
        mean: Floats = np.linalg.solve(precision, features.T @ reward).astype(np.float64)
        # A = C Cᵀ, so A⁻¹ = C⁻ᵀ C⁻¹.
        inverse = np.linalg.inv(np.linalg.cholesky(precision))
        return LinearPosterior(mean, np.asarray(noise * inverse.T, dtype=np.float64))

    def samples(self, seed: int, num: int = NUM_SAMPLES) -> Floats:
        """[M, D] draws of θ."""
        normal = rng.stream(seed, "linear posterior").standard_normal((num, len(self.mean_D)))
        return np.asarray(self.mean_D + normal @ self.factor_DD.T)
