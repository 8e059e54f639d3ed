"""Whether an off-policy estimate may be believed at all, from its weights alone.

A verdict is refused when

    ESS = (Σ w)² / Σ w²  is below 1 % of the rows        the log is about other videos than the target's
    one weight carries more than 20 % of Σ w             the estimate is one row's opinion
    the 95 % interval of E[w] excludes 1                 propensities are wrong, or the target shows what the log never could

E[w] = 1 holds for exact propensities and full support, so the third test also refuses one honest log in twenty; a heavy right
tail that the sample missed makes it more. Passing proves nothing about rewards or about wrong propensities that average out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from core.inference import t_interval
from experiments.estimators import Floats

LEAST_ESS_SHARE = 0.01
LARGEST_WEIGHT_SHARE = 0.2
_ROUNDING = 1e-9


@dataclass(frozen=True)
class WeightCheck:
    """What N importance weights look like."""

    num_rows: int
    ess: float
    """Effective sample size (Kish): that many unweighted rows would say as much."""
    mean_weight: float
    mean_low: float
    mean_high: float
    """95 % interval of E[w]."""
    max_weight: float
    max_share: float
    """Largest weight over the sum of all."""

    @property
    def refusals(self) -> tuple[str, ...]:
        """Reasons not to give a verdict, in plain words; empty when the weights are in order."""
        if not self.mean_weight > 0:
            return ("no logged row has a video that the target policy would show there",)
        reasons = []
        if self.ess < LEAST_ESS_SHARE * self.num_rows:
            reasons.append(
                f"effective sample size {self.ess:,.1f} is below {LEAST_ESS_SHARE:.0%} of {self.num_rows:,} rows; "
                "the policies differ too much for this log"
            )
        if self.max_share > LARGEST_WEIGHT_SHARE:
            reasons.append(f"one row carries {self.max_share:.0%} of all weight; collect more exploration")
        if not self.mean_low - _ROUNDING <= 1.0 <= self.mean_high + _ROUNDING:
            reasons.append(
                f"the mean weight {self.mean_weight:.3f} [{self.mean_low:.3f}, {self.mean_high:.3f}] is not 1; "
                "propensities are wrong, or the target shows videos that this log never could"
            )
        return tuple(reasons)


def check(weight_N: ArrayLike) -> WeightCheck:
    """Look at the weights of N ≥ 2 rows (of slates: the products that the estimator uses)."""
    weight = np.asarray(weight_N, dtype=np.float64)
    mean = t_interval(weight)
    total, squares = weight.sum(), np.square(weight).sum()
    return WeightCheck(
        num_rows=len(weight),
        ess=float(total**2 / squares) if squares else 0.0,
        mean_weight=mean.mean,
        mean_low=mean.low,
        mean_high=mean.high,
        max_weight=float(weight.max()),
        max_share=float(weight.max() / total) if total else 0.0,
    )


def unseen_share(target_AP: Floats, count_AP: ArrayLike) -> float:
    """Share of what the target would show, over positions as logged, that the log has no row of: only a model speaks for it."""
    count = np.asarray(count_AP, dtype=np.float64)
    return float((np.where(count == 0, target_AP, 0.0).sum(axis=0) * count.sum(axis=0)).sum() / count.sum())
