"""One question about videos, answered by labelling functions first and then by people who correct them.

    ln odds(video) = ln odds that the label model gave + w · x        w pulled towards 0
                   + (yes − no) · ln((1 − e) / e)                     where people answered; e: chance that an answer is wrong

x: what each function voted, category, length, content vector. w is found by expectation maximisation over what the asked videos
really are (Raykar et al. 2010, with the errors known), so one answer against all odds counts as a slip until others agree.
Without answers the probabilities are the label model's, without a label model ½. Choosing by x which videos are asked about
biases nothing here, unlike a share counted among chosen videos. Assumes that a label model's errors can be told from x.

Shape legend: N videos, D columns, F functions.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy
from numpy.typing import NDArray

from data.catalogue import BEFORE, VOTES, Catalogue
from data.labels import logistic
from data.labels.answers import Tally
from data.labels.logistic import Floats

_MOST_CATEGORIES = 50
_ROUNDS = 3
_SUREST = 0.01
"""A label model is never taken for surer than this: functions share errors that it cannot see."""
_PENALTY = 30.0


@dataclass(frozen=True)
class Question:
    """What is known of each video before anybody is asked."""

    name: str
    odds_N: Floats
    """ln odds of a yes."""
    x_ND: NDArray[np.float32]
    functions: tuple[str, ...]
    votes_NF: NDArray[np.int8]
    """+1 yes, −1 no, 0 does not know."""

    @staticmethod
    def of(catalogue: Catalogue, name: str) -> "Question":
        """From the labels that the catalogue carries, or from nothing."""
        given = catalogue.frame.get_column(BEFORE + name, default=None)
        known = np.full(len(catalogue), 0.5) if given is None else given.fill_null(0.5).cast(pl.Float64).to_numpy()
        functions, votes_NF = _votes(catalogue, name)
        categories = np.minimum(catalogue.category, _MOST_CATEGORIES)[:, None] == np.arange(1, _MOST_CATEGORIES)
        length = np.log1p(catalogue.duration_s)[:, None]
        x_ND = np.concatenate([votes_NF, categories, length, catalogue.content], axis=1, dtype=np.float32)
        mean, std = x_ND.mean(axis=0), x_ND.std(axis=0)
        varies = std > 1e-6
        standard_ND = (x_ND[:, varies] - mean[varies]) / std[varies]
        return Question(name, scipy.special.logit(np.clip(known, _SUREST, 1 - _SUREST)), standard_ND, functions, votes_NF)

    def probability(self, tally: Tally, error: float) -> Floats:
        """[N] of a yes.

        Args:
            tally: people's answers, by the same rows.
            error: chance that one answer is wrong, above 0 and below ½.
        """
        if not len(tally.rows):
            return np.asarray(scipy.special.expit(self.odds_N))
        evidence, asked = (tally.yes - tally.no) * float(scipy.special.logit(1.0 - error)), tally.rows
        before_NC, x_AD = np.stack([-self.odds_N / 2, self.odds_N / 2], axis=1), self.x_ND[tally.rows]
        odds_A = self.odds_N[asked]
        for _ in range(_ROUNDS):
            target = logistic.two_classes(scipy.special.expit(odds_A + evidence))
            model = logistic.fit(x_AD, target, penalty=_PENALTY, offset_NC=before_NC[asked], free_intercept=False)
            odds_A = scipy.special.logit(model.probability(x_AD, before_NC[asked])[:, 1])
        found = model.probability(self.x_ND, before_NC)[:, 1]
        found[asked] = scipy.special.expit(odds_A + evidence)
        return np.asarray(found)


def _votes(catalogue: Catalogue, name: str) -> tuple[tuple[str, ...], NDArray[np.int8]]:
    column = VOTES + name
    if column not in catalogue.frame.columns:
        return (), np.zeros((len(catalogue), 0), dtype=np.int8)
    said = catalogue.frame[column].struct.unnest().fill_null(0)
    return tuple(said.columns), said.to_numpy()
