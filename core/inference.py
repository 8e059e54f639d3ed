"""How sure a number is: intervals over seeds and over viewers, comparisons of two models, corrections for many of them.

Cases of one viewer resemble each other, so intervals treat viewers, not cases, as the independent unit. Knows nothing of what
is measured.
"""

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Interval:
    """An estimate with its bounds; `p` is two-sided against zero, nan where there is no such test."""

    mean: float
    low: float
    high: float
    p: float = float("nan")

    def to_json(self) -> dict[str, float | None]:
        """Plain values; null instead of nan."""
        named = {"mean": self.mean, "low": self.low, "high": self.high, "p": self.p}
        return {name: None if np.isnan(value) else value for name, value in named.items()}


def t_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Mean ± t · s / √n, e.g. over seeds; p by the t test. Assumes independent, roughly normal values.

    Raises:
        ValueError: fewer than two values say nothing about spread.
    """
    x = np.asarray(values, dtype=np.float64)
    if len(x) < 2:
        raise ValueError("an interval needs at least two values")
    return _student(float(x.mean()), float(x.std(ddof=1) / np.sqrt(len(x))), len(x) - 1, level)


def cluster_interval(values: ArrayLike, clusters: ArrayLike, level: float = 0.95) -> Interval:
    """Mean over cases with an interval over clusters (viewers) of cases.

    The mean is the ratio Σ_c S_c / Σ_c n_c; its variance by the delta method is C / (C − 1) · Σ_c (S_c − mean · n_c)² / n²
    (Deng et al., KDD 2018), with C − 1 degrees of freedom. Equals `t_interval` when every cluster has one case. Bounds and
    p are nan with fewer than two clusters.
    """
    mean, error, total = _cluster_error(np.asarray(values, dtype=np.float64), clusters)
    return _student(mean, error, total - 1, level)


def two_way_interval(values_SN: ArrayLike, clusters: ArrayLike, level: float = 0.95) -> Interval:
    """Mean over S seeds and N cases, for a claim about other seeds *and* other viewers.

    Variance of the mean over seeds plus that of the seeds' average over clusters: with crossed random effects this counts the
    residual twice, so it errs on the wide side (Owen, "The pigeonhole bootstrap", 2007). Degrees of freedom by Satterthwaite
    (1946).

    Raises:
        ValueError: fewer than two seeds.
    """
    x = np.asarray(values_SN, dtype=np.float64)
    if len(x) < 2:
        raise ValueError("an interval over seeds needs at least two of them")
    mean, error, total = _cluster_error(x.mean(axis=0), clusters)
    parts = np.array([x.mean(axis=1).var(ddof=1) / len(x), error**2])
    spread = float(np.sum(parts**2 / np.array([len(x) - 1, max(total - 1, 1)])))
    freedom = float(parts.sum() ** 2 / spread) if spread > 0 else len(x) - 1
    return _student(mean, float(np.sqrt(parts.sum())), freedom, level)


def slope_interval(x: ArrayLike, y: ArrayLike, level: float = 0.95) -> Interval:
    """Least-squares slope of y on x, e.g. of a metric on time; n − 2 degrees of freedom, bounds nan with fewer than 3 points.

    Assumes independent errors of equal spread around a line.
    """
    fitted = scipy.stats.linregress(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
    return _student(float(fitted.slope), float(fitted.stderr), len(np.asarray(x)) - 2, level)


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    clusters: ArrayLike,
    random: np.random.Generator,
    *,
    draws: int = 2_000,
    level: float = 0.95,
) -> Interval:
    """Mean of first − second on the same cases, resampling whole clusters (viewers).

    Percentile interval (Efron & Tibshirani 1993, ch. 13); p = 2 · min of the two tails, each with the +1 correction. Breaks
    when there are only a few dozen clusters.
    """
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    sums, counts = _by_cluster(difference, clusters)
    means = np.empty(draws)
    block = max(1, _BLOCK // len(sums))
    for begin in range(0, draws, block):
        end = min(draws, begin + block)
        picked = random.integers(0, len(sums), size=(end - begin, len(sums)))
        means[begin:end] = sums[picked].sum(axis=1) / counts[picked].sum(axis=1)
    low, high = np.quantile(means, [0.5 - level / 2, 0.5 + level / 2])
    tail = min(int((means <= 0).sum()), int((means >= 0).sum()))
    return Interval(float(difference.mean()), float(low), float(high), min(1.0, 2 * (tail + 1) / (draws + 1)))


def wilson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """Score interval of a proportion (Wilson 1927); stays inside [0, 1] and works at 0 successes."""
    if trials <= 0:
        raise ValueError("a proportion needs at least one trial")
    z, share = float(scipy.stats.norm.ppf(0.5 + level / 2)), successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return Interval(share, float(centre - half), float(centre + half))


def holm(p_values: ArrayLike) -> Floats:
    """Adjusted p values that bound the chance of *any* false claim (Holm 1979). Reject where ≤ α."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return _unsort(np.minimum(stepped, 1.0), order)


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """Adjusted p values that bound the expected share of false claims (Benjamini & Hochberg 1995). Reject where ≤ q."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    stepped = np.minimum.accumulate(scaled[::-1])[::-1]
    return _unsort(np.minimum(stepped, 1.0), order)


def _student(mean: float, error: float, freedom: float, level: float) -> Interval:
    """mean ± t · error, and the p value of mean = 0; nan without a degree of freedom or an error."""
    if freedom <= 0 or np.isnan(error):
        return Interval(mean, float("nan"), float("nan"))
    half = float(scipy.stats.t.ppf(0.5 + level / 2, freedom) * error)
    if error == 0.0:
        return Interval(mean, mean, mean, float(mean == 0.0))
    return Interval(mean, mean - half, mean + half, float(2 * scipy.stats.t.sf(abs(mean) / error, freedom)))


def _cluster_error(values: Floats, clusters: ArrayLike) -> tuple[float, float, int]:
    """Mean over cases, its standard error, and the number of clusters."""
    sums, counts = _by_cluster(values, clusters)
    total, n = len(sums), counts.sum()
    mean = float(sums.sum() / n) if n else float("nan")
    if total < 2:
        return mean, float("nan"), total
    return mean, float(np.sqrt(total / (total - 1) * np.sum((sums - mean * counts) ** 2)) / n), total


def _unsort(values: Floats, order: NDArray[np.int64]) -> Floats:
    restored = np.empty_like(values)
    restored[order] = values
    return restored


def _by_cluster(values: Floats, clusters: ArrayLike) -> tuple[Floats, Floats]:
    _, rows = np.unique(np.asarray(clusters), return_inverse=True)
    return np.bincount(rows, weights=values).astype(np.float64), np.bincount(rows).astype(np.float64)
