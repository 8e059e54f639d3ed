"""Do two samples come from one distribution? Statistics with an effect size beside every p value, and charts for streams.

    KS      D = sup |F − G|; p exact for small samples (Kolmogorov 1933, Smirnov 1939)
    PSI     Σ (a − e) ln(a / e) over bins, e reference shares, a present ones (Siddiqi 2006; Jeffreys 1946)
    χ²      homogeneity of two rows of counts, with Cramér's V
    JS      Jensen–Shannon divergence in bits, 0 to 1 (Lin 1991)
    MMD²    E k(x,x') + E k(y,y') − 2 E k(x,y), k(x,y) = exp(−|x − y|² / 2s²) (Gretton et al. 2012);
            for large samples with random Fourier features (Rahimi & Recht 2007), in one pass whose parts add up
    CUSUM   S ← max(0, S + z − k), alarm at S ≥ h (Page 1954); run length by Siegmund (1985)

With enough rows every p value is small: read the effect size. All p values take rows as independent; rows of one viewer are
not (`monitoring.data_drift` corrects for that with the day-to-day variation of the reference). Knows nothing of what is
compared.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.optimize import brentq

Floats = NDArray[np.float64]
_BLOCK = 1 << 14


@dataclass(frozen=True)
class Tested:
    """A statistic with what it means."""

    statistic: float
    p: float
    effect: float
    """KS: D itself. χ²: Cramér's V. MMD: MMD² itself."""


def ks(x: ArrayLike, y: ArrayLike) -> Tested:
    """Kolmogorov–Smirnov, two-sided. Assumes continuous values: ties make p too large.

    Raises:
        ValueError: an empty sample.
    """
    found = stats.ks_2samp(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
    return Tested(float(found.statistic), float(found.pvalue), float(found.statistic))


def ks_distance(x: ArrayLike, y: ArrayLike) -> float:
    """D alone, by sorting: what it is worth may be known better than from p. Raises ValueError on an empty sample."""
    first, second = (np.sort(np.asarray(sample, dtype=np.float64)) for sample in (x, y))
    if not len(first) or not len(second):
        raise ValueError("an empty sample has no distribution")
    both = np.concatenate([first, second])
    shares = [np.searchsorted(each, both, side="right") / len(each) for each in (first, second)]
    return float(np.abs(shares[0] - shares[1]).max())


def ks_critical(n: int, m: int, alpha: float = 0.05) -> float:
    """The D that chance exceeds with probability `alpha`, for large n and m: √(−ln(α/2)/2 · (1/n + 1/m))."""
    return float(np.sqrt(-np.log(alpha / 2) / 2 * (1 / n + 1 / m)))


def quantile_edges(reference: ArrayLike, bins: int = 10) -> Floats:
    """Inner edges of at most `bins` bins with equal shares of the reference; equal edges are one, outer bins are open."""
    inner = np.quantile(np.asarray(reference, dtype=np.float64), np.arange(1, bins) / bins)
    return np.unique(inner)


def binned(values: ArrayLike, edges: ArrayLike) -> NDArray[np.int64]:
    """[len(edges) + 1] counts; a value on an edge belongs to the bin below it."""
    where = np.searchsorted(np.asarray(edges), np.asarray(values, dtype=np.float64), side="left")
    return np.bincount(where, minlength=len(np.asarray(edges)) + 1)


def psi(expected: ArrayLike, actual: ArrayLike, smoothing: float = 0.5) -> float:
    """Population stability index of two rows of counts (or of shares, with `smoothing` 0 and no empty bin).

    `smoothing` is added to every bin of both rows, so that an empty bin costs what its evidence is worth and not infinity.
    """
    return float(psi_each(np.asarray(expected)[None], np.asarray(actual)[None], smoothing)[0])


def psi_each(expected_RB: ArrayLike, actual_RB: ArrayLike, smoothing: float = 0.5) -> Floats:
    """[R] the same of R pairs of rows."""
    e, a = (np.asarray(rows, dtype=np.float64) + smoothing for rows in (expected_RB, actual_RB))
    e, a = e / e.sum(axis=1, keepdims=True), a / a.sum(axis=1, keepdims=True)
    return ((a - e) * np.log(a / e)).sum(axis=1)


def psi_noise(bins: int, n: int, m: int, level: float = 0.95) -> tuple[float, float]:
    """(mean, `level` point) of PSI between two samples of *one* distribution: χ² with B − 1 degrees, times 1/n + 1/m.

    The textbook limits .1 and .25 know nothing of sample size: with 10 bins and 100 rows each, chance alone reaches .34.
    """
    size = 1 / n + 1 / m
    return (bins - 1) * size, float(stats.chi2.ppf(level, bins - 1)) * size


def chi_square(expected: ArrayLike, actual: ArrayLike) -> Tested:
    """Homogeneity of two rows of counts by category; categories empty in both are passed over. Effect: Cramér's V.

    Assumes expected counts of about 5 and more in each cell.
    """
    table = np.stack([np.asarray(expected, dtype=np.float64), np.asarray(actual, dtype=np.float64)])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or (table.sum(axis=1) == 0).any():
        return Tested(0.0, 1.0, 0.0)
    found = stats.chi2_contingency(table, correction=False)
    return Tested(float(found.statistic), float(found.pvalue), float(np.sqrt(found.statistic / table.sum())))


def jensen_shannon(expected: ArrayLike, actual: ArrayLike) -> float:
    """Divergence in bits of two rows of counts or shares: 0 alike, 1 nothing in common."""
    p, q = (np.asarray(row, dtype=np.float64) for row in (expected, actual))
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    return float((stats.entropy(p, middle, base=2) + stats.entropy(q, middle, base=2)) / 2)


def median_scale(x_ND: ArrayLike, random: np.random.Generator, pairs: int = 2_000) -> float:
    """The kernel width s: median distance of random pairs of rows."""
    x = np.asarray(x_ND)
    first, second = random.integers(0, len(x), (2, pairs))
    apart = np.linalg.norm(x[first].astype(np.float64) - x[second], axis=1)
    return float(np.median(apart[first != second])) or 1.0


def mmd(x_ND: ArrayLike, y_MD: ArrayLike, scale: float, random: np.random.Generator, permutations: int = 200) -> Tested:
    """Unbiased MMD², p = (1 + permutations at least as extreme) / (1 + permutations). O((N + M)²): for thousands of rows."""
    x, y = np.asarray(x_ND, dtype=np.float64), np.asarray(y_MD, dtype=np.float64)
    kernel, n = _kernel(np.concatenate([x, y]), scale), len(x)
    observed = _mmd_unbiased(kernel, np.arange(len(kernel)), n)
    drawn = [_mmd_unbiased(kernel, random.permutation(len(kernel)), n) for _ in range(permutations)]
    return Tested(observed, (1 + sum(value >= observed for value in drawn)) / (1 + permutations), observed)


def mmd_biased(x_ND: ArrayLike, y_MD: ArrayLike, scale: float) -> float:
    """MMD² with the diagonal: never negative, and above zero by about 1/N + 1/M without any difference."""
    x, y = np.asarray(x_ND, dtype=np.float64), np.asarray(y_MD, dtype=np.float64)
    kernel, n = _kernel(np.concatenate([x, y]), scale), len(x)
    return float(kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean())


@dataclass(frozen=True)
class Sketch:
    """Sums over the rows of a sample: all that MMD² and the centroid need to know of it. Sketches of parts add up."""

    rows: int
    mapped_F: Floats
    """Σ z"""
    mapped_square: float
    """Σ |z|²"""
    total_D: Floats
    """Σ x"""
    square: float
    """Σ |x|²"""

    def __add__(self, other: "Sketch") -> "Sketch":
        """The sketch of both samples' rows together."""
        return Sketch(
            self.rows + other.rows,
            self.mapped_F + other.mapped_F,
            self.mapped_square + other.mapped_square,
            self.total_D + other.total_D,
            self.square + other.square,
        )

    @property
    def spread(self) -> float:
        """Root mean square distance of the rows from their mean."""
        return float(np.sqrt(max(self.square / self.rows - ((self.total_D / self.rows) ** 2).sum(), 0.0)))

    def centroid_distance(self, reference: "Sketch") -> float:
        """Euclidean distance of this sample's mean from a reference's, in units of the reference's spread."""
        apart = self.total_D / self.rows - reference.total_D / reference.rows
        return float(np.linalg.norm(apart)) / max(reference.spread, 1e-12)

    def apart(self, other: "Sketch") -> float:
        """|z̄ − z̄'|²: MMD² of the features' kernel with the diagonal, never negative."""
        return float(((self.mapped_F / self.rows - other.mapped_F / other.rows) ** 2).sum())

    def mmd(self, other: "Sketch") -> float:
        """MMD² of the features' kernel with the diagonal taken out: unbiased for that kernel. Needs two rows of each."""
        within = sum(
            ((one.mapped_F**2).sum() - one.mapped_square) / (one.rows * (one.rows - 1)) for one in (self, other)
        )  # fmt: skip
        return float(within - 2 * (self.mapped_F / self.rows) @ (other.mapped_F / other.rows))


@dataclass(frozen=True)
class FourierMap:
    """Random features whose inner product estimates the Gaussian kernel: z(x)·z(y) ≈ exp(−|x − y|² / 2s²), error ∝ 1/√F."""

    weights_DF: NDArray[np.float32]
    phase_F: NDArray[np.float32]

    @staticmethod
    def draw(dim: int, scale: float, random: np.random.Generator, features: int = 128) -> "FourierMap":
        """`features` frequencies of the kernel's spectrum."""
        weights = random.standard_normal((dim, features), dtype=np.float32) / np.float32(scale)
        return FourierMap(weights, random.uniform(0, 2 * np.pi, features).astype(np.float32))

    def sketch(self, x_ND: ArrayLike) -> Sketch:
        """One pass over the rows, in blocks: O(N · D · F) time, memory of one block."""
        x, size = np.asarray(x_ND), np.sqrt(2 / len(self.phase_F))
        mapped, total, mapped_square, square = np.zeros(len(self.phase_F)), np.zeros(x.shape[1]), 0.0, 0.0
        for begin in range(0, len(x), _BLOCK):
            block = np.asarray(x[begin : begin + _BLOCK])
            z = block.astype(np.float32, copy=False) @ self.weights_DF
            z += self.phase_F
            np.cos(z, out=z)
            mapped += z.sum(axis=0, dtype=np.float64)
            mapped_square += float(np.vdot(z, z))
            exact = block.astype(np.float64)
            total += exact.sum(axis=0)
            square += float(np.vdot(exact, exact))
        return Sketch(len(x), mapped * size, mapped_square * size**2, total, square)


def cusum(z: ArrayLike, k: float = 0.5, h: float = 5.0) -> int | None:
    """Position of the first z at which a rise of the mean is certain enough; None without. For falls, pass −z.

    `z` has mean 0 and deviation 1 as long as all is well; k is half of the shift that matters.
    """
    total = 0.0
    for at, value in enumerate(np.asarray(z, dtype=np.float64)):
        total = max(0.0, total + float(value) - k)
        if total >= h:
            return at
    return None


def cusum_run_length(k: float, h: float, shift: float = 0.0) -> float:
    """Mean steps until a one-sided CUSUM of independent normal z with mean `shift` alarms (Siegmund 1985).

    (e^(−2Δb) + 2Δb − 1) / (2Δ²) with Δ = shift − k and b = h + 1.166; b² for Δ = 0. Within 1 % of exact tables for h ≥ 4.
    """
    delta, b = shift - k, h + 1.166
    if abs(delta) < 1e-9:
        return b * b
    return float((np.exp(-2 * delta * b) + 2 * delta * b - 1) / (2 * delta**2))


def cusum_limit(run_length: float, k: float = 0.5) -> float:
    """The h whose mean run length without any shift is `run_length`."""
    return float(brentq(lambda h: cusum_run_length(k, h) - run_length, 0.0, 60.0 / k))


def page_hinkley(x: ArrayLike, tolerance: float, limit: float) -> int | None:
    """Position of the first x at which the mean has risen, without a known mean to start from; None without.

    m ← m + x − x̄ − tolerance, x̄ the running mean; alarm when m exceeds its minimum by `limit` (Hinkley 1971).
    """
    mean = total = lowest = 0.0
    for at, value in enumerate(np.asarray(x, dtype=np.float64)):
        mean += (float(value) - mean) / (at + 1)
        total += float(value) - mean - tolerance
        lowest = min(lowest, total)
        if total - lowest > limit:
            return at
    return None


def _kernel(x_ND: Floats, scale: float) -> Floats:
    square = (x_ND**2).sum(axis=1)
    apart = np.maximum(square[:, None] + square[None, :] - 2 * x_ND @ x_ND.T, 0.0)
    return np.exp(-apart / (2 * scale**2))


def _mmd_unbiased(kernel: Floats, order: NDArray[np.int64], n: int) -> float:
    """`kernel` of all rows has ones on its diagonal; the first n of `order` are x."""
    x, y = order[:n], order[n:]
    m = len(y)
    within_x = (kernel[np.ix_(x, x)].sum() - n) / (n * (n - 1))
    within_y = (kernel[np.ix_(y, y)].sum() - m) / (m * (m - 1))
    return float(within_x + within_y - 2 * kernel[np.ix_(x, y)].mean())
