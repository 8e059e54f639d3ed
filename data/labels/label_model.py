"""A label model: many labelling functions that are often wrong and often silent, into one probability per video.

Two classes, F functions, votes +1, −1 and 0 for "does not know" (Dawid & Skene 1979; data programming: Ratner et al. 2016):

    P(y = +) = π      P(vote_f = + | y = +, f votes) = a_f      P(vote_f = + | y = −, f votes) = b_f

    log odds of y = ln π/(1−π) + Σ_f w_f · { ln a_f/b_f if f votes +,  ln (1−a_f)/(1−b_f) if f votes − }

π, a and b are found by expectation maximisation without a single true label. Silence says nothing: a function that is silent
because it found nothing should vote − instead, and a function that only ever votes one way teaches nothing.

Functions that copy each other would count twice, or become the class. Were they all independent given the class, the
correlation of two functions' votes would be a product d_f · d_g; a robust fit of d, which a minority of dependent pairs cannot
bend, leaves the excess ρ_fg, the correlation given the class. Each function is weighted down by those of its pairs that vote
on the same video, w_f = 1 / (1 + Σ_g ρ_fg): a function and its perfect copy count once. Pairs are not modelled jointly.

Assumes that functions are better than chance on average, which decides which class is called +, and that at least three of them
are independent and not outnumbered by copies of one; it cannot know when all share one error.

Shape legend: V videos, F functions (at most 39), U distinct rows of votes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from core.errors import BadInput

Votes = NDArray[np.int8]
Floats = NDArray[np.float64]

_LEAST_EXCESS = 0.1
_LEAST_Z = 4.0
_MOST_CERTAIN = 0.95
"""Correlation of a function with the class: beyond this, nothing would be left for a residual to correlate in."""
_MAX_FUNCTIONS = 39  # 3 ** 39 < 2 ** 63


@dataclass(frozen=True)
class LabelModel:
    """What EM found out about the functions."""

    prior: float
    """π, the share of the positive class."""
    given_positive_F: Floats
    """a_f, above 0 and below 1."""
    given_negative_F: Floats
    """b_f, above 0 and below 1."""
    excess_FF: Floats
    """ρ_fg of dependent pairs, symmetric; 0 elsewhere and on the diagonal."""

    @staticmethod
    def symmetric(accuracies: Floats, prior: float = 0.5) -> "LabelModel":
        """Independent functions that are right with the same probability in both classes."""
        right = np.asarray(accuracies, dtype=np.float64)
        return LabelModel(prior, right, 1.0 - right, np.zeros((len(right), len(right))))

    @property
    def accuracy_F(self) -> Floats:
        """P(f is right | f votes), as far as the model knows."""
        return self.prior * self.given_positive_F + (1.0 - self.prior) * (1.0 - self.given_negative_F)

    @property
    def pairs(self) -> list[tuple[int, int, float]]:
        """Dependent pairs with their excess, largest first."""
        first, second = np.nonzero(np.triu(self.excess_FF))
        found = [(int(f), int(g), float(self.excess_FF[f, g])) for f, g in zip(first, second, strict=True)]
        return sorted(found, key=lambda pair: -pair[2])

    def probability(self, votes_VF: Votes) -> Floats:
        """[V] P(y = + | votes); the prior where nobody votes."""
        rows_UF, inverse, _ = _distinct(votes_VF)
        return self._of_rows(rows_UF)[inverse]

    def _of_rows(self, votes_UF: Votes) -> Floats:
        plus = np.log(self.given_positive_F / self.given_negative_F)
        minus = np.log((1.0 - self.given_positive_F) / (1.0 - self.given_negative_F))
        evidence = (votes_UF > 0) * plus + (votes_UF < 0) * minus
        return np.asarray(expit(logit(self.prior) + (_weights(votes_UF, self.excess_FF) * evidence).sum(axis=1)))


def fit(votes_VF: Votes, *, prior: float | None = None, dependencies: bool = True, max_steps: int = 300) -> LabelModel:
    """The model of a vote matrix.

    Args:
        votes_VF: [V, F] +1, −1, or 0 for an abstention.
        prior: share of the positive class if it is known, e.g. from a small labelled sample; else it is learned, as if all
            functions were independent. Giving it is better.
        dependencies: weight down functions that agree more than the class explains.
        max_steps: of EM, which stops early when no probability moves by more than 1e-6.

    Raises:
        BadInput: no votes, too many functions, or other values than −1, 0 and +1.
    """
    rows_UF, _, counts_U = _distinct(votes_VF)
    if not rows_UF.any():
        raise BadInput("no function voted on any video; there is nothing to learn labels from")
    independent = _maximise(rows_UF, counts_U, np.zeros((rows_UF.shape[1],) * 2), prior, max_steps)
    if not dependencies:
        return independent
    # Weighted evidence is too weak to say how large the classes are: left free, π can run off to 1.
    return _maximise(rows_UF, counts_U, _excess(rows_UF, counts_U), independent.prior, max_steps)


def majority(votes_VF: Votes) -> Floats:
    """[V] share of + among the votes; ½ where nobody votes."""
    plus, cast = (votes_VF > 0).sum(axis=1), (votes_VF != 0).sum(axis=1)
    return np.asarray(np.where(cast > 0, plus / np.maximum(cast, 1), 0.5))


def _distinct(votes_VF: Votes) -> tuple[Votes, NDArray[np.int64], Floats]:
    """Distinct rows, the distinct row of each video, and how many videos have it: a million videos are a few thousand rows."""
    if votes_VF.ndim != 2 or votes_VF.shape[1] > _MAX_FUNCTIONS or not len(votes_VF):
        raise BadInput(f"votes must be [videos, at most {_MAX_FUNCTIONS} functions], got {votes_VF.shape}")
    if votes_VF.min() < -1 or votes_VF.max() > 1:
        raise BadInput("votes must be +1, −1 or 0")
    code = np.zeros(len(votes_VF), dtype=np.int64)
    for column in votes_VF.T:
        code = code * 3 + column
    _, first, inverse, counts = np.unique(code, return_index=True, return_inverse=True, return_counts=True)
    return votes_VF[first], inverse, counts.astype(np.float64)


def _maximise(rows_UF: Votes, counts_U: Floats, excess_FF: Floats, prior: float | None, max_steps: int) -> LabelModel:
    """EM from the weighted majority on."""
    weighted_UF = _weights(rows_UF, excess_FF) * (rows_UF != 0)
    lean_U = ((rows_UF > 0) * weighted_UF).sum(axis=1) / np.maximum(weighted_UF.sum(axis=1), 1e-12)
    positive_U = np.where(weighted_UF.any(axis=1), lean_U, 0.5)
    for _ in range(max_steps):
        before_U = positive_U
        model = _estimate(rows_UF, counts_U, positive_U, excess_FF, prior)
        positive_U = model._of_rows(rows_UF)
        if np.abs(positive_U - before_U).max() < 1e-6:
            break
    return _oriented(model)


def _estimate(rows_UF: Votes, counts_U: Floats, positive_U: Floats, excess_FF: Floats, prior: float | None) -> LabelModel:
    """Rates given the class probabilities, with one made-up vote of each kind so that none is 0 or 1."""
    plus_UF, cast_UF = (rows_UF > 0).astype(np.float64), (rows_UF != 0).astype(np.float64)
    rates = [
        (share @ plus_UF + 1.0) / (share @ cast_UF + 2.0) for share in (counts_U * positive_U, counts_U * (1 - positive_U))
    ]
    learned = (counts_U @ positive_U + 1.0) / (counts_U.sum() + 2.0)
    return LabelModel(float(learned) if prior is None else prior, rates[0], rates[1], excess_FF)


def _oriented(model: LabelModel) -> LabelModel:
    """With the class called + in which functions vote + more often."""
    if (model.given_positive_F - model.given_negative_F).mean() >= 0:
        return model
    return LabelModel(1.0 - model.prior, model.given_negative_F, model.given_positive_F, model.excess_FF)


def _excess(rows_UF: Votes, counts_U: Floats) -> Floats:
    """[F, F] ρ: how much two functions correlate beyond what a common class explains, on videos where both vote."""
    correlation, both = _correlation(rows_UF, counts_U)
    of_class = _rank_one(correlation, np.sqrt(both))
    residual, left = correlation - np.outer(of_class, of_class), np.sqrt(1.0 - of_class**2)
    found = residual / np.outer(left, left)
    clear = (found > _LEAST_EXCESS) & (residual * np.sqrt(both) > _LEAST_Z) & ~np.eye(len(found), dtype=bool)
    return np.where(clear, np.minimum(found, 1.0), 0.0)


def _correlation(rows_UF: Votes, counts_U: Floats) -> tuple[Floats, Floats]:
    """[F, F] correlation of votes over videos on which both are cast (0 where it has no meaning), and how many those are."""
    vote_UF, cast_UF = rows_UF.astype(np.float64), (rows_UF != 0).astype(np.float64)
    weighted = counts_U[:, None] * cast_UF
    both = weighted.T @ cast_UF
    total = np.maximum(both, 1.0)
    mean = (counts_U[:, None] * vote_UF).T @ cast_UF / total  # of the row's function, where the column's votes too
    variance = np.maximum(1.0 - mean**2, 0.0)
    covariance = (counts_U[:, None] * vote_UF).T @ vote_UF / total - mean * mean.T
    scale = np.sqrt(variance * variance.T)
    return np.where(scale > 1e-9, covariance / np.maximum(scale, 1e-9), 0.0), both


def _rank_one(correlation: Floats, certainty: Floats) -> Floats:
    """[F] d that minimises Σ_{f≠g} certainty · |correlation − d_f d_g|, one coordinate after the other.

    Absolute and not squared errors: a few dependent pairs then do not bend the fit. A coordinate's best value is a weighted
    median of correlation_fg / d_g.
    """
    num = len(correlation)
    others = ~np.eye(num, dtype=bool)
    found = np.sqrt(np.maximum(np.median(correlation[others].reshape(num, num - 1), axis=1), 1e-3)) if num > 1 else np.zeros(1)
    for _ in range(200):
        before = found.copy()
        for f in range(num):
            known = others[f] & (np.abs(found) > 1e-3) & (certainty[f] > 0)
            if known.any():
                weight = np.abs(found[known]) * certainty[f, known]
                found[f] = np.clip(
                    _weighted_median(correlation[f, known] / found[known], weight), -_MOST_CERTAIN, _MOST_CERTAIN
                )
        if np.abs(found - before).max() < 1e-6:
            break
    return found


def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values)
    passed = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(passed, passed[-1] / 2)]])


def _weights(rows_UF: Votes, excess_FF: Floats) -> Floats:
    """[U, F] 1 / (1 + Σ ρ over the dependent functions that vote on the same row)."""
    return np.asarray(1.0 / (1.0 + (rows_UF != 0) @ excess_FF))
