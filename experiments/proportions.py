"""Two rates of independent trials: the textbook z test, and the chance that one rate is above the other.

    z = (p₂ − p₁) / √(p(1 − p)(1/n₁ + 1/n₂)),  p pooled;    interval p₂ − p₁ ± z_{1−α/2} · √(Σ pᵢ(1 − pᵢ)/nᵢ)        (Wald)
    P(B > A) for independent Beta(a, b) posteriors, by quadrature

Right for trials that are independent, such as one answer per viewer. Wrong for impressions of a viewer, which resemble each
other: the A/A runs show how wrong. All arguments of `rates` broadcast.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, stats

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RateDifference:
    """Second rate − first rate."""

    difference: Floats
    low: Floats
    high: Floats
    z: Floats
    p: Floats


def rates(
    successes: ArrayLike, trials: ArrayLike, other_successes: ArrayLike, other_trials: ArrayLike, alpha: float = 0.05
) -> RateDifference:
    """Compare two rates; the first pair is the control."""
    n1, n2 = np.asarray(trials, dtype=np.float64), np.asarray(other_trials, dtype=np.float64)
    p1, p2 = np.asarray(successes) / n1, np.asarray(other_successes) / n2
    pooled = (p1 * n1 + p2 * n2) / (n1 + n2)
    z = (p2 - p1) / np.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    half = stats.norm.ppf(1 - alpha / 2) * np.sqrt(p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2)
    return RateDifference(p2 - p1, p2 - p1 - half, p2 - p1 + half, z, 2 * stats.norm.sf(np.abs(z)))


def chance_above(first: tuple[float, float], second: tuple[float, float]) -> float:
    """P(second > first) for Beta(a, b) posteriors."""
    value, _ = integrate.quad(lambda x: stats.beta.pdf(x, *second) * stats.beta.cdf(x, *first), 0, 1, limit=200)
    return float(value)
