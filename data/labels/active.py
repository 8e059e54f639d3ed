"""Active learning: which videos to ask people about next, what an answer costs, and how far it can be trusted.

    score    of class probabilities [N, C], larger is asked first:
             uncertainty 1 − p₁    margin −(p₁ − p₂)    entropy −Σ p ln p    (Settles 2009; p₁ ≥ p₂ are the largest)
             With two classes all three order videos alike. `random` ignores the model.
    people   each answer is wrong with a probability of its own, costs seconds, and may be asked for again. Two independent
             answers to a two-class question differ with probability d = 2 e (1 − e), so disagreement tells the error:
             e = (1 − √(1 − 2 d)) / 2

`next_to_label` is the queue of a labelling page; `learn` the same queue against simulated people, for a label-efficiency curve.
Chosen labels are no sample of the pool: shares counted among them are wrong; count only among labels drawn by chance.

Shape legend: N videos of the pool, D features, C classes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from data.labels import logistic
from data.labels.logistic import Floats, Softmax

Method = Literal["uncertainty", "margin", "entropy", "random"]
Rows = NDArray[np.int64]
Ask = Callable[[Rows], Rows]
"""Rows of the pool → classes."""


@dataclass(frozen=True)
class Annotators:
    """People who answer, and sometimes wrongly: a wrong answer is any other class with equal chance."""

    truth_N: Rows
    """Classes 0 … C − 1."""
    error_N: Floats
    """Chance that one answer is wrong, per video: what is hard to tell is told wrong more often."""
    num_classes: int
    votes: int = 1
    """Answers per video; the majority counts, ties go to the first."""
    answer_s: float = 8.0
    """Seconds that one answer takes."""

    @property
    def label_s(self) -> float:
        """Seconds of work per label."""
        return self.votes * self.answer_s

    def answers(self, rows: Rows, random: np.random.Generator) -> Rows:
        """[n, votes] independent answers."""
        shape = (len(rows), self.votes)
        other = random.integers(1, self.num_classes, shape)
        wrong = random.random(shape) < self.error_N[rows, None]
        return np.asarray((self.truth_N[rows, None] + wrong * other) % self.num_classes)

    def labels(self, rows: Rows, random: np.random.Generator) -> Rows:
        """[n] the most frequent answer to each."""
        answers = self.answers(rows, random)
        counts = (answers[:, :, None] == answers[:, None, :]).sum(axis=2)
        return np.asarray(answers[np.arange(len(rows)), counts.argmax(axis=1)])


def error_from_disagreement(share: float) -> float:
    """e of a two-class question from the share of videos on which two independent answers differ.

    Raises:
        BadInput: a share above ½, which no error rate explains.
    """
    if not 0.0 <= share <= 0.5:
        raise BadInput(f"two answers differ in {share:.1%} of cases; beyond 50 % they say nothing, look at the question")
    return float((1.0 - np.sqrt(1.0 - 2.0 * share)) / 2.0)


def score(probability_NC: Floats, method: Method, random: np.random.Generator) -> Floats:
    """[N] how much a label is wanted."""
    if method == "random":
        return random.random(len(probability_NC))
    if method == "entropy":
        return np.asarray(-(probability_NC * np.log(np.maximum(probability_NC, 1e-12))).sum(axis=1))
    ordered = np.sort(probability_NC, axis=1)
    second = ordered[:, -2] if method == "margin" else 1.0
    return np.asarray(second - ordered[:, -1])


def next_to_label(
    probability_NC: Floats, labelled: Rows, count: int, method: Method, random: np.random.Generator, random_share: float = 0.0
) -> Rows:
    """Rows to ask about, most wanted first, none of them `labelled`.

    `random_share` of them are drawn by chance, which finds what the model is wrongly sure of.
    """
    wanted = score(probability_NC, method, random)
    wanted[labelled] = -np.inf
    count = min(count, len(wanted) - len(np.unique(labelled)))
    by_chance = round(random_share * count)
    order = np.argsort(-wanted, kind="stable")
    chosen, rest = order[: count - by_chance], order[count - by_chance : len(wanted) - len(np.unique(labelled))]
    return np.concatenate([chosen, random.choice(rest, by_chance, replace=False)])


def learn(
    x_ND: Floats,
    ask: Ask,
    num_classes: int,
    method: Method,
    random: np.random.Generator,
    *,
    first: int = 100,
    step: int = 100,
    most: int = 1_000,
    random_share: float = 0.0,
    penalty: float = 1.0,
) -> Iterator[tuple[int, Softmax]]:
    """After every round: how many labels there are, and the model they give. The `first` ones are drawn by chance."""
    labelled = random.choice(len(x_ND), min(first, len(x_ND)), replace=False)
    answers = ask(labelled)
    while True:
        model = logistic.fit(x_ND[labelled], logistic.one_hot(answers, num_classes), penalty=penalty)
        yield len(labelled), model
        count = min(step, most - len(labelled))
        chosen = (
            next_to_label(model.probability(x_ND), labelled, count, method, random, random_share) if count > 0 else labelled[:0]
        )
        if not len(chosen):
            return
        labelled, answers = np.concatenate([labelled, chosen]), np.concatenate([answers, ask(chosen)])


def labels_needed(labels: Floats, quality: Floats, goal: float) -> float:
    """Labels at which a curve first reaches `goal`, linear between its points in ln labels; nan if it never does."""
    above = np.flatnonzero(quality >= goal)
    if not len(above):
        return float("nan")
    at = int(above[0])
    if at == 0:
        return float(labels[0])
    share = (goal - quality[at - 1]) / (quality[at] - quality[at - 1])
    return float(np.exp(np.log(labels[at - 1]) + share * (np.log(labels[at]) - np.log(labels[at - 1]))))
