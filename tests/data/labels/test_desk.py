"""What is asked next, and what is told when."""

import numpy as np
import pytest

from app.fakes import MemoryLog
from data.labels.answers import NO, SKIPPED, YES, Answer, Answers
from data.labels.desk import Desk
from tests.data.labels.test_taught import with_labels


def label(answers, video_id, said, who):
    answers.add(Answer(f"{who}:{video_id}", "kids", video_id, who, said, 0))


@pytest.fixture
def answers():
    return Answers(MemoryLog())


def test_it_asks_where_the_functions_are_silent_and_never_twice(answers):
    catalogue, _ = with_labels(40)
    desk, unsure = Desk(catalogue, answers), catalogue.frame["before_kids"].to_numpy() == 0.5
    asked = []
    while (video_id := desk.next("kids", "ada")) is not None:
        assert desk.next("kids", "ada") == video_id  # the page may be loaded again
        asked.append(int(catalogue.rows([video_id])[0]))
        label(answers, video_id, SKIPPED, "ada")
    assert sorted(asked) == list(range(40))
    assert unsure[asked[: unsure.sum()]].mean() > 0.7
    assert not unsure[asked[-5:]].any()


def test_nobody_is_asked_about_what_was_taken_down(answers):
    catalogue, _ = with_labels(10)
    desk = Desk(catalogue, answers)
    assert desk.next("kids", "ada", gone=catalogue.video_ids[1:].tolist()) == catalogue.video_ids[0]
    assert desk.next("kids", "ada", gone=catalogue.video_ids) is None


def test_some_videos_are_asked_again_of_somebody_else(answers):
    catalogue, truth = with_labels(400)
    desk = Desk(catalogue, answers)
    mine = catalogue.video_ids[np.flatnonzero(catalogue.category <= 2)[:60]]  # those that no margin would choose
    for video_id in mine:
        label(answers, int(video_id), YES if truth[catalogue.rows([video_id])[0]] else NO, "ada")
    again = 0
    for _ in range(100):
        video_id = desk.next("kids", "bob")
        again += video_id in mine
        label(answers, video_id, YES, "bob")
    assert 4 <= again <= 25
    assert desk.progress("kids", "bob")["pairs"] == again


def test_an_answer_is_learned_from_only_after_refitting(answers):
    catalogue, truth = with_labels(100)
    desk, asked = Desk(catalogue, answers), []
    for _ in range(30):
        asked.append(desk.next("kids", "ada"))
        label(answers, asked[-1], YES if truth[catalogue.rows([asked[-1]])[0]] else NO, "ada")
    before = desk.reveal("kids", asked[0], "ada")
    assert before.probability == pytest.approx(catalogue.frame["before_kids"][int(catalogue.rows([asked[0]])[0])])
    desk.refit("kids")
    after = desk.reveal("kids", asked[0], "ada")
    assert (after.probability > 0.5) == truth[catalogue.rows([asked[0]])[0]]
    assert list(after.functions) == ["knows"]
    assert desk.reveal("kids", asked[0], "bob").others == {
        "yes": int(truth[catalogue.rows([asked[0]])[0]]),
        "no": int(not truth[catalogue.rows([asked[0]])[0]]),
    }
    assert desk.reveal("kids", 10_000, "ada") is None
