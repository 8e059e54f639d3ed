"""Training and serving read the same numbers: bit for bit, on any log, with either store."""

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import columns as c
from core.settings import Settings
from features import offline
from features.definitions import default_definitions
from features.memory_store import MemoryStore
from features.online import OnlineFeatures
from features.redis_server import running
from features.redis_store import RedisStore
from features.states import ViewerStates, viewer_states
from features.video_state import VideoState
from tests.features import logs

CATALOGUE, VIEWERS, DEFINITIONS = logs.catalogue(), logs.viewers(), default_definitions(shelved=True)
_NAMESPACES = itertools.count()
_QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
REQUESTS = st.lists(st.tuples(logs.instants(), st.sampled_from([*logs.VIEWER_IDS.tolist(), 77])), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with running(Settings(tmp_path_factory.mktemp("var"), None, None, None)) as found:
        yield found


def equal(left, right):
    """Two dataclasses of arrays hold the same bits."""
    for name in left.__dataclass_fields__:
        a, b = getattr(left, name), getattr(right, name)
        if name == "seen":
            assert [rows.tolist() for rows in a] == [rows.tolist() for rows in b]
        elif name == "viewer":
            equal(a, b)
        else:
            assert a.dtype == b.dtype, name
            np.testing.assert_array_equal(a, b, err_msg=name)


def replay(events: pl.DataFrame, requests, store, chunk: int, *, videos=None, after=-(2**62)):
    """Feed the log in small batches, and stop before each request to compare."""
    online = OnlineFeatures(DEFINITIONS, CATALOGUE, VIEWERS, store, videos or VideoState.empty(CATALOGUE, DEFINITIONS))
    requests = sorted(requests)
    at, viewer_ids = np.array([r[0] for r in requests]), np.array([r[1] for r in requests])
    video_RK = np.random.default_rng(chunk).integers(0, len(CATALOGUE), (len(at), 7)).astype(np.int32)
    built = offline.build(
        events, CATALOGUE, VIEWERS, viewer_ids=viewer_ids, at=at, video_rows=video_RK, with_seen=True, definitions=DEFINITIONS
    )
    received, fed = events[c.RECEIVED_AT].to_numpy(), int(np.searchsorted(events[c.RECEIVED_AT].to_numpy(), after))
    for row in range(len(at)):
        until = int(np.searchsorted(received, at[row]))
        for begin in range(fed, until, chunk):
            online.apply(events[begin : min(begin + chunk, until)].to_arrow().cast(c.EVENTS))
        fed = max(fed, until)
        part = online.viewer_part(viewer_ids[[row]], at[[row]])
        equal(online.assemble(part, video_RK[[row]], at[[row]]), built.batch(np.array([row])))
    return online, built


@_QUICK
@given(logs.event_logs(), REQUESTS, st.integers(1, 30))
def test_memory_store(events, requests, chunk):
    replay(events, requests, MemoryStore(), chunk)


@settings(_QUICK, max_examples=25)
@given(logs.event_logs(), REQUESTS, st.integers(1, 30))
def test_redis_store(url, events, requests, chunk):
    store = RedisStore(url, f"parity{next(_NAMESPACES)}", timeout_s=5.0)
    try:
        replay(events, requests, store, chunk)
    finally:
        store.close()


@_QUICK
@given(logs.event_logs(), REQUESTS, logs.instants(), st.integers(1, 30))
def test_release_then_stream(tmp_path_factory, events, requests, as_of, chunk):
    """Bulk states at an instant, saved and loaded, then the stream: the same as the stream alone."""
    folder = tmp_path_factory.mktemp("release")
    viewer_states(events, CATALOGUE, DEFINITIONS, as_of).save(folder / "viewers.parquet")
    VideoState.from_events(events, CATALOGUE, DEFINITIONS, as_of).save(folder / "videos.safetensors")
    store = MemoryStore()
    store.load(ViewerStates.load(folder / "viewers.parquet"))
    later = [(max(at, as_of), viewer) for at, viewer in requests]
    replay(events, later, store, chunk, videos=VideoState.load(folder / "videos.safetensors", DEFINITIONS), after=as_of)


def test_batches_equal_single_requests():
    """A number does not depend on what else is asked for in the same call."""
    events = logs.random_log(3, 4_000)
    end = int(events[c.RECEIVED_AT].max()) + 1
    store = MemoryStore()
    store.load(viewer_states(events, CATALOGUE, DEFINITIONS, end))
    online = OnlineFeatures(DEFINITIONS, CATALOGUE, VIEWERS, store, VideoState.from_events(events, CATALOGUE, DEFINITIONS, end))
    viewer_ids, at = np.array([1, 2, 3, 5]), end + np.array([0, 10_000, 90_000_000, 0])
    video_BK = np.tile(np.arange(12, dtype=np.int32), (4, 3))
    whole = online.assemble(online.viewer_part(viewer_ids, at), video_BK, at)
    for row in range(4):
        part = online.viewer_part(viewer_ids[[row]], at[[row]])
        one = online.assemble(part, video_BK[[row], :5], at[[row]])
        np.testing.assert_array_equal(one.video_dense_BKF[0], whole.video_dense_BKF[row, :5])
        np.testing.assert_array_equal(one.cross_dense_BKF[0], whole.cross_dense_BKF[row, :5])
        np.testing.assert_array_equal(part.dense_BF[0], whole.viewer.dense_BF[row])
    built = offline.build(
        events, CATALOGUE, VIEWERS, viewer_ids=viewer_ids, at=at, video_rows=video_BK, with_seen=True, definitions=DEFINITIONS
    )
    equal(whole, built.batch(np.arange(4)))


@_QUICK
@given(logs.event_logs(), logs.event_logs(max_size=20), REQUESTS)
def test_the_future_does_not_matter(events, future, requests):
    """Events received at or after a request leave its features alone."""
    at, viewer_ids = np.array([r[0] for r in requests]), np.array([r[1] for r in requests])
    video_rows = np.arange(len(at), dtype=np.int32)
    for row in range(len(at)):
        later = future.filter(pl.col(c.RECEIVED_AT) >= at[row]).with_columns(
            (pl.lit("f") + pl.col(c.EVENT_ID)).alias(c.EVENT_ID)
        )
        past = events.filter(pl.col(c.RECEIVED_AT) < at[row])
        ask = {"viewer_ids": viewer_ids[[row]], "at": at[[row]], "video_rows": video_rows[[row]], "with_seen": True}
        ask["definitions"] = DEFINITIONS
        before = offline.build(past, CATALOGUE, VIEWERS, **ask)
        mixed = pl.concat([past, later]).sort(c.RECEIVED_AT, c.EVENT_ID)
        equal(offline.build(mixed, CATALOGUE, VIEWERS, **ask).batch(np.array([0])), before.batch(np.array([0])))


def test_blank_part_is_an_unknown_history():
    online, _ = replay(logs.random_log(1, 200), [(logs.START_AT, 1)], MemoryStore(), 50)
    at = np.array([logs.START_AT + 5])
    equal(online.blank_part(np.array([2]), at), online.viewer_part(np.array([2]), at))
    assert online.blank_part(np.array([2]), at).codes_BC[0, 0] > 0
