"""What people answer about videos: one event per answer, in a log of its own beside the live one.

An answer is a `Label` event: `surface` names the question, `value` is +1 yes, −1 no, 0 skipped, null withdrawn; `viewer_id` is
the person's id and `detail` the name. Of one person, question and video the last one counts. The log makes an answer durable
before it is acknowledged, and an answer sent twice under one id counts once. Nothing is ever changed in it: who changed their
mind can be seen.
"""

import json
import threading
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core import columns as c
from core import events as ev
from core.clock import MINUTE_MS
from core.errors import BadInput
from core.event_log import EventLog, batches
from core.ids import to_id
from data.catalogue import Catalogue
from data.labels.active import error_from_disagreement

FILE = "labels.db"
"""Of a space."""
YES, NO, SKIPPED, WITHDRAWN = 1, -1, 0, None
_PAUSE_MS = 2 * MINUTE_MS
_LEAST_PAIRS = 20
_USUAL_ERROR = 0.05
_LEAST_ERROR, _MOST_ERROR = 0.01, 0.45


@dataclass(frozen=True)
class Answer:
    """One person about one video."""

    label_id: str
    question: str
    video_id: int
    who: str
    said: int | None
    """YES, NO, SKIPPED or WITHDRAWN."""
    at: int


@dataclass(frozen=True)
class Tally:
    """Votes on the videos of a catalogue that have any."""

    rows: NDArray[np.int32]
    yes: NDArray[np.int64]
    no: NDArray[np.int64]


@dataclass(frozen=True)
class Agreement:
    """Two people about the same video."""

    pairs: int
    differ: int
    error: float | None
    """Chance that one answer is wrong; None with too few pairs, or when they differ as much as coins."""


class Answers:
    """All answers of a log that count, kept up to date by reading on. Safe for many threads; other processes may write, too."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._lock = threading.Lock()
        self.offset = 0
        """How far in the log they reach."""
        self._standing: dict[tuple[str, str, int], Answer] = {}

    def add(self, answer: Answer) -> None:
        """Returns once the answer is on disk. Raises LogUnavailable: nothing is known to be kept, add it again."""
        self._log.append(to_table([answer]))
        self.refresh()

    def refresh(self) -> None:
        """Read on."""
        with self._lock:
            for events, reached in batches(self._log, self.offset):
                self.offset = reached
                for answer in from_table(events):
                    key = answer.question, answer.who, answer.video_id
                    self._standing.pop(key, None)
                    if answer.said is not WITHDRAWN:
                        self._standing[key] = answer

    def of(self, question: str, who: str | None = None) -> list[Answer]:
        """What counts, skipped ones included, by the order in which it was said."""
        with self._lock:
            found = list(self._standing.values())
        return [answer for answer in found if answer.question == question and who in (None, answer.who)]

    def tally(self, question: str, catalogue: Catalogue) -> Tally:
        """Votes by row of the catalogue, in row order."""
        said = [answer for answer in self.of(question) if answer.said]
        rows = catalogue.rows([answer.video_id for answer in said])
        votes = np.array([answer.said for answer in said], dtype=np.int64)[rows >= 0]
        distinct, place = np.unique(rows[rows >= 0], return_inverse=True)
        yes, no = (np.bincount(place[votes == vote], minlength=len(distinct)) for vote in (YES, NO))
        return Tally(distinct, yes, no)

    def agreement(self, question: str) -> Agreement:
        """Over all pairs of people who labelled the same video."""
        votes: dict[int, list[int]] = {}
        for answer in self.of(question):
            if answer.said:
                votes.setdefault(answer.video_id, []).append(answer.said)
        pairs = sum(len(said) * (len(said) - 1) // 2 for said in votes.values())
        differ = sum(said.count(YES) * said.count(NO) for said in votes.values())
        try:
            error = error_from_disagreement(differ / pairs) if pairs >= _LEAST_PAIRS else None
        except BadInput:
            error = None
        return Agreement(pairs, differ, error)

    def error(self, question: str) -> float:
        """The chance that an answer is wrong, as far as people have contradicted one another; 5 % until they could."""
        found = self.agreement(question).error
        return _USUAL_ERROR if found is None else float(np.clip(found, _LEAST_ERROR, _MOST_ERROR))

    def per_minute(self, question: str, who: str) -> float | None:
        """Answers per minute of this sitting, which a pause of two minutes ends; None before the second answer."""
        at = [answer.at for answer in self.of(question, who)]
        begin = len(at) - 1
        while begin > 0 and at[begin] - at[begin - 1] < _PAUSE_MS:
            begin -= 1
        took = at[-1] - at[begin] if at else 0
        return (len(at) - 1 - begin) * MINUTE_MS / took if took > 0 else None


def to_table(answers: list[Answer]) -> pa.Table:
    """Answers as events, schema `columns.EVENTS`."""
    rows = [
        {
            c.EVENT_ID: answer.label_id, c.KIND: ev.LABEL, c.EVENT_AT: answer.at, c.RECEIVED_AT: answer.at,
            c.VIEWER_ID: to_id(answer.who), c.VIDEO_ID: answer.video_id, c.SURFACE: answer.question,
            c.VALUE: answer.said, c.DETAIL: json.dumps({"who": answer.who}),
        }
        for answer in answers
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=c.EVENTS)


def from_table(events: pa.Table) -> list[Answer]:
    """The inverse of `to_table`."""
    return [
        Answer(
            label_id=row[c.EVENT_ID],
            question=row[c.SURFACE],
            video_id=row[c.VIDEO_ID],
            who=json.loads(row[c.DETAIL])["who"],
            said=None if row[c.VALUE] is None else int(row[c.VALUE]),
            at=row[c.RECEIVED_AT],
        )
        for row in events.to_pylist()
    ]
