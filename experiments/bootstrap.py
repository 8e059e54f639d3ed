"""Percentile bootstrap intervals for many estimators on the same resamples.

Each draw weighs whole rows (or slates) by Poisson(1) counts, the bootstrap of large data (Chamandy et al. 2012), recomputes
every estimator, self-normalisation included, and takes quantiles (Efron & Tibshirani 1993, ch. 13). Assumes that rows are
independent; breaks where a handful of rows carries the sum, which `experiments.diagnostics` refuses.
"""

from collections.abc import Mapping

import numpy as np

from core.inference import Interval
from experiments.estimators import Floats, Terms, combined

_BLOCK = 1 << 21


def intervals(
    terms: Mapping[str, Terms], random: np.random.Generator, *, draws: int = 1_000, level: float = 0.95
) -> dict[str, Interval]:
    """The estimate and its interval, by name; all estimators must be over the same rows."""
    columns = np.concatenate([_columns(one) for one in terms.values()], axis=1)
    means = _resampled(columns, random, draws)
    found, begin = {}, 0
    for name, one in terms.items():
        slots = one.residual_NK.shape[1]
        direct, residual, norm = np.split(means[:, begin : begin + 1 + 2 * slots], [1, 1 + slots], axis=1)
        values = combined(direct[:, 0], residual, norm)
        low, high = np.nanquantile(values, [0.5 - level / 2, 0.5 + level / 2]) if np.isfinite(values).any() else [np.nan] * 2
        found[name] = Interval(one.value, float(low), float(high))
        begin += 1 + 2 * slots
    return found


def _columns(terms: Terms) -> Floats:
    return np.concatenate([terms.direct_N[:, None], terms.residual_NK, terms.norm_NK], axis=1)


def _resampled(columns_NC: Floats, random: np.random.Generator, draws: int) -> Floats:
    """[draws, C] means of resampled rows."""
    num_rows = len(columns_NC)
    block = max(1, _BLOCK // num_rows)
    parts = []
    for begin in range(0, draws, block):
        counts = random.poisson(1.0, (min(block, draws - begin), num_rows)).astype(np.float64)
        parts.append(counts @ columns_NC / np.maximum(counts.sum(axis=1, keepdims=True), 1.0))
    return np.concatenate(parts)
