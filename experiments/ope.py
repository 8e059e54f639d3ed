"""A behaviour log and a target policy into a report: what the target would have earned, how sure, and whether to believe it.

The target is a table of probabilities per position, the same for every viewer: uniform over the videos of the log, or the
share that each video had in another policy's log. All estimators are computed. DR is the recommended one: with exact
propensities it is unbiased whatever its reward model (coverage of its interval: `benchmarks/off_policy.py`). Bad weights refuse
the verdict: the numbers are shown, but mean nothing.

Of whole pages (`evaluate_pages`), where the target's probability of every slot is known, the slate estimators speak; there RIPS
is the recommended one: a slot's reward may depend on the slots above. SIPS allows more, and pays with the whole page's weight.
Intervals resample rows, or pages, as if viewers came once; of viewers who come often they are somewhat too narrow.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core import rng
from core.errors import BadInput
from core.inference import Interval
from experiments import bootstrap, diagnostics, estimators, open_bandit, reward_model
from experiments.diagnostics import WeightCheck
from experiments.estimators import Floats
from experiments.open_bandit import BanditLog, Codes

UNIFORM = "uniform"
RECOMMENDED, RECOMMENDED_OF_PAGES = "dr", "rips"


@dataclass(frozen=True)
class Log:
    """N rows in codes 0 … A − 1 of videos and 0 … P − 1 of positions."""

    videos_A: Codes
    positions_P: Codes
    action_N: Codes
    position_N: Codes
    reward_N: Floats
    propensity_N: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """(A, P)."""
        return len(self.videos_A), len(self.positions_P)

    @property
    def count_AP(self) -> Codes:
        """Rows of each video in each position."""
        return _counts(self.action_N, self.position_N, self.shape)


@dataclass(frozen=True)
class Report:
    """An off-policy analysis."""

    estimates: Mapping[str, Interval]
    """By estimator."""
    check: WeightCheck
    behaviour: Interval
    """What the logging policy itself earned."""
    unseen_share: float | None = None
    """Share of what the target would show that the log has no row of; None of pages."""
    recommended: str = RECOMMENDED
    """The estimator whose interval counts."""

    @property
    def verdict(self) -> str:
        """`ok` or `refused`."""
        return "refused" if self.check.refusals else "ok"

    @property
    def reason(self) -> str:
        """Why it was refused; empty when it was not."""
        return "; ".join(self.check.refusals)

    def to_json(self) -> dict[str, Any]:
        """Plain values; what could not be computed is null."""
        chosen = self.estimates[self.recommended]
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "estimator": self.recommended,
            "interval": [_number(chosen.low), _number(chosen.high)],
            **{name: _number(estimate.mean) for name, estimate in self.estimates.items()},
            "ess": self.check.ess,
            "mean_weight": self.check.mean_weight,
            "mean_weight_interval": [self.check.mean_low, self.check.mean_high],
            "max_weight": self.check.max_weight,
            "max_weight_share": self.check.max_share,
            "unseen_share": self.unseen_share,
            "rows": self.check.num_rows,
            "behaviour_value": self.behaviour.mean,
            "intervals": {name: [_number(one.low), _number(one.high)] for name, one in self.estimates.items()},
        }


def coded(log: BanditLog, also: Codes | None = None) -> Log:
    """Codes for ids; videos of `also` that the log lacks get a code too.

    Raises:
        BadInput: fewer than two rows.
    """
    if len(log) < 2:
        raise BadInput("an off-policy estimate needs at least two logged rows")
    videos = np.unique(log.video_N if also is None else np.concatenate([log.video_N, also]))
    positions, position_N = np.unique(log.position_N, return_inverse=True)
    return Log(videos, positions, np.searchsorted(videos, log.video_N), position_N, log.reward_N, log.propensity_N)


def uniform(log: Log) -> Floats:
    """[A, P] the policy that shows every video of the log equally often."""
    return np.full(log.shape, 1.0 / log.shape[0])


def shares(log: Log, video_M: Codes, position_M: Codes) -> Floats:
    """[A, P] the share that each video had in each position of another log, as a policy.

    Raises:
        BadInput: the other log never filled a position of this one.
    """
    missing = np.setdiff1d(log.positions_P, position_M)
    if len(missing):
        raise BadInput(f"the target's log has no row in position {missing[0]}; it must cover those of the behaviour log")
    shared = np.isin(position_M, log.positions_P)
    action = np.searchsorted(log.videos_A, video_M[shared])
    counts = _counts(action, np.searchsorted(log.positions_P, position_M[shared]), log.shape)
    return np.asarray(counts / counts.sum(axis=0))


def evaluate(log: Log, target_AP: Floats, *, seed: int = 0, draws: int = 1_000) -> Report:
    """Everything the log says about the target.

    Args:
        log: rows of the behaviour policy, with exact propensities.
        target_AP: probabilities per position; columns sum to 1.
        seed: of the folds and of the bootstrap.
        draws: bootstrap resamples.
    """
    weight = target_AP[log.action_N, log.position_N] / log.propensity_N
    model = reward_model.fit(log.action_N, log.position_N, log.reward_N, log.shape, rng.stream(seed, "reward folds"))
    rows = estimators.Rows(log.reward_N, weight, model.predicted_N, model.expected_N(target_AP))
    own = estimators.ips(log.reward_N, np.ones(len(weight)))
    terms = {**estimators.every(rows), "behaviour": own}
    estimates = bootstrap.intervals(terms, rng.stream(seed, "bootstrap"), draws=draws)
    # Resampling rows leaves out the model's own error, which is all that matters for DM.
    estimates["dm"] = Interval(estimates["dm"].mean, float("nan"), float("nan"))
    behaviour = estimates.pop("behaviour")
    return Report(estimates, diagnostics.check(weight), behaviour, diagnostics.unseen_share(target_AP, log.count_AP))


def evaluate_pages(reward_NK: Floats, weight_NK: Floats, *, seed: int = 0, draws: int = 1_000) -> Report:
    """What another policy would have earned per page, slots summed.

    Args:
        reward_NK: of every slot of N ≥ 2 pages; 0 where a page is shorter.
        weight_NK: target over behaviour, of the probabilities of the slot's video given the slots above; 1 where shorter.
        seed: of the bootstrap.
        draws: bootstrap resamples.
    """
    terms = {
        "sips": estimators.sips(reward_NK, weight_NK),
        "rips": estimators.rips(reward_NK, weight_NK),
        "snrips": estimators.rips(reward_NK, weight_NK, normalised=True),
        "behaviour": estimators.ips(reward_NK.sum(axis=1), np.ones(len(reward_NK))),
    }
    estimates = bootstrap.intervals(terms, rng.stream(seed, "bootstrap"), draws=draws)
    behaviour = estimates.pop("behaviour")
    return Report(estimates, diagnostics.check(weight_NK.prod(axis=1)), behaviour, recommended=RECOMMENDED_OF_PAGES)


def evaluate_files(behaviour: Path, target: str, *, seed: int = 0, draws: int = 1_000) -> Report:
    """`evaluate` on files in the layout of `open_bandit`; `target` is `uniform` or another policy's log.

    Raises:
        BadInput: a file is missing, empty, or holds values that cannot be.
    """
    rows = open_bandit.read(behaviour)
    if target == UNIFORM:
        log = coded(rows)
        return evaluate(log, uniform(log), seed=seed, draws=draws)
    video, position = open_bandit.read_shown(Path(target))
    log = coded(rows, also=video)
    return evaluate(log, shares(log, video, position), seed=seed, draws=draws)


def _counts(action: Codes, position: Codes, shape: tuple[int, int]) -> Codes:
    flat = np.bincount(action * shape[1] + position, minlength=shape[0] * shape[1])
    return np.asarray(flat.reshape(shape))


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
