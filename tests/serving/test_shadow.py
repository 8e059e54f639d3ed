import threading
import time
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from core import rng
from core.clock import ManualClock
from core.policy import HOME, Request
from serving import counterfactual, fakes
from serving.counterfactual import Recorder, Subjects
from serving.impressions import ImpressionLogger
from serving.recommender import Recommender
from serving.shadow import Shadow, compare
from serving.witness import Notebook


def page(n=0):
    request = Request(f"r{n}", 1, fakes.NOW, k=5)
    return [request], Recommender(fakes.parts()).recommend([request])


def test_a_challenger_that_hangs_delays_nobody_and_what_is_dropped_is_counted():
    hang, entered = threading.Event(), threading.Event()

    def challenger(request, slate):
        entered.set()
        hang.wait(30)

    shadow = Shadow(challenger, lambda: 1.0, capacity=3)
    log = fakes.MemoryLog()
    impressions = ImpressionLogger(log, ManualClock(fakes.NOW), also=shadow.put)
    shadow.start()
    impressions.start()
    requests, slates = page()
    impressions.put(requests, slates)
    assert entered.wait(10)
    began = time.monotonic()
    for n in range(1, 11):
        impressions.put([replace(requests[0], request_id=f"r{n}")], slates)
    assert time.monotonic() - began < 5  # the challenger hangs for thirty
    assert (shadow.queued, shadow.dropped, shadow.done) == (3, 7, 0)
    assert impressions.flush(10)
    assert len(log.read()[0]) == 55
    assert not shadow.close(0.05)
    hang.set()
    assert shadow.close(10)
    impressions.close()


def test_work_that_fails_is_counted_and_does_not_end_the_thread():
    seen = []

    def work(request, slate):
        seen.append(request.request_id)
        if request.request_id == "r1":
            raise RuntimeError("broken")

    shadow = Shadow(work, lambda: 1.0)
    shadow.start()
    for n in range(3):
        shadow.put(*[[each[0]] for each in page(n)])
    assert shadow.flush(10)
    shadow.close()
    assert (seen, shadow.done, shadow.dropped) == (["r0", "r1", "r2"], 2, 1)


def test_the_sample_follows_from_the_request():
    shadow = Shadow(lambda request, slate: None, lambda: 0.3, capacity=1000)
    requests = [Request(f"q{i}", 1, 0) for i in range(1000)]
    shadow.put(requests, page()[1] * 1000)
    assert shadow.queued == sum(rng.uniforms(1, 0, "record", r.request_id)[0] < 0.3 for r in requests)
    assert 250 < shadow.queued < 350


def records(challenger, viewers=(1, 2, 3), histories=None):
    live = Recommender(fakes.parts(histories=histories))
    rows, notes = [], Notebook()
    recorder = Recorder(lambda: Subjects(lambda request: live, fakes.viewers(), challenger, notes), rows.append)
    for viewer in viewers:
        request = Request(f"r{viewer}", viewer, fakes.NOW, surface=HOME, k=5)
        recorder(request, notes.over(live).recommend([request])[0])
    return pl.DataFrame(pl.from_arrow(counterfactual.to_table(rows)))


def test_the_same_policy_in_the_shadow_is_no_different():
    everything, *slices = compare(records(Recommender(fakes.parts())))["fake"]
    assert (everything.slice, everything.requests) == ("all", 3)
    assert (everything.overlap, everything.rbo, everything.same, everything.score_ks) == pytest.approx((1, 1, 1, 0))
    assert (everything.shadow_failed, everything.live_failed) == (0, 0)
    assert {each.slice: each.requests for each in slices} == {
        "surface home": 3, "viewer warm": 1, "viewer cold": 2, "country unknown": 3,
    }  # fmt: skip


def test_another_policy_differs_where_its_viewers_do():
    other = Recommender(replace(fakes.parts(histories={1: [4, 8, 12]}), release_id="other"))
    by_slice = {each.slice: each for each in compare(records(other))["other"]}
    assert by_slice["viewer warm"].same == 0
    assert by_slice["viewer warm"].overlap < 1
    assert by_slice["viewer cold"].same == 1
    assert by_slice["all"].overlap == pytest.approx((2 + by_slice["viewer warm"].overlap) / 3)


def test_a_challenger_that_raises_has_failed_and_says_why():
    class Raises(Recommender):
        pass

    broken = Raises(fakes.parts())
    broken.parts = replace(fakes.parts(), catalogue=fakes.catalogue(0), release_id="worse")  # parts that do not fit
    found = records(broken)
    assert found["shadow_failed"].all()
    assert found["shadow_error"].str.len_chars().min() > 5
    (everything, *_) = compare(found)["worse"]
    assert (everything.shadow_failed, everything.live_failed) == (1, 0)
    assert np.isnan(everything.overlap)
