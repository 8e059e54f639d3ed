"""What to ask a person next, and what to say afterwards: the desk at which people label the videos of one catalogue.

Most questions go to the video that the model is least sure of (`active`), some to one drawn by chance, which finds what it is
wrongly sure of, and some to one that somebody else has labelled, which shows how far people can be trusted. What the labelling
functions said and what the model believed is told only after the answer: told before, it would become the answer.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from core import rng
from data.catalogue import Catalogue
from data.labels import active, logistic
from data.labels.answers import Answers
from data.labels.logistic import Floats
from data.labels.taught import Question

_BY_CHANCE, _AGAIN = 0.1, 0.1
"""Shares of questions."""
_POOL = 20_000
"""Videos that may be asked about: a larger catalogue is sampled."""


@dataclass(frozen=True)
class Revealed:
    """What is told after an answer."""

    probability: float
    """Of a yes, as the model believed before it knew of the answer."""
    functions: dict[str, int]
    """By name: −1, 0 or +1."""
    others: dict[str, int]
    """Answers of other people: yes, no."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; functions as a list, those that spoke first."""
        said = sorted(self.functions.items(), key=lambda one: -abs(one[1]))
        return {
            "probability": self.probability,
            "functions": [{"name": name, "said": vote} for name, vote in said],
            "others": self.others,
        }


class Desk:
    """Safe for many threads."""

    def __init__(self, catalogue: Catalogue, answers: Answers) -> None:
        if len(catalogue) > _POOL:
            chosen = np.sort(rng.stream(0, "label pool").choice(len(catalogue), _POOL, replace=False))
            catalogue = Catalogue.coded(catalogue.frame[chosen], catalogue.vocabularies)
        self._catalogue, self._answers = catalogue, answers
        self._questions: dict[str, Question] = {}
        self._believed: dict[str, Floats] = {}

    def refit(self, name: str) -> None:
        """Learn from all answers so far."""
        self._answers.refresh()
        if name not in self._questions:
            self._questions[name] = Question.of(self._catalogue, name)
        tally = self._answers.tally(name, self._catalogue)
        self._believed[name] = self._questions[name].probability(tally, self._answers.error(name))

    def next(self, name: str, who: str, gone: Iterable[int] = ()) -> int | None:
        """Id of the video to ask this person about, the same again until something is answered; None when all are done.

        `gone` are ids of videos that may not be shown any more.
        """
        if name not in self._believed:
            self.refit(name)
        self._answers.refresh()
        mine = self._answers.of(name, who)
        done = self._rows([*(answer.video_id for answer in mine), *gone])
        if len(done) == len(self._catalogue):
            return None
        random = rng.stream(0, "label", name, who, len(mine))
        draw, again = random.random(), np.setdiff1d(self._answers.tally(name, self._catalogue).rows, done)
        if draw < _AGAIN and len(again):
            row = random.choice(again)
        else:
            method: active.Method = "random" if draw > 1 - _BY_CHANCE else "margin"
            row = active.next_to_label(logistic.two_classes(self._believed[name]), done, 1, method, random)[0]
        return int(self._catalogue.video_ids[row])

    def reveal(self, name: str, video_id: int, who: str) -> Revealed | None:
        """About a video that this person labels now; None for one that is not asked about."""
        row = self._catalogue.rows([video_id])[0]
        if row < 0:
            return None
        if name not in self._believed:
            self.refit(name)
        question = self._questions[name]
        others = [answer.said for answer in self._answers.of(name) if answer.video_id == video_id and answer.who != who]
        return Revealed(
            probability=float(self._believed[name][row]),
            functions=dict(zip(question.functions, question.votes_NF[row].tolist(), strict=True)),
            others={"yes": others.count(1), "no": others.count(-1)},
        )

    def progress(self, name: str, who: str) -> dict[str, Any]:
        """How far this person and everybody is."""
        mine, all_of_them = self._answers.of(name, who), self._answers.of(name)
        agreement = self._answers.agreement(name)
        return {
            "answered": sum(1 for answer in mine if answer.said),
            "skipped": sum(1 for answer in mine if not answer.said),
            "per_minute": self._answers.per_minute(name, who),
            "labelled": len({answer.video_id for answer in all_of_them if answer.said}),
            "people": len({answer.who for answer in all_of_them if answer.said}),
            "pairs": agreement.pairs,
            "differ": agreement.differ,
            "error": agreement.error,
        }

    def _rows(self, video_ids: list[int]) -> active.Rows:
        rows = self._catalogue.rows(video_ids)
        return np.unique(rows[rows >= 0]).astype(np.int64)
