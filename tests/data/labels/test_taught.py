"""A label model corrected by people."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.special import expit, logit

from core import rng
from data.catalogue import BEFORE, VOTES, Catalogue
from data.labels.answers import Tally
from data.labels.taught import Question
from serving import fakes

NOBODY = Tally(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int64))


def with_labels(num=400):
    """Videos of four categories; the truth is the category, the one function knows it of two of them only."""
    catalogue = fakes.catalogue(num)
    truth = catalogue.category % 2 == 1
    vote = np.where(catalogue.category <= 2, np.where(truth, 1, -1), 0)
    frame = catalogue.frame.with_columns(
        pl.Series(BEFORE + "kids", np.where(vote == 0, 0.5, np.where(vote > 0, 0.9, 0.1))),
        pl.DataFrame({"knows": vote.astype(np.int8)}).to_struct(VOTES + "kids"),
    )
    return replace(catalogue, frame=frame), truth


def tally(rows, truth):
    rows = np.unique(rows).astype(np.int32)
    return Tally(rows, truth[rows].astype(np.int64), (~truth[rows]).astype(np.int64))


def test_without_answers_it_is_the_label_model():
    catalogue, _ = with_labels()
    question = Question.of(catalogue, "kids")
    assert question.probability(NOBODY, 0.05) == pytest.approx(catalogue.frame[BEFORE + "kids"].to_numpy())
    assert question.functions == ("knows",)
    assert Question.of(Catalogue.of(catalogue.frame), "clickbait").probability(NOBODY, 0.05) == pytest.approx(0.5)


def test_people_teach_what_functions_do_not_know():
    catalogue, truth = with_labels()
    question, rows = Question.of(catalogue, "kids"), rng.stream(1, "asked").choice(400, 80, replace=False)
    found = question.probability(tally(rows, truth), 0.05)
    assert ((found > 0.5) == truth).mean() == 1.0
    silent = question.votes_NF[:, 0] == 0
    assert (question.probability(NOBODY, 0.05)[silent] == 0.5).all()


def test_votes_add_their_log_odds_where_nothing_else_is_learned():
    catalogue, _ = with_labels()
    bare = replace(Question.of(catalogue, "kids"), x_ND=np.zeros((400, 1), np.float32))
    asked = Tally(np.array([0, 1], np.int32), np.array([3, 1]), np.array([1, 1]))
    before, found = bare.odds_N, bare.probability(asked, 0.1)
    assert abs(found[1] - expit(before[1])) < 0.05  # one for, one against
    assert logit(found[0]) - before[0] == pytest.approx(2 * np.log(9), abs=0.3)


def test_one_slip_against_all_odds_changes_little_and_many_agreeing_people_much():
    catalogue, _ = with_labels()
    question = Question.of(catalogue, "kids")
    sure = int(np.flatnonzero(question.votes_NF[:, 0] == -1)[0])
    one, five = (question.probability(Tally(np.array([sure], np.int32), np.array([n]), np.array([0])), 0.05) for n in (1, 5))
    assert one[sure] < 0.75
    assert five[sure] > 0.99
