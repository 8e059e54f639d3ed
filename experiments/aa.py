"""A/A runs: two arms that are the same, over and over, to see how often each procedure cries wolf.

Viewers enter both arms in pairs. Each has Poisson views and a click rate of their own (Beta), so impressions of one viewer
resemble each other with intra-class correlation `correlation`; the metric is clicks over views, per viewer by the delta method
(`ratio`). After the burn-in somebody looks after every pair of viewers. Reported for each procedure: the share of runs with a
difference "found", which must not exceed α by more than chance allows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from core import rng
from core.errors import ConfigError
from experiments import proportions
from experiments.sequential import BURN_IN, half_width, tuning

_RUNS_AT_ONCE = 50

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AaConfig:
    """Many A/A tests."""

    runs: int = 1_000
    """How many."""
    viewers: int = 2_000
    """Per arm, at the planned end."""
    burn_in: int = BURN_IN
    """Viewers of both arms before the first look."""
    alpha: float = 0.05
    """Accepted share of false positives."""
    click_rate: float = 0.1
    """Mean over viewers."""
    views: float = 20.0
    """Mean per viewer."""
    correlation: float = 0.05
    """Between impressions of one viewer."""
    seed: int = 1
    """Of all draws."""

    def __post_init__(self) -> None:
        if self.runs < 1 or self.burn_in < 4 or 2 * self.viewers <= self.burn_in:
            raise ConfigError(f"A/A runs need at least one run and more than {self.burn_in} viewers in both arms together")
        if not all(0 < share < 1 for share in (self.alpha, self.click_rate, self.correlation)):
            raise ConfigError("alpha, click_rate and correlation must lie between 0 and 1")


@dataclass(frozen=True)
class AaResult:
    """How many runs found a difference that is not there."""

    runs: int
    alpha: float
    fixed: int
    """Looking once, at the planned end."""
    always_valid: int
    """Looking after every pair with the confidence sequence."""
    peeking: int
    """Looking after every pair with the fixed-horizon test: what not to do."""
    per_impression: int
    """Looking once, as if impressions were independent: what not to do either."""

    @property
    def bound(self) -> int:
        """Most false positives that chance explains (99.9 % point of the binomial)."""
        return int(stats.binom.ppf(0.999, self.runs, self.alpha))

    @property
    def holds(self) -> bool:
        """Whether both procedures that we use keep their promise."""
        return max(self.fixed, self.always_valid) <= self.bound


def simulate(config: AaConfig, advance: Callable[[float, str], None] | None = None) -> AaResult:
    """Run them all, in blocks."""
    found = np.zeros(4, dtype=np.int64)
    for begin in range(0, config.runs, _RUNS_AT_ONCE):
        end = min(begin + _RUNS_AT_ONCE, config.runs)
        found += _block(config, end - begin, rng.stream(config.seed, "a/a", begin))
        if advance is not None:
            advance(end / config.runs, f"{end:,} of {config.runs:,} runs")
    return AaResult(config.runs, config.alpha, *found.tolist())


def _block(config: AaConfig, runs: int, random: np.random.Generator) -> NDArray[np.int64]:
    """False positives of (fixed, always valid, peeking, per impression) in `runs` runs."""
    clicks, views = _draw(config, (2, runs, config.viewers), random)
    looks = np.arange(config.burn_in // 2, config.viewers + 1)
    (control, control_error2), (treatment, treatment_error2) = (
        _running(c, v, looks) for c, v in zip(clicks, views, strict=True)
    )
    gap, variance = np.abs(treatment - control), control_error2 + treatment_error2
    mixture = tuning(config.alpha, 2 * config.viewers) ** 2 * variance * 2 * looks
    fixed = gap > stats.norm.ppf(1 - config.alpha / 2) * np.sqrt(variance)
    naive = proportions.rates(*(x.sum(axis=-1) for pair in zip(clicks, views, strict=True) for x in pair))
    found = (
        fixed[:, -1],
        (gap > half_width(variance, mixture, config.alpha)).any(axis=1),
        fixed.any(axis=1),
        naive.p < config.alpha,
    )
    return np.array([each.sum() for each in found])


def _draw(config: AaConfig, shape: tuple[int, ...], random: np.random.Generator) -> tuple[Floats, Floats]:
    """(clicks, views) per viewer; at least one view each."""
    strength = 1 / config.correlation - 1
    rate = random.beta(config.click_rate * strength, (1 - config.click_rate) * strength, shape)
    views = 1 + random.poisson(config.views - 1, shape)
    return random.binomial(views, rate).astype(np.float64), views.astype(np.float64)


def _running(clicks: Floats, views: Floats, looks: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Ratio and its squared standard error at every look, [runs, looks] each, from running sums."""
    at = looks - 1
    y, n, yy, nn, yn = (np.cumsum(x, axis=-1)[:, at] for x in (clicks, views, clicks**2, views**2, clicks * views))
    ratio = y / n
    residual = (yy - 2 * ratio * yn + ratio**2 * nn) / (looks - 1)
    return ratio, residual / looks / (n / looks) ** 2
