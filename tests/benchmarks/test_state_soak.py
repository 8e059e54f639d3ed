from itertools import pairwise

import numpy as np

from benchmarks import state_soak
from core import columns as c
from core.settings import Settings
from features import redis_server

PLAN = state_soak.Plan(events=20_000, batch=2_000, viewers=800, present=50, days=60, sample_every=5)


def test_viewers_come_and_go_while_time_passes():
    first, *_, last = found = list(state_soak.batches(PLAN, np.array([5, 7])))
    assert sum(map(len, found)) == PLAN.events
    assert last[c.VIEWER_ID].max() > first[c.VIEWER_ID].max()
    stayed = set(first[c.VIEWER_ID]) & set(last[c.VIEWER_ID])
    assert max(stayed, default=0) < state_soak._KEEN
    assert all(one[c.RECEIVED_AT].max() < other[c.RECEIVED_AT].min() for one, other in pairwise(found))


def test_the_store_is_measured_against_its_bounds(tmp_path):
    with redis_server.running(Settings(tmp_path, None, None, None)) as url:
        found = state_soak.soak(PLAN, url, ttl_s=100)
    assert [one["events"] for one in found["samples"]] == [2_000, 10_000, 20_000]
    bounds = found["bounds"]
    assert bounds["without_expiry"] == 0
    assert all(0 < one["longest"] <= one["bound"] for one in (bounds[name] for name in ("counters", "clicks", "watches")))
    state_soak.draw(found["samples"], tmp_path / "curve.svg")
    assert (tmp_path / "curve.svg").read_text().count("<polyline") == 2
