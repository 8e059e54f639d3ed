"""What a new viewer says to like is heard until clicks speak for themselves."""

from dataclasses import replace

import numpy as np
import pytest

from core.policy import Request
from ranking.config import RerankConfig
from serving import fakes, trace
from serving.config import ExplorationConfig, ServingConfig
from serving.onboarding import HEARD_UNTIL, PER_TOPIC, Onboarding
from serving.recommender import Recommender

GREEDY = ServingConfig(exploration=ExplorationConfig(epsilon=0.0), rerank=RerankConfig(diversity=0.0, channel_cap=0))
STRANGER = 99


@pytest.fixture
def parts():
    return fakes.parts(config=GREEDY)


def page(parts, viewer_id, *topics, **more):
    (slate,) = Recommender(parts).recommend([Request("r", viewer_id, fakes.NOW, topics=topics, **more)])
    return slate, [fakes.TOPICS[video_id % 4] for video_id in slate.video_ids]


def test_a_stranger_who_names_a_topic_gets_a_page_of_it(parts):
    slate, shown = page(parts, STRANGER, "Cooking")
    assert shown.count("Cooking") >= 8
    assert slate.degraded == ()
    assert page(parts, STRANGER)[0].degraded == (trace.UNKNOWN_VIEWER,)


def test_what_stands_for_a_topic_does_not_count_as_seen(parts):
    most_clicked = parts.catalogue.video_ids[parts.catalogue.category == parts.catalogue.vocabularies[0].values.index("Music")][
        0
    ]
    assert most_clicked in page(parts, STRANGER, "Music", k=50)[0].video_ids


def test_a_longer_history_speaks_for_itself():
    known = fakes.parts(histories={1: [3, 7, 11, 15, 19]}, config=GREEDY)
    told, asked = page(known, 1, "Cooking")[0], page(known, 1)[0]
    assert np.array_equal(told.video_ids, asked.video_ids)


def test_unknown_topics_are_passed_over(parts):
    assert page(parts, STRANGER, "Knitting")[0].degraded == (trace.UNKNOWN_VIEWER,)
    assert page(parts, STRANGER, "Knitting", "Cooking")[1] == page(parts, STRANGER, "Cooking")[1]


def test_nobody_could_compute_the_features_of_such_a_page_again(parts):
    assert page(parts, STRANGER)[0].feature_hash is not None
    assert page(parts, STRANGER, "Cooking")[0].feature_hash is None


def test_topics_take_turns(parts):
    at = np.full(2, fakes.NOW)
    before = parts.features.viewer_part(np.array([STRANGER, STRANGER]), at)
    after = parts.onboarding.begin(before, [("Chess", "Music", "Chess"), ()], at)
    rows = after.history_BL[0][after.history_BL[0] >= 0]
    assert [fakes.TOPICS[row % 4] for row in parts.catalogue.video_ids[rows]] == ["Chess", "Music"] * PER_TOPIC
    assert np.array_equal(rows[::2], np.sort(rows[::2]))  # the fakes' clicks fall with the row
    assert (after.history_BL[1] < 0).all()
    assert (before.history_BL < 0).all()  # nothing was changed in place


def test_clicks_come_before_topics_once_each():
    parts = fakes.parts(histories={1: [0, 199], 2: list(range(HEARD_UNTIL))})
    at = np.full(2, fakes.NOW)
    before = parts.features.viewer_part(np.array([1, 2]), at)
    own = before.history_BL[0][:2].tolist()
    after = parts.onboarding.begin(before, [fakes.TOPICS[1:2], fakes.TOPICS], at)  # row 0 stands for that topic, too
    assert after.history_BL[0].tolist()[:4] == [*own, 4, 8]
    assert (after.history_BL[0, 4:] < 0).all()
    assert after.history_age_BL[0, 2:4].tolist() == [before.history_age_BL[0, 1]] * 2
    assert np.array_equal(after.history_BL[1], before.history_BL[1])


def test_a_topic_is_what_had_been_uploaded_by_then(parts):
    counts = fakes.Counts(np.arange(200, dtype=np.float32), np.zeros(200, dtype=np.float32))
    then = np.array([int(parts.catalogue.uploaded_at[3])])  # of 200 videos, four were there
    before = parts.features.viewer_part(np.array([STRANGER]), then)
    history = Onboarding(parts.catalogue, counts).begin(before, [fakes.TOPICS], then).history_BL[0]
    assert sorted(history[history >= 0].tolist()) == [0, 1, 2, 3]


def test_while_it_fails_the_page_comes_without(parts):
    class Failing:
        def begin(self, *_):
            raise RuntimeError("no")

    slate, _ = page(replace(parts, onboarding=Failing()), STRANGER, "Cooking")
    assert slate.degraded == (trace.NO_TOPICS, trace.UNKNOWN_VIEWER)
    assert len(slate.video_ids)
