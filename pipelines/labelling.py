"""Labels that people gave, and labels on their way into a release.

A space keeps people's answers in one file beside its live event log. `catalogues` hands labels on to training as columns of the
catalogue: what labelling functions make of the log up to an instant, corrected by what people have answered until today; what
a video is does not depend on when somebody looked. Knows nothing of models that use labels.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import polars as pl

from core import columns as c
from core.errors import BadInput
from core.event_log import SqliteEventLog
from data.catalogue import BEFORE, LABEL, VOTES, Catalogue
from data.dataset import Dataset
from data.labels.answers import FILE, NO, SKIPPED, YES, Agreement, Answers
from data.labels.functions import QUESTIONS
from data.labels.taught import Question
from data.splits import TimeSplit
from pipelines import spaces
from pipelines.labels import Answer, programmatic


@dataclass(frozen=True)
class Asked:
    """What people answered to one question; what they took back is left out."""

    question: str
    people: int
    videos: int
    yes: int
    no: int
    skipped: int
    agreement: Agreement


def folder(var_dir: Path, space: str | None) -> Path | None:
    """Of the named or current space; None where nothing has been trained yet."""
    return None if space is None and not (var_dir / "current").is_file() else spaces.current(var_dir, space).path


def people(space: Path | None) -> Answers | None:
    """What people have answered in the folder of a space; None where nobody was asked."""
    if space is None or not (space / FILE).is_file():
        return None
    log = SqliteEventLog(space / FILE)
    found = Answers(log)
    found.refresh()
    log.close()
    return found


def summary(space: Path | None) -> list[Asked]:
    """What people answered, by question. Raises BadInput where nobody was asked."""
    known, found = _somebody(space), []
    for question in QUESTIONS:
        answers = known.of(question)
        said, labels = [answer.said for answer in answers], [answer for answer in answers if answer.said]
        num_people, num_videos = len({answer.who for answer in labels}), len({answer.video_id for answer in labels})
        counts = (said.count(YES), said.count(NO), said.count(SKIPPED))
        found.append(Asked(question, num_people, num_videos, *counts, known.agreement(question)))
    return found


def exported(space: Path | None) -> pl.DataFrame:
    """One row per answer that counts: label_id, question, video_id, who, said, at. Raises BadInput where nobody was asked."""
    known = _somebody(space)
    names = {YES: "yes", NO: "no", SKIPPED: "skipped"}
    rows = [asdict(answer) | {"said": names[answer.said or SKIPPED]} for question in QUESTIONS for answer in known.of(question)]
    columns = {"label_id": pl.String, "question": pl.String, "video_id": pl.Int64, "who": pl.String, "said": pl.String}
    return pl.DataFrame(rows, schema={**columns, "at": pl.Int64})


def _somebody(space: Path | None) -> Answers:
    found = people(space)
    if found is None:
        raise BadInput("nobody has labelled anything here yet; run `upnext serve` with UPNEXT_ADMIN_TOKEN set and open /label")
    return found


def labelled(catalogue: Catalogue, answers: Sequence[Answer], asked: Answers | None) -> Catalogue:
    """The catalogue with the labels of every question that functions or people have answered."""
    columns = []
    for answer in answers:
        votes = pl.DataFrame(answer.votes_VF, schema=list(answer.names)).to_struct(VOTES + answer.question)
        columns += [answer.labels["probability"].alias(BEFORE + answer.question), votes]
    before = replace(catalogue, frame=catalogue.frame.with_columns(columns))
    after = {answer.question: before.frame[BEFORE + answer.question] for answer in answers}
    for name in QUESTIONS:
        tally = asked.tally(name, catalogue) if asked else None
        if asked and tally and len(tally.rows):
            after[name] = pl.Series(Question.of(before, name).probability(tally, asked.error(name)))
    return replace(before, frame=before.frame.with_columns(after[name].alias(LABEL + name) for name in sorted(after)))


def catalogues(dataset: Dataset, split: TimeSplit, space: Path, *, wanted: bool) -> tuple[Catalogue, Catalogue]:
    """The catalogue as it is released, with labels from the log before t0, and the one that the ranker learns from.

    The second's labels are from before the ranker's rows: of those rows' own outcomes, its features must know nothing. Both
    are without labels where they are not wanted, or the log does not say what was shown and nobody was asked.
    """
    catalogue = Catalogue.of(dataset.videos)
    if not wanted:
        return catalogue, catalogue
    asked = people(space)
    released, early = (labelled(catalogue, _known_before(dataset, at), asked) for at in (split.test_from, split.ranker_from))
    return (released, early) if released.labels.keys() == early.labels.keys() else (catalogue, catalogue)


def reach(space: Path) -> int:
    """How far the answers reach that `catalogues` would use: what is made from them is the same while this is."""
    asked = people(space)
    return asked.offset if asked else 0


def _known_before(dataset: Dataset, at: int) -> list[Answer]:
    past = replace(dataset, events=dataset.events.filter(pl.col(c.RECEIVED_AT) < at))
    return programmatic(past) if past.has_impressions else []


def corrected(answer: Answer, dataset: Dataset, asked: Answers) -> Answer:
    """What the label model made of a question, corrected by what people answered."""
    catalogue = labelled(Catalogue.of(dataset.videos), [answer], asked)
    after = catalogue.frame[LABEL + answer.question].alias("probability")
    return replace(
        answer, labels=answer.labels.with_columns(after), num_human=len(asked.tally(answer.question, catalogue).rows)
    )
