"""Intervals that stay valid however often one looks, for stopping early without fooling oneself.

For an estimate Δ with variance V and a normal mixture of width τ over possible effects

    e = √(V / (V + τ²)) · exp(τ²Δ² / (2V(V + τ²)))          evidence against no effect;  p = min(1, 1/e)
    Δ ± √(2V(V + τ²)/τ² · ln(√((V + τ²)/V) / α))            covers the truth at all times at once with probability ≥ 1 − α

With a fixed τ this is the mixture SPRT of Johari, Pekelis & Walsh (2015, "Always valid inference"). With τ² = ρ²·V·n, n the
viewers so far, it is the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2021), and

    ρ = √((−2 ln α + ln(−2 ln α + 1)) / N*)

makes it tightest at N* viewers. Asymptotic: V is estimated, so looking starts after a burn-in (a few hundred viewers); the
price at the end is an interval about one and a half times as wide as one that is looked at once.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.inference import Interval
from experiments.effects import Estimate

BURN_IN = 400
"""Viewers of both arms below which a sequence says nothing."""

Floats = NDArray[np.float64]


def tuning(alpha: float, planned: float) -> float:
    """ρ for a sequence that is tightest at `planned` viewers."""
    wide = -2 * np.log(alpha)
    return float(np.sqrt((wide + np.log(wide + 1)) / planned))


def e_value(estimate: ArrayLike, variance: ArrayLike, mixture: ArrayLike) -> Floats:
    """Evidence against zero; `mixture` is τ². Broadcasts."""
    d, v, t = (np.asarray(x, dtype=np.float64) for x in (estimate, variance, mixture))
    with np.errstate(over="ignore"):  # beyond 1e308 the evidence is as good as infinite
        return np.sqrt(v / (v + t)) * np.exp(t * d**2 / (2 * v * (v + t)))


def half_width(variance: ArrayLike, mixture: ArrayLike, alpha: float) -> Floats:
    """Half of the interval; `mixture` is τ². Broadcasts."""
    v, t = np.asarray(variance, dtype=np.float64), np.asarray(mixture, dtype=np.float64)
    return np.sqrt(2 * v * (v + t) / t * np.log(np.sqrt((v + t) / v) / alpha))


def always_valid(estimate: Estimate, viewers: int, planned: int, alpha: float = 0.05) -> Interval:
    """The confidence sequence at `viewers` viewers, tuned for `planned`; unbounded before the burn-in."""
    if viewers < BURN_IN or not estimate.error > 0:
        return Interval(estimate.value, -np.inf, np.inf, 1.0)
    variance = estimate.error**2
    mixture = tuning(alpha, planned) ** 2 * variance * viewers
    half = float(half_width(variance, mixture, alpha))
    p = min(1.0, 1.0 / max(float(e_value(estimate.value, variance, mixture)), 1e-300))
    return Interval(estimate.value, estimate.value - half, estimate.value + half, p)
