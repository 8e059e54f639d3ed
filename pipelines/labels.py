"""What labels a dataset gives: from behaviour and words, from functions; how long feedback takes; whom to ask.

Reads the newest snapshot of a space, or the tiny world where nothing has been trained yet. Each report is one function of a
dataset and says so in plain words when the dataset lacks what it needs.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from core import columns as c
from core import events as ev
from core import rng
from core.clock import DAY_MS
from core.errors import BadInput
from data import versioning
from data.catalogue import Catalogue
from data.dataset import Dataset
from data.labels import active, definitions, delay, functions, label_model, logistic
from data.labels.active import Annotators, Method
from data.labels.functions import QUESTIONS
from data.labels.label_model import LabelModel, Votes
from data.world import simulate
from data.world.config import tiny
from pipelines import spaces

_FEEDBACK = (ev.WATCH, ev.LIKE, ev.DISLIKE, ev.SUBSCRIBE, ev.REGRET, ev.SURVEY)
_LEAST_LABELS = 20
_OF_CLICKS = (
    definitions.DWELLED, definitions.EARLY_EXIT, definitions.COMPLETED, definitions.SATISFIED, definitions.LIKED,
    definitions.DISLIKED, definitions.REGRETTED,
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """One question, answered for every video."""

    question: str
    names: tuple[str, ...]
    """[F] of the functions that voted at all."""
    votes_VF: Votes
    """What each said; catalogue order."""
    model: LabelModel
    labels: pl.DataFrame
    """video_id, title, probability; catalogue order."""
    num_human: int = 0
    """Videos that people labelled, too."""

    @property
    def coverage(self) -> logistic.Floats:
        """[F] share of videos on which each votes."""
        return np.asarray((self.votes_VF != 0).mean(axis=0))

    def to_json(self) -> dict[str, Any]:
        """Plain values, probabilities by video id."""
        rates = zip(self.names, self.coverage.tolist(), self.model.given_positive_F, self.model.given_negative_F, strict=True)
        return {
            "prior": self.model.prior,
            "human": self.num_human,
            "functions": [
                {"name": name, "coverage": coverage, "yes_if_so": float(yes), "yes_if_not": float(no)}
                for name, coverage, yes, no in rates
            ],
            "pairs": [{"first": self.names[f], "second": self.names[g], "excess": rho} for f, g, rho in self.model.pairs],
            "probability": dict(self.labels.select(c.VIDEO_ID, "probability").iter_rows()),
        }


@dataclass(frozen=True)
class Seen:
    """How often one label occurs."""

    label: str
    of: str
    """Which rows it is asked of: impressions, clicks (of a kind), opinions."""
    num_rows: int
    num_yes: int
    num_unknown: int
    """The log does not say, or not in time."""

    @property
    def share(self) -> float | None:
        """Of the rows that are known; None where none is."""
        known = self.num_rows - self.num_unknown
        return self.num_yes / known if known else None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "share": self.share}


@dataclass(frozen=True)
class Wait:
    """How long one kind of feedback takes after a click."""

    kind: str
    num_labels: int
    rate: float
    """Of clicks, corrected for labels still to come."""
    naive_rate: float
    """Of clicks, as counted on the last day of the log."""
    half_ms: float
    most_ms: float
    """Windows that hold half, and 99 %, of the labels."""


@dataclass(frozen=True)
class Curve:
    """Accuracy on held-back videos by number of labels."""

    method: Method
    labels: tuple[int, ...]
    accuracy: tuple[float, ...]


def open_dataset(var_dir: Path, space: str | None) -> Dataset:
    """The newest snapshot of the named or current space; the tiny world when there is neither."""
    if space is None and not (var_dir / "current").is_file():
        return simulate.generate(tiny())
    chosen = spaces.current(var_dir, space)
    found = versioning.list_snapshots(chosen.snapshots)
    if not found:
        raise BadInput(f"'{chosen.name}' has no snapshot yet; run `upnext train` first")
    return versioning.open_snapshot(chosen.snapshots, found[-1].snapshot_id)


def seen(dataset: Dataset) -> list[Seen]:
    """Every label of `data.labels.definitions` with how often it occurs; then dwelling among clicks that people spoke about.

    Those last ones say how far behaviour can be trusted: who regrets a click may have dwelled all the same.
    """
    if dataset.has_impressions:
        outcomes = definitions.graded(definitions.impression_outcomes(dataset.events), dataset.videos)
        clicked = outcomes.filter(definitions.CLICKED)
        found = [_seen(outcomes, name, "impressions") for name in (definitions.CLICKED, definitions.SKIPPED)]
    else:
        clicked, found = definitions.graded(definitions.clicked_feedback(dataset.events), dataset.videos), []
    found += [_seen(clicked, name, "clicks") for name in _OF_CLICKS if name in clicked.columns]
    said = definitions.opinions(dataset.events)
    for name, value in (("liked", 1), ("neither", 0), ("disliked", -1)):
        found.append(_seen(said.select((pl.col(definitions.OPINION) == value).alias(name)), name, "opinions"))
    spoken = [name for name in (definitions.LIKED, definitions.DISLIKED, definitions.REGRETTED) if name in clicked.columns]
    return found + [_seen(clicked.filter(name), definitions.DWELLED, f"{name} clicks") for name in spoken]


def _seen(frame: pl.DataFrame, label: str, of: str) -> Seen:
    column = frame[label]
    return Seen(label, of, len(column), int(column.sum()), column.null_count())


def programmatic(dataset: Dataset, priors: dict[str, float] | None = None, *, dependencies: bool = True) -> list[Answer]:
    """Probabilities for every question of `QUESTIONS`; `priors` are known shares by question, the rest is of `label_model.fit`.

    Raises:
        BadInput: the log does not say what was shown.
    """
    if not dataset.has_impressions:
        raise BadInput(f"'{dataset.name}' has no impressions; labelling functions compare what was shown with what was clicked")
    graded = definitions.graded(definitions.impression_outcomes(dataset.events), dataset.videos)
    frame = functions.statistics(dataset.videos, dataset.viewers, graded)
    answers = []
    for question, those in QUESTIONS.items():
        said = functions.votes(frame, those)
        spoke = np.flatnonzero((said != 0).any(axis=0))
        if not len(spoke):
            continue
        said = said[:, spoke]
        model = label_model.fit(said, prior=(priors or {}).get(question), dependencies=dependencies)
        labels = frame.select(c.VIDEO_ID, c.TITLE, pl.Series("probability", model.probability(said)))
        names = tuple(those[f].name for f in spoke)
        answers.append(Answer(question, names, said, model, labels))
    return answers


def waits(dataset: Dataset) -> list[Wait]:
    """Every kind of feedback with at least 20 labels, quickest first."""
    found, now = [], dataset.end_at
    for kind in _FEEDBACK:
        known = delay.waits(dataset.events, kind, now)
        took = known[delay.DELAY_MS].cast(pl.Float64).fill_null(np.nan).to_numpy()
        age = known[delay.AGE_MS].to_numpy()
        came = ~np.isnan(took)
        if came.sum() < _LEAST_LABELS:
            continue
        fitted = delay.Empirical.fit(took, age)
        targets, weights = delay.weighted_targets(came, fitted.arrived(age))
        rate, last_day = float(np.average(targets, weights=weights)), age < DAY_MS
        naive = float(came[last_day].mean()) if last_day.any() else float("nan")
        found.append(Wait(kind, int(came.sum()), rate, naive, fitted.window(0.5), fitted.window(0.99)))
    return sorted(found, key=lambda wait: wait.half_ms)


def efficiency(dataset: Dataset, methods: Sequence[Method], *, most: int, error: float, seed: int) -> list[Curve]:
    """People are asked for categories that the catalogue knows; a third of the videos is held back to test on.

    Raises:
        BadInput: no content vectors, or fewer than two categories.
    """
    catalogue = Catalogue.of(dataset.videos)
    truth, classes = catalogue.codes[:, 0].astype(np.int64), len(catalogue.vocabularies[0])
    if not catalogue.content.shape[1] or len(np.unique(truth)) < 2:
        raise BadInput(f"'{dataset.name}' needs content vectors and at least two categories to try active learning on")
    order = rng.stream(seed, "held back").permutation(len(truth))
    x, truth = catalogue.content[order].astype(np.float64), truth[order]
    x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9)
    num_pool = 2 * len(x) // 3
    people = Annotators(truth[:num_pool], np.full(num_pool, error), classes)
    return [_curve(x, truth, people, method, most, rng.stream(seed, "asked", method)) for method in methods]


def _curve(
    x: logistic.Floats, truth: active.Rows, people: Annotators, method: Method, most: int, random: np.random.Generator
) -> Curve:
    pool, test, step = x[: len(people.truth_N)], x[len(people.truth_N) :], max(most // 8, 1)

    def ask(rows: active.Rows) -> active.Rows:
        return people.labels(rows, random)

    rounds = active.learn(pool, ask, people.num_classes, method, random, first=step, step=step, most=most)
    points = [(n, (model.probability(test).argmax(axis=1) == truth[len(pool) :]).mean()) for n, model in rounds]
    return Curve(method, tuple(n for n, _ in points), tuple(float(share) for _, share in points))
