"""What both models say together, and how much of it is LightGBM's."""

import numpy as np
import pytest

from core.rng import stream
from pipelines.rated import log as rated_log
from pipelines.rated import tuning
from pipelines.rated.tuning import AVERAGED, RANKER
from tests.pipelines.rated import made as rated

HEADS = ("click", "watch")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return rated_log.read(rated.write(tmp_path_factory.mktemp("rated"), rated.frame(600))[0])


def said(rows, noise):
    """Each head's labels through noise: log-odds and log seconds."""
    truth = {"click": 2.0 * rows.labels["click"] - 1.0, "watch": np.log(rows.labels["watch"] + 0.1)}
    return {head: truth[head] + stream(0, "said", noise * 10).normal(scale=noise, size=len(rows)) for head in HEADS}


def test_together_is_a_weighted_mean_of_raw_scores():
    raw = {RANKER: {"click": np.array([0.0, 4.0])}, AVERAGED: {"click": np.array([2.0, 0.0])}}
    assert tuning.together(raw, {"click": 0.25})["click"].tolist() == [0.5, 3.0]


@pytest.mark.parametrize("head", HEADS)
def test_the_better_model_is_heard_more(rows, head):
    good, bad = said(rows, 0.3), said(rows, 3.0)
    assert tuning._share(rows, head, {RANKER: good, AVERAGED: bad}) == 0.25
    assert tuning._share(rows, head, {RANKER: bad, AVERAGED: good}) == 0.75


def test_models_that_err_differently_are_both_heard(rows):
    raw = {RANKER: said(rows, 1.9), AVERAGED: said(rows, 2.0)}
    assert tuning._share(rows, "click", raw) in (0.375, 0.5, 0.625)


def test_models_that_cannot_be_told_apart_share_evenly(rows):
    same = said(rows, 1.0)
    assert tuning._share(rows, "click", {RANKER: same, AVERAGED: same}) == 0.5
