"""The reward model behind DM and DR: mean reward per video and position, shrunk, cross-fitted.

    q̂(a, p) = (S_ap + m · b_p) / (n_ap + m),   b_p = mean reward at position p

The strength m = within / between is empirical Bayes: `within` is the variance of one reward, `between` that of the cells' true
means around b_p by the method of moments (DerSimonian & Laird 1986); where cells differ no more than chance explains, q̂ = b_p.
A row's prediction comes from the folds that it is not in, so the model never saw the reward that it corrects. Knows nothing of
viewers: with personal rewards it is wrong, which DR survives and DM does not.

Shape legend: N rows, A videos, P positions, F folds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.estimators import Floats

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class RewardModel:
    """Predictions, one table per fold."""

    value_FAP: Floats
    fold_N: Codes
    action_N: Codes
    position_N: Codes

    @property
    def predicted_N(self) -> Floats:
        """q̂ of each logged row."""
        return self.value_FAP[self.fold_N, self.action_N, self.position_N]

    @property
    def every_NA(self) -> Floats:
        """q̂ of every video in each row's place."""
        return self.value_FAP[self.fold_N, :, self.position_N]

    def expected_N(self, target_AP: Floats) -> Floats:
        """v̂ of each row under a target that is a table of probabilities per position."""
        return np.einsum("ap,fap->fp", target_AP, self.value_FAP)[self.fold_N, self.position_N]


def fit(
    action_N: Codes, position_N: Codes, reward_N: Floats, shape: tuple[int, int], random: np.random.Generator, folds: int = 5
) -> RewardModel:
    """Fit on codes 0 … A − 1 and 0 … P − 1; `shape` is (A, P)."""
    fold_N = random.permutation(len(reward_N)) % folds
    cell_N = action_N * shape[1] + position_N

    def sums(weights: Floats) -> Floats:
        flat = np.bincount(fold_N * shape[0] * shape[1] + cell_N, weights, minlength=folds * shape[0] * shape[1])
        per_fold = flat.reshape(folds, *shape)
        return np.asarray(per_fold.sum(axis=0) - per_fold)

    tables = (sums(np.ones(len(reward_N))), sums(reward_N), sums(np.square(reward_N)))
    return RewardModel(np.stack([_table(*of_fold) for of_fold in zip(*tables, strict=True)]), fold_N, action_N, position_N)


def _table(count_AP: Floats, sum_AP: Floats, square_AP: Floats) -> Floats:
    """q̂ from counts, sums and sums of squares of rewards."""
    rows_P = count_AP.sum(axis=0)
    overall = sum_AP.sum() / max(rows_P.sum(), 1.0)
    base_P = np.divide(sum_AP.sum(axis=0), rows_P, out=np.full(len(rows_P), overall), where=rows_P > 0)
    mean_AP = sum_AP / np.maximum(count_AP, 1.0)
    deviations = (square_AP - count_AP * mean_AP**2).sum()
    within = deviations / max((count_AP - 1.0).clip(min=0.0).sum(), 1.0)
    return _shrunk(mean_AP, count_AP, base_P, float(within))


def _shrunk(mean_AP: Floats, count_AP: Floats, base_P: Floats, within: float) -> Floats:
    """q̂ with between = (Σ n (mean − base)² − (cells − bases) · within) / Σ_p (Σ n − Σ n² / Σ n)."""
    rows_P = count_AP.sum(axis=0)
    used = rows_P > 0
    cells, bases = np.count_nonzero(count_AP), np.count_nonzero(used)
    scatter = (count_AP * (mean_AP - base_P) ** 2).sum()
    spread = rows_P.sum() - (np.square(count_AP[:, used]).sum(axis=0) / rows_P[used]).sum()
    between = (scatter - (cells - bases) * within) / spread if spread > 0 else 0.0
    if between <= 0:
        return np.broadcast_to(base_P, mean_AP.shape)
    strength = max(within / between, 1e-9)
    return np.asarray((count_AP * mean_AP + strength * base_P) / (count_AP + strength))
