import json
import threading
from dataclasses import replace

import numpy as np
import pytest

from core import columns as c
from core import events as ev
from core.clock import ManualClock
from core.policy import Request
from experiments.evidence import FAULTY, PAGE_MS
from serving import fakes
from serving.impressions import ImpressionLogger, to_table
from serving.recommender import Recommender


def pages(n=1, k=5):
    requests = [Request(f"r{i}", 1, fakes.NOW, k=k) for i in range(n)]
    return requests, Recommender(fakes.parts()).recommend(requests)


def test_one_event_per_slot_with_what_off_policy_estimates_need():
    requests, slates = pages(2)
    table = to_table(requests, slates, fakes.NOW + 9)
    assert table.schema == c.EVENTS
    assert table[c.EVENT_ID].to_pylist() == [f"r{i}:{p}" for i in range(2) for p in range(5)]
    assert table[c.POSITION].to_pylist() == [0, 1, 2, 3, 4] * 2
    assert table[c.VIDEO_ID].to_pylist() == np.concatenate([s.video_ids for s in slates]).tolist()
    assert table[c.PROPENSITY].to_pylist() == np.concatenate([s.propensities for s in slates]).tolist()
    assert set(table[c.RECEIVED_AT].to_pylist()) == {fakes.NOW + 9}
    assert set(table[c.FEATURE_HASH].to_pylist()) == {s.feature_hash for s in slates}
    scores = json.loads(table[c.DETAIL][3].as_py())
    assert scores["click"] == pytest.approx(float(slates[0].scores["click"][3]), abs=1e-6)
    event = ev.from_table(table)[6]
    assert isinstance(event, ev.Impression)
    assert event.position == 1
    assert event.release_id == "fake"


def test_how_a_page_was_made_is_told_once():
    (request,), (slate,) = pages()
    late = replace(slate, degraded=("time ran out: this page does without variety",), stage_ms={"ranker": 3.0, "rerank": 4.5})
    for page, faulty in (
        (late, 1.0),
        (replace(late, degraded=("this viewer is new here: the page is not personal yet",)), 0.0),
    ):
        first, *rest = (json.loads(detail) for detail in to_table([request], [page], fakes.NOW)[c.DETAIL].to_pylist())
        assert (first[PAGE_MS], first[FAULTY]) == (7.5, faulty)
        assert not any(PAGE_MS in other for other in rest)


def test_nothing_shown_makes_no_events():
    requests, slates = pages(1, k=0)
    assert len(to_table(requests, slates, fakes.NOW)) == 0
    assert to_table([], [], fakes.NOW).schema == c.EVENTS


def test_pages_reach_the_log_once_even_when_put_twice():
    log = fakes.MemoryLog()
    logger = ImpressionLogger(log, ManualClock(fakes.NOW))
    logger.start()
    requests, slates = pages(3)
    logger.put(requests, slates)
    logger.put(requests, slates)
    logger.close()
    assert len(log.read()[0]) == 15
    assert logger.dropped == logger.queued == 0


def test_a_full_queue_drops_and_counts_and_never_waits():
    logger = ImpressionLogger(fakes.MemoryLog(), ManualClock(fakes.NOW), capacity=2)
    requests, slates = pages(5)
    logger.put(requests, slates)
    assert logger.queued == 2
    assert logger.dropped == 3


def test_a_short_outage_loses_nothing_and_a_long_one_is_counted():
    log = fakes.MemoryLog()
    requests, slates = pages(2)
    for attempts, expected in ((8, 0), (1, 1)):
        log.down = True
        logger = ImpressionLogger(log, ManualClock(fakes.NOW), attempts=attempts, backoff_s=0.005)
        logger.start()
        logger.put(requests[:1], slates[:1])
        if not expected:
            threading.Timer(0.03, lambda: setattr(log, "down", False)).start()
        assert logger.flush(5.0)
        logger.close()
        assert logger.dropped == expected
    log.down = False
    assert len(log.read()[0]) == 5


def test_a_page_that_cannot_be_written_does_not_end_the_thread():
    log = fakes.MemoryLog()
    logger = ImpressionLogger(log, ManualClock(fakes.NOW))
    logger.start()
    requests, slates = pages(1)
    logger.put([object()], slates)  # type: ignore[list-item]
    assert logger.flush(5.0)
    logger.put(requests, slates)
    logger.close()
    assert logger.dropped == 1
    assert len(log.read()[0]) == 5
