"""Learning from a log as if its videos had been shown at random: inverse-propensity weights in training.

A personal policy shows a video to those who like it, so its logged click rate flatters it for everybody else. Weighting each
row by 1 / propensity undoes the selection (Horvitz & Thompson 1952; Schnabel et al., ICML 2016) at the price of variance. Rates
are self-normalised per video (Hájek 1971). Needs exact propensities above 0 for every viewer and video; cannot learn about
pairs that the policy excludes.
"""

import numpy as np
from numpy.typing import ArrayLike

from experiments.estimators import Floats


def rates(action_N: ArrayLike, reward_N: ArrayLike, num_actions: int, propensity_N: ArrayLike | None = None) -> Floats:
    """[A] mean reward of each video over all viewers; nan for a video without rows.

    Args:
        action_N: codes 0 … A − 1 of what was shown.
        reward_N: what it earned.
        num_actions: A.
        propensity_N: probability of having shown it to that viewer; None learns naively.
    """
    action, reward = np.asarray(action_N, dtype=np.int64), np.asarray(reward_N, dtype=np.float64)
    propensity = np.ones(len(action)) if propensity_N is None else np.asarray(propensity_N, dtype=np.float64)
    earned = np.bincount(action, reward / propensity, minlength=num_actions)
    total = np.bincount(action, 1.0 / propensity, minlength=num_actions)
    return np.divide(earned, total, out=np.full(num_actions, np.nan), where=total > 0)
