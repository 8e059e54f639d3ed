"""Quality of rankings and probabilities. One convention, written down, tested against worked numbers.

Ranking metrics take a boolean `hits[N, K]`: is the video at each rank relevant to case n, best first, over the *full* catalogue
with seen videos filtered, and `num_relevant[N]`. Cases average equally. DCG uses gain / log2(rank + 1) and ideal DCG places
min(num_relevant, k) relevant videos first (Järvelin & Kekäläinen 2002). Nothing here samples candidates: sampled metrics change
the order of models (Krichene & Rendle, KDD 2020), and `sampled_hit_rate` and `sampled_ndcg` are here only to show by how much.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
ECE_BINS = 10


def hit_rate(hits: NDArray[np.bool_], k: int) -> Floats:
    """1 where any of the first k is relevant. [N]"""
    return np.asarray(hits[:, :k].any(axis=1), dtype=np.float64)


def recall(hits: NDArray[np.bool_], num_relevant: ArrayLike, k: int) -> Floats:
    """Relevant videos among the first k over all relevant ones. [N]"""
    return np.divide(hits[:, :k].sum(axis=1), np.asarray(num_relevant, dtype=np.float64))


def dcg(gains: ArrayLike, k: int) -> Floats:
    """Σ gain_i / log2(i + 1) over ranks i = 1…k. gains: [N, K] → [N]"""
    gains = np.atleast_2d(np.asarray(gains, dtype=np.float64))[:, :k]
    return gains @ (1.0 / np.log2(np.arange(2, gains.shape[1] + 2)))


def ndcg(hits: NDArray[np.bool_], num_relevant: ArrayLike, k: int) -> Floats:
    """Binary nDCG@k. [N]"""
    counts = np.minimum(np.asarray(num_relevant, dtype=np.int64), k)
    ideal = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))])
    return dcg(hits, k) / np.maximum(ideal[counts], np.finfo(float).tiny)


def average_precision(hits: NDArray[np.bool_], num_relevant: ArrayLike) -> Floats:
    """Mean of precision at each relevant rank, normalised by all relevant videos. [N]"""
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return (precision * hits).sum(axis=1) / np.asarray(num_relevant, dtype=np.float64)


def sampled_hit_rate(ranks: ArrayLike, num_videos: ArrayLike, num_negatives: int, k: int) -> Floats:
    """Expected hit rate when one relevant video is ranked against `num_negatives` uniform ones only. [N]

    Among n videos, one at full rank r meets 1 + Binomial(m, (r − 1) / (n − 1)) in the sample (Krichene & Rendle, KDD 2020).
    ranks: [N] from 1; num_videos: n, [N] or one for all.
    """
    return _sampled_places(ranks, num_videos, num_negatives, k).sum(axis=1)


def sampled_ndcg(ranks: ArrayLike, num_videos: ArrayLike, num_negatives: int, k: int) -> Floats:
    """Expected nDCG@k under the same sampling. [N]"""
    return dcg(_sampled_places(ranks, num_videos, num_negatives, k), k)


def _sampled_places(ranks: ArrayLike, num_videos: ArrayLike, num_negatives: int, k: int) -> Floats:
    """[N, k] probability that the sampled rank is 1 … k."""
    from scipy.stats import binom  # takes most of a second to import, and the service never needs it

    above = (np.asarray(ranks, dtype=np.float64) - 1) / (np.asarray(num_videos, dtype=np.float64) - 1)
    return np.asarray(binom.pmf(np.arange(k), num_negatives, above[:, None]), dtype=np.float64)


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Probability that a random positive scores above a random negative, ties ½; nan if one class is absent."""
    from scipy.stats import rankdata  # takes most of a second to import, and the service never needs it

    labels, ranks = np.asarray(labels, dtype=bool), rankdata(np.asarray(scores))
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return float("nan")
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def log_loss(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """−mean log likelihood; probabilities are clipped to [1e-7, 1 − 1e-7]."""
    return float(log_losses(labels, probabilities).mean())


def log_losses(labels: ArrayLike, probabilities: ArrayLike) -> Floats:
    """−log likelihood of each label, clipped like `log_loss`. [N]"""
    y, p = np.asarray(labels, dtype=np.float64), np.clip(np.asarray(probabilities, dtype=np.float64), 1e-7, 1 - 1e-7)
    return np.asarray(-(y * np.log(p) + (1 - y) * np.log1p(-p)))


def brier(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean squared error of probabilities."""
    return float(np.mean((np.asarray(probabilities, dtype=np.float64) - np.asarray(labels, dtype=np.float64)) ** 2))


def ece(labels: ArrayLike, probabilities: ArrayLike, bins: int = ECE_BINS) -> float:
    """Expected calibration error over equal-width bins: Σ share · |mean p − mean y| (Naeini et al. 2015)."""
    y, p = np.asarray(labels, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    index = np.minimum((p * bins).astype(np.int64), bins - 1)
    gap = np.bincount(index, weights=p - y, minlength=bins)
    return float(np.abs(gap).sum() / len(y))


def gini(values: ArrayLike) -> float:
    """Concentration of non-negative values: 0 equal, → 1 all in one."""
    x = np.sort(np.asarray(values, dtype=np.float64))
    n = len(x)
    return float((2 * np.arange(1, n + 1) - n - 1) @ x / (n * x.sum())) if x.sum() else 0.0
