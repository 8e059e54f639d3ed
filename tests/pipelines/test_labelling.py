"""Labels on their way into a release: what is known when, and whose word counts."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from core import columns as c
from core.errors import BadInput
from core.event_log import SqliteEventLog
from data.catalogue import BEFORE, LABEL, Catalogue
from data.labels.answers import FILE, NO, YES, Answer, Answers
from data.splits import global_time_split
from data.world import kinds, simulate
from data.world.config import tiny
from data.world.world import World
from pipelines import labelling, labels


@pytest.fixture(scope="module")
def dataset():
    return simulate.generate(tiny())


@pytest.fixture(scope="module")
def split(dataset):
    return global_time_split(dataset.events, 0.1, 0.2)


def asked(space, question, truth, catalogue, num):
    answers = Answers(SqliteEventLog(space / FILE))
    for row in range(num):
        said = YES if truth[row] else NO
        answers.add(Answer(f"{question}{row}", question, int(catalogue.video_ids[row]), "ada", said, row))


def test_without_being_wanted_the_catalogue_is_what_it_was(dataset, split, tmp_path):
    released, early = labelling.catalogues(dataset, split, tmp_path, wanted=False)
    assert released is early
    assert released.labels == {}
    assert released.frame.columns == dataset.videos.columns


def test_labels_know_nothing_of_what_comes_later(dataset, split, tmp_path):
    cut = pl.col(c.RECEIVED_AT) < split.ranker_from
    released, early = labelling.catalogues(dataset, split, tmp_path, wanted=True)
    past = replace(dataset, events=dataset.events.filter(cut))
    alone = labelling.labelled(early, labels.programmatic(past), None)
    assert list(released.labels) == list(early.labels) == ["clickbait", "kids"]
    assert (early.labels["clickbait"] == alone.labels["clickbait"]).all()
    assert (early.labels["clickbait"] != released.labels["clickbait"]).any()


def test_labels_tell_the_truth_apart_and_people_improve_them(dataset, split, tmp_path):
    truth = kinds.is_for_kids(World(tiny()))
    functions, _ = labelling.catalogues(dataset, split, tmp_path, wanted=True)
    asked(tmp_path, "kids", truth, functions, 200)
    people, _ = labelling.catalogues(dataset, split, tmp_path, wanted=True)
    right = [((found.labels["kids"] > 0.5) == truth)[200:].mean() for found in (functions, people)]
    assert right[1] > right[0] + 0.03
    assert (people.frame[BEFORE + "kids"] == functions.frame[LABEL + "kids"]).all()
    assert labelling.reach(tmp_path) == 200


def test_a_log_without_impressions_has_people_only(dataset, split, tmp_path):
    clicks = replace(dataset, events=dataset.events.filter(pl.col(c.KIND) == "click"))
    assert labelling.catalogues(clicks, split, tmp_path, wanted=True)[0].labels == {}
    asked(tmp_path, "kids", np.ones(800, dtype=bool), Catalogue.of(clicks.videos), 5)
    found, _ = labelling.catalogues(clicks, split, tmp_path, wanted=True)
    assert list(found.labels) == ["kids"]
    assert found.labels["kids"][:5].min() > 0.9


def test_nobody_asked_says_what_to_do(tmp_path):
    with pytest.raises(BadInput, match="open /label"):
        labelling.exported(tmp_path)
