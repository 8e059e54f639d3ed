"""The difference between two arms, from one number per viewer.

    Welch (1947):  (m_t − s·m_c) ± t_ν · √(v_t/n_t + s²·v_c/n_c),   ν after Welch–Satterthwaite;   s = 1 is the plain difference
    lift:          m_t/m_c − 1, variance v_t/(n_t·m_c²) + m_t²·v_c/(n_c·m_c⁴)                    (delta method)
    CUPED:         y − θ·(x − x̄), θ = cov(x, y)/var(x), variance (1 − ρ²)·var(y)           (Deng et al., WSDM 2013)

Viewers are the unit because they are what was randomised; a ratio of sums becomes one number per viewer in `ratio`. Breaks when
one viewer dominates the variance, or when what a viewer did depends on another viewer's arm.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from core.errors import BadInput
from core.inference import Interval

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """What inference needs of one arm."""

    mean: float
    variance: float
    """Of one viewer's number, n − 1 in the denominator."""
    count: int
    """Viewers."""

    @staticmethod
    def of(values: ArrayLike) -> "Sample":
        """From one number per viewer. Raises BadInput with fewer than two viewers."""
        x = np.asarray(values, dtype=np.float64)
        if len(x) < 2:
            raise BadInput(f"an arm needs at least two viewers, this one has {len(x)}")
        return Sample(float(x.mean()), float(x.var(ddof=1)), len(x))

    @staticmethod
    def of_sums(total: float, squares: float, count: int) -> "Sample":
        """From Σ x, Σ x² and n."""
        return Sample(total / count, (squares - total**2 / count) / (count - 1), count)

    @property
    def error2(self) -> float:
        """Squared standard error of the mean."""
        return self.variance / self.count


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error and degrees of freedom."""

    value: float
    error: float
    freedom: float

    def interval(self, level: float = 0.95) -> Interval:
        """t interval, with the two-sided p value of zero."""
        if not self.error > 0:
            return Interval(self.value, self.value, self.value, 1.0 if self.value == 0 else 0.0)
        half = float(scipy.stats.t.ppf(0.5 + level / 2, self.freedom)) * self.error
        p = float(2 * scipy.stats.t.sf(abs(self.value) / self.error, self.freedom))
        return Interval(self.value, self.value - half, self.value + half, p)


def difference(control: Sample, treatment: Sample, scale: float = 1.0) -> Estimate:
    """treatment − scale · control. With scale 1 − m it is above zero exactly when less than a share m was lost."""
    error = math.sqrt(treatment.error2 + scale**2 * control.error2)
    return Estimate(treatment.mean - scale * control.mean, error, _satterthwaite(control.error2 * scale**2, control, treatment))


def lift(control: Sample, treatment: Sample) -> Estimate:
    """treatment / control − 1; nan when the control's mean is not above zero."""
    if control.mean <= 0:
        return Estimate(math.nan, math.nan, math.nan)
    ratio = treatment.mean / control.mean
    error = math.sqrt(treatment.error2 + ratio**2 * control.error2) / control.mean
    return Estimate(ratio - 1, error, _satterthwaite(control.error2, control, treatment))


def cuped_theta(values: Sequence[Floats], before: Sequence[Floats]) -> float:
    """θ from within-arm covariances, so that the effect itself does not enter; 0 when nothing varied before."""
    x = np.concatenate([arm - arm.mean() for arm in before])
    y = np.concatenate([arm - arm.mean() for arm in values])
    spread = float(x @ x)
    return float(x @ y) / spread if spread > 0 else 0.0


def cuped(values: Sequence[Floats], before: Sequence[Floats]) -> list[Floats]:
    """Each arm's numbers adjusted for what viewers did before; expectations do not change.

    Args:
        values: one array per arm, one number per viewer.
        before: the same viewers' numbers from before the experiment; never from during it.
    """
    theta, centre = cuped_theta(values, before), float(np.concatenate(before).mean())
    return [y - theta * (x - centre) for y, x in zip(values, before, strict=True)]


def _satterthwaite(control_error2: float, control: Sample, treatment: Sample) -> float:
    total = control_error2 + treatment.error2
    if total <= 0:
        return float(control.count + treatment.count - 2)
    parts = control_error2**2 / (control.count - 1) + treatment.error2**2 / (treatment.count - 1)
    return float(total**2 / parts)
