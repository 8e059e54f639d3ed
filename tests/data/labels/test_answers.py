"""What people answered: what counts, what agreement says, and that nothing acknowledged is lost."""

import pytest

from app.fakes import MemoryLog
from core.event_log import SqliteEventLog
from data.labels.answers import NO, SKIPPED, WITHDRAWN, YES, Answer, Answers
from serving import fakes


def answer(video_id, said, who="ada", at=0, question="kids", label_id=None):
    return Answer(label_id or f"{question}{who}{video_id}{said}{at}", question, video_id, who, said, at)


def said(answers, *more, **kw):
    for one in (*more,):
        answers.add(one)
    return {(one.who, one.video_id): one.said for one in answers.of("kids", **kw)}


def test_the_last_word_counts_and_can_be_taken_back():
    answers = Answers(MemoryLog())
    assert said(answers, answer(1, YES), answer(1, NO, at=1), answer(2, SKIPPED)) == {("ada", 1): NO, ("ada", 2): SKIPPED}
    assert said(answers, answer(1, WITHDRAWN, at=2)) == {("ada", 2): SKIPPED}
    assert said(answers, answer(1, YES, at=3), answer(1, YES, "bob"), who="ada") == {("ada", 2): SKIPPED, ("ada", 1): YES}
    assert answers.of("clickbait") == []


def test_what_is_sent_twice_counts_once():
    answers = Answers(MemoryLog())
    answers.add(answer(1, YES, label_id="the same"))
    answers.add(answer(1, WITHDRAWN, at=1))
    answers.add(answer(1, YES, label_id="the same"))
    assert answers.of("kids") == []


def test_an_answer_is_in_the_file_when_it_is_acknowledged(tmp_path):
    path = tmp_path / "labels.db"
    Answers(SqliteEventLog(path)).add(answer(7, YES, "Zoë", at=5))
    other = Answers(SqliteEventLog(path))  # another process: nothing was closed, nothing flushed later
    assert other.of("kids") == []
    other.refresh()
    assert other.of("kids") == [answer(7, YES, "Zoë", at=5)]


def test_tally_by_row():
    answers = Answers(MemoryLog())
    for one in (answer(9, YES), answer(9, NO, "bob"), answer(3, NO), answer(4, SKIPPED), answer(10_000, YES)):
        answers.add(one)
    tally = answers.tally("kids", fakes.catalogue(20))
    assert (tally.rows.tolist(), tally.yes.tolist(), tally.no.tolist()) == ([2, 8], [0, 1], [1, 1])


def test_disagreement_gives_the_error_once_there_is_enough_of_it():
    answers = Answers(MemoryLog())
    for video in range(50):
        answers.add(answer(video, YES))
        answers.add(answer(video, NO if video < 9 else YES, "bob"))
        if video == 10:
            assert answers.agreement("kids").error is None
            assert answers.error("kids") == 0.05
    found = answers.agreement("kids")
    assert (found.pairs, found.differ) == (50, 9)
    assert found.error == pytest.approx(0.1)  # 2 · .1 · .9 = .18
    for video in range(50):
        answers.add(answer(video, YES if video < 9 else NO, "bob", at=1))
    assert answers.agreement("kids").error is None  # they differ more than coins


def test_a_pause_ends_the_sitting():
    answers = Answers(MemoryLog())
    assert answers.per_minute("kids", "ada") is None
    for video, minutes in enumerate((0, 1, 10, 10.5, 11)):
        answers.add(answer(video, YES, at=int(minutes * 60_000)))
    assert answers.per_minute("kids", "ada") == pytest.approx(2.0)
