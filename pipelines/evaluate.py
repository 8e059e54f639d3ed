"""Full-catalogue evaluation: models rank, this module hides the seen, compares with the targets, and times it.

A model is anything that ranks `Cases`, which hold no targets. Every video of the catalogue is a candidate, except what the
viewer has watched and what was not uploaded yet; nothing is sampled and no target is ever added to a candidate list.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core import metrics
from core.errors import BadInput
from data.interactions import Interactions
from pipelines.cases import Cases, HeldOut, last_out, time_split
from pipelines.leaderboard import GIVEN_RETRIEVED, MAIN, Entry, Leaderboard
from retrieval.baselines import Baseline, Scorer, fit_next, grids, top_k

DEPTH = 500
_BLOCK = 1 << 24
_MOST_CASES_AT_ONCE = 1_024
Encode = Callable[[Cases, slice], NDArray[np.float32]]
Rank = Callable[[Cases, slice], NDArray[np.int32]]


class Model(Protocol):
    """Anything that ranks."""

    def rank(self, cases: Cases, rows: slice) -> NDArray[np.int32]:
        """[n, K] catalogue rows for the cases in `rows`, best first, −1 padding, no row twice, nothing seen."""
        ...


@dataclass(frozen=True)
class Scored:
    """A fitted baseline as a model."""

    scorer: Scorer

    def rank(self, cases: Cases, rows: slice) -> NDArray[np.int32]:
        """See Model."""
        return top_k(cases.hide(self.scorer.scores(cases.histories.take(rows)), rows), DEPTH)


@dataclass(frozen=True)
class Towers:
    """Two towers by exact search: the dot product of viewer and video vectors."""

    video_VD: NDArray[np.float32]
    encode: Encode
    """Viewer vectors [n, D] of the cases in a slice."""

    def rank(self, cases: Cases, rows: slice) -> NDArray[np.int32]:
        """See Model."""
        return top_k(cases.hide(self.encode(cases, rows) @ self.video_VD.T, rows), DEPTH)


@dataclass(frozen=True)
class TwoStage:
    """Retrieval and ranking together, e.g. the recommender that serves."""

    ranked: Rank
    """All retrieved videos in final order, not only a page."""

    def rank(self, cases: Cases, rows: slice) -> NDArray[np.int32]:
        """See Model."""
        return self.ranked(cases, rows)


def measure(model: Model, held_out: HeldOut) -> dict[str, NDArray[np.float64]]:
    """Metrics per case, [N] each; for TwoStage also NDCG@10 among cases whose target was retrieved, nan elsewhere.

    Raises:
        BadInput: the model broke its contract.
    """
    step = int(np.clip(_BLOCK // max(1, held_out.cases.num_videos), 1, _MOST_CASES_AT_ONCE))
    blocks = []
    for begin in range(0, len(held_out), step):
        rows = slice(begin, min(begin + step, len(held_out)))
        ranked = _checked(model.rank(held_out.cases, rows), held_out.cases, rows)
        blocks.append(_values(held_out.hits(ranked, rows), held_out.targets.counts[rows], isinstance(model, TwoStage)))
    if not blocks:
        raise BadInput("there is nothing to evaluate: no viewer watches a new video in the test period")
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _values(hits: NDArray[np.bool_], num_relevant: NDArray[np.int64], two_stage: bool) -> dict[str, NDArray[np.float64]]:
    values = {
        "hr@10": metrics.hit_rate(hits, 10),
        "ndcg@10": metrics.ndcg(hits, num_relevant, 10),
        "recall@20": metrics.recall(hits, num_relevant, 20),
        "ndcg@20": metrics.ndcg(hits, num_relevant, 20),
        "recall@500": metrics.recall(hits, num_relevant, DEPTH),
    }
    if two_stage:
        retrieved = hits.sum(axis=1)
        values[GIVEN_RETRIEVED] = np.where(retrieved > 0, metrics.ndcg(hits, retrieved, 10), np.nan)
    return values


def _checked(ranked: NDArray[np.int32], cases: Cases, rows: slice) -> NDArray[np.int32]:
    ranked = np.asarray(ranked)
    num = len(cases.at[rows])
    if ranked.ndim != 2 or len(ranked) != num:
        raise BadInput(f"a model must rank [{num}, K] videos, it returned shape {ranked.shape}")
    if ranked.size and (ranked.min() < -1 or ranked.max() >= cases.num_videos):
        raise BadInput(f"a model ranked rows outside the catalogue of {cases.num_videos}")
    ordered = np.sort(ranked, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise BadInput("a model ranked a video twice for one viewer")
    return ranked


@dataclass(frozen=True)
class FittedModels:
    """Models ready to rank, with what it took."""

    models: Mapping[str, Model] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Per model: tuning and fitting."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    omitted: Mapping[str, str] = field(default_factory=dict)

    def __or__(self, other: "FittedModels") -> "FittedModels":
        return FittedModels(
            {**self.models, **other.models},
            {**self.seconds, **other.seconds},
            {**self.settings, **other.settings},
            {**self.omitted, **other.omitted},
        )


def evaluate(fitted: FittedModels, held_out: HeldOut, protocol: str, *, seed: int = 0) -> Leaderboard:
    """Rank every case with every model."""
    entries = []
    for name, model in fitted.models.items():
        began = time.perf_counter()
        values = measure(model, held_out)
        entries.append(Entry(name, values, time.perf_counter() - began + fitted.seconds.get(name, 0.0)))
    return Leaderboard(protocol, held_out, tuple(entries), fitted.omitted, fitted.settings, seed)


def choose(grid: Sequence[Baseline], train: Interactions, validation: HeldOut) -> Baseline:
    """The setting with the best NDCG@10 on validation cases; the first of equals."""
    if len(grid) == 1:
        return grid[0]
    fitted: tuple[Baseline, Scorer] | None = None
    results = []
    for model in grid:
        fitted = (model, fit_next(model, train, fitted))
        results.append(float(measure(Scored(fitted[1]), validation)[MAIN].mean()))
    return grid[int(np.argmax(results))]


def fit_baselines(
    interactions: Interactions,
    *,
    timed: bool = True,
    uploaded_at: NDArray[np.int64] | None = None,
    max_validation: int = 3_000,
    max_ease_videos: int = 8_000,
    seed: int = 0,
) -> FittedModels:
    """Tune every baseline inside the training interactions, then fit it on all of them.

    `timed` logs validate on the last tenth of the clicks by time, others on each viewer's last interaction.
    """
    if timed:
        uploads = np.zeros(interactions.num_videos, dtype=np.int64) if uploaded_at is None else uploaded_at
        split_at = int(np.quantile(interactions.at, 0.9))
        train = interactions.before(split_at)
        validation = time_split(interactions, split_at, uploads, max_cases=max_validation, seed=seed)
    else:
        train, validation = last_out(interactions, max_cases=max_validation, seed=seed)
    result = FittedModels(omitted=_omitted(timed, interactions.ordered))
    for name, grid in grids(timed=timed, ordered=interactions.ordered, max_ease_videos=max_ease_videos).items():
        began = time.perf_counter()
        chosen = choose(grid, train, validation) if len(validation) and len(train) else grid[len(grid) // 2]
        model = Scored(chosen.fit(interactions))
        result |= FittedModels({name: model}, {name: time.perf_counter() - began}, {name: asdict(chosen)})  # type: ignore[call-overload]
    return result


def _omitted(timed: bool, ordered: bool) -> dict[str, str]:
    omitted = {}
    if not timed:
        omitted["recent_popularity"] = "the log has no times that compare across viewers"
    if not ordered:
        omitted["markov"] = "the log has no order within a viewer"
    return omitted
