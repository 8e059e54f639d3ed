"""Full-catalogue evaluation: models rank, this module hides the seen, compares with the targets, and times it.

A model is anything that ranks `Cases`, which hold no targets. Every video of the catalogue is a candidate, except what the
viewer has watched and what was not uploaded yet; nothing is sampled and no target is ever added to a candidate list.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core import metrics
from core.errors import BadInput
from core.space import Settings
from data.interactions import Interactions
from pipelines.evaluation import cases as splits
from pipelines.evaluation import sightings
from pipelines.evaluation.cases import Cases, HeldOut
from pipelines.evaluation.leaderboard import GIVEN_RETRIEVED, MAIN, About, Entry, Leaderboard
from pipelines.tuning.search import Search
from retrieval.baselines import Baseline, Scorer, fit_next, top_k
from retrieval.tunable import Tunable, tunables

DEPTH = 500
_BLOCK = 1 << 24
_MOST_CASES_AT_ONCE = 1_024
Encode = Callable[[Cases, slice], NDArray[np.float32]]
Rank = Callable[[Cases, slice], NDArray[np.int32]]


class Model(Protocol):
    """Anything that ranks."""

    def rank(self, cases: Cases, rows: slice) -> NDArray[np.int32]:
        """[n, K] catalogue rows for the cases in `rows`, best first, −1 padding; nothing twice, seen or not yet uploaded."""
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


def measure(model: Model, held_out: HeldOut, sightings_V: NDArray[np.int64] | None = None) -> dict[str, NDArray[np.float64]]:
    """Metrics per case, [N] each; for TwoStage also NDCG@10 among cases whose target was retrieved, nan elsewhere.

    With `sightings_V`, how often each video was watched in training, also recall by that (`sightings`).

    Raises:
        BadInput: the model broke its contract.
    """
    step = int(np.clip(_BLOCK // max(1, held_out.cases.num_videos), 1, _MOST_CASES_AT_ONCE))
    blocks = []
    for begin in range(0, len(held_out), step):
        rows = slice(begin, min(begin + step, len(held_out)))
        ranked = _checked(model.rank(held_out.cases, rows), held_out.cases, rows)
        hits = held_out.hits(ranked, rows)
        values = _values(hits, held_out.targets.counts[rows], isinstance(model, TwoStage))
        if sightings_V is not None:
            values |= sightings.recalls(ranked, hits, held_out.targets.take(rows), sightings_V)
        blocks.append(values)
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
    if ((cases.uploaded_at[ranked] > cases.at[rows, None]) & (ranked >= 0)).any():
        raise BadInput("a model ranked a video before its upload")
    return ranked


@dataclass(frozen=True)
class FittedModels:
    """Models ready to rank, with what it took."""

    models: Mapping[str, Model] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Per model: tuning and fitting."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    omitted: Mapping[str, str] = field(default_factory=dict)
    trials: Mapping[str, int] = field(default_factory=dict)
    """Per model: settings tried before these were chosen."""

    def __or__(self, other: "FittedModels") -> "FittedModels":
        return FittedModels(
            {**self.models, **other.models},
            {**self.seconds, **other.seconds},
            {**self.settings, **other.settings},
            {**self.omitted, **other.omitted},
            {**self.trials, **other.trials},
        )


def evaluate(
    fitted: FittedModels, held_out: HeldOut, protocol: str, *, about: About | None = None, seed: int = 0
) -> Leaderboard:
    """Rank every case with every model; `about` is what is known of the cases themselves."""
    entries = []
    for name, model in fitted.models.items():
        began = time.perf_counter()
        values = measure(model, held_out, about.sightings if about else None)
        entries.append(Entry(name, values, time.perf_counter() - began + fitted.seconds.get(name, 0.0)))
    return Leaderboard(
        protocol, held_out, tuple(entries), fitted.omitted, fitted.settings, fitted.trials, about or About(), seed
    )


@dataclass
class BaselineObjective:
    """NDCG@10 of a baseline on validation cases: a `pipelines.tuning.search.Objective`."""

    tunable: Tunable
    train: Interactions
    validation: HeldOut
    fitted: tuple[Baseline, Scorer] | None = None
    """The last trial, from which the next may take what it shares."""

    def __call__(self, settings: Settings, epochs: int | None) -> float:
        """See Objective."""
        model = self.tunable.trial(settings)
        self.fitted = (model, fit_next(model, self.train, self.fitted))
        return float(measure(Scored(self.fitted[1]), self.validation)[MAIN].mean())


def fit_baselines(
    interactions: Interactions,
    *,
    timed: bool = True,
    uploaded_at: NDArray[np.int64] | None = None,
    max_validation: int = 3_000,
    max_ease_videos: int = 8_000,
    seed: int = 0,
) -> FittedModels:
    """Tune every baseline inside the training interactions (`cases.inside`), then fit it on all of them."""
    train, validation = splits.inside(interactions, timed=timed, uploaded_at=uploaded_at, max_cases=max_validation, seed=seed)
    result = FittedModels(omitted=_omitted(timed, interactions.ordered))
    for name, tunable in tunables(timed=timed, ordered=interactions.ordered, max_ease_videos=max_ease_videos).items():
        began, chosen, tried = time.perf_counter(), tunable.default, 1
        if tunable.space and len(validation) and len(train):
            found = Search(tunable.space).run(BaselineObjective(tunable, train, validation))
            chosen, tried = tunable.chosen(found.best.settings), len(found.trials)
        model = Scored(chosen.fit(interactions))
        seconds = time.perf_counter() - began
        result |= FittedModels({name: model}, {name: seconds}, {name: asdict(chosen)}, trials={name: tried})  # type: ignore[call-overload]
    return result


def _omitted(timed: bool, ordered: bool) -> dict[str, str]:
    omitted = {}
    if not timed:
        omitted["recent_popularity"] = "the log has no times that compare across viewers"
    if not ordered:
        omitted["markov"] = "the log has no order within a viewer"
    return omitted
