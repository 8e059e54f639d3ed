"""Deadlines: what begins too late is left out, said so, and there is still a page."""

import dataclasses
import time

import numpy as np

from core.policy import Request
from serving import fakes, trace
from serving.config import ExplorationConfig, ServingConfig
from serving.recommender import Recommender
from serving.trace import Trace, out_of_time

GREEDY = ExplorationConfig(epsilon=0.0)


def ask(parts, allowed_s, viewer_id=1):
    request = Request("r", viewer_id, fakes.NOW, answer_by_s=None if allowed_s is None else time.monotonic() + allowed_s)
    return Recommender(parts).recommend([request])[0]


def test_with_time_left_a_deadline_changes_nothing():
    parts = fakes.parts()
    hurried, calm = ask(parts, 3_600.0), ask(parts, None)
    assert np.array_equal(hurried.video_ids, calm.video_ids)
    assert hurried.degraded == calm.degraded == ()


def test_a_page_whose_time_was_up_on_arrival_still_comes_with_reasons():
    slate = ask(fakes.parts(config=ServingConfig(exploration=GREEDY)), -1.0)
    assert len(slate.video_ids) == 10
    assert set(slate.sources) == {"trending"}
    assert set(slate.scores) == {"utility"}
    assert slate.degraded == tuple(map(out_of_time, ("viewer_features", "viewer_vector", "sources", "ranker", "rerank")))


def test_no_stage_begins_after_the_deadline(monkeypatch):
    """The clock passes the deadline while the viewer's vector is made."""
    now = [0.0]
    monkeypatch.setattr(trace.time, "monotonic", lambda: now[0])

    class Slow(fakes.Encoder):
        def encode(self, part):
            now[0] = 10.0
            return super().encode(part)

    parts = fakes.parts(config=ServingConfig(exploration=GREEDY))
    parts = dataclasses.replace(parts, encoder=Slow(parts.video_VD))
    slate = Recommender(parts).recommend([Request("r", 1, fakes.NOW, answer_by_s=5.0)])[0]
    assert set(slate.sources) == {"two_tower"}
    assert set(slate.scores) == {"affinity", "utility"}
    assert (np.diff(slate.scores["affinity"]) <= 1e-6).all()
    assert slate.degraded == tuple(map(out_of_time, ("sources", "ranker", "rerank")))


def test_where_nobody_waits_nothing_is_left_out(monkeypatch):
    monkeypatch.setattr(trace.time, "monotonic", lambda: 1e12)
    assert ask(fakes.parts(), None).degraded == ()


def test_a_trace_knows_its_stage_and_what_is_needed():
    log = Trace(2, answer_by_s=time.monotonic() - 1)
    with log.stage("rerank"):
        assert log.attempt(lambda: 1, "broken", np.array([False, True])) is None
        assert log.attempt(lambda: 1, "broken", needed=True) == 1
    assert log.degraded(0) == ()
    assert log.degraded(1) == (out_of_time("rerank"),)
