import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features.definitions import default_definitions
from features.memory_store import MemoryStore
from features.states import ViewerStates, empty_state, merged, of_events, viewer_states
from features.tiles import EventArrays
from features.video_state import VideoState
from tests.features import logs

CATALOGUE, DEFINITIONS = logs.catalogue(), default_definitions()
FAR = 2**61


def held(store, viewer_ids):
    """Every viewer's state as lists; counters have no order."""
    return [(sorted(state.counts.tolist()), state.clicks.tolist(), state.watches.tolist()) for state in store.read(viewer_ids)]


@settings(max_examples=30, deadline=None)
@given(logs.event_logs(), st.integers(0, 60))
def test_states_add_up(events, cut):
    """state(a then b) = state(a) ⊕ state(b)."""
    arrays = EventArrays.of(events, CATALOGUE)
    if not len(arrays):
        return
    newest = int(arrays.received_at[-1])
    whole, parts, once = MemoryStore(), MemoryStore(), MemoryStore()
    whole.load(of_events(arrays, DEFINITIONS, newest))
    first, second = (
        of_events(arrays.take(chosen), DEFINITIONS, newest)
        for chosen in (np.arange(len(arrays))[:cut], np.arange(len(arrays))[cut:])
    )
    parts.apply(first)
    parts.apply(second)
    once.load(merged(first, second))
    assert held(parts, logs.VIEWER_IDS.tolist()) == held(whole, logs.VIEWER_IDS.tolist())
    assert held(once, logs.VIEWER_IDS.tolist()) == held(whole, logs.VIEWER_IDS.tolist())


def test_without_some_viewers_the_others_stay():
    states = viewer_states(logs.random_log(4, 500), CATALOGUE, DEFINITIONS, FAR)
    gone = states.viewer_ids[1::2].tolist()
    whole, rest = MemoryStore(), MemoryStore()
    whole.load(states)
    rest.load(states.without(gone))
    others = states.viewer_ids[::2].tolist()
    assert held(rest, others) == held(whole, others)
    assert held(rest, gone) == held(MemoryStore(), gone)


@settings(max_examples=20, deadline=None)
@given(logs.event_logs(), logs.instants())
def test_saved_states_come_back(tmp_path_factory, events, as_of):
    path = tmp_path_factory.mktemp("states") / "viewer_states.parquet"
    states = viewer_states(events, CATALOGUE, DEFINITIONS, as_of)
    states.save(path)
    loaded = ViewerStates.load(path)
    np.testing.assert_array_equal(loaded.viewer_ids, states.viewer_ids)
    np.testing.assert_array_equal(loaded.keep_from, states.keep_from)
    for place in range(len(states)):
        for name in ("counts", "clicks", "watches"):
            np.testing.assert_array_equal(getattr(loaded[place], name), getattr(states[place], name))


def test_the_empty_state():
    assert [values.shape for values in vars(empty_state()).values()] == [(0, 3), (0, 2), (0, 1)]


def test_over_tiles_are_left_out_of_a_release():
    events = logs.random_log(4, 2_000)
    assert len(viewer_states(events, CATALOGUE, DEFINITIONS, FAR).counts.values) == 0
    assert len(viewer_states(events, CATALOGUE, DEFINITIONS, FAR).clicks.values) > 0


@settings(max_examples=30, deadline=None)
@given(logs.event_logs(), st.integers(1, 20))
def test_video_state_is_the_same_in_one_go_and_event_by_event(tmp_path_factory, events, chunk):
    whole = VideoState.from_events(events, CATALOGUE, DEFINITIONS, FAR)
    stepwise = VideoState.empty(CATALOGUE, DEFINITIONS)
    arrays = EventArrays.of(events, CATALOGUE)
    for begin in range(0, len(arrays), chunk):
        stepwise.add(arrays.take(np.arange(begin, min(begin + chunk, len(arrays)))))
    np.testing.assert_array_equal(stepwise.counts, whole.counts)
    np.testing.assert_array_equal(stepwise.newest, whole.newest)


def test_video_state_comes_back(tmp_path):
    state = VideoState.from_events(logs.random_log(8, 3_000), CATALOGUE, DEFINITIONS, FAR)
    state.save(tmp_path / "video_state.safetensors")
    loaded = VideoState.load(tmp_path / "video_state.safetensors", DEFINITIONS)
    np.testing.assert_array_equal(loaded.counts, state.counts)
    loaded.add(EventArrays.of(logs.random_log(9, 10), CATALOGUE))
    assert loaded.counts.sum() != state.counts.sum()


def test_video_sums_count_everything_within_a_window():
    events = logs.random_log(8, 3_000)
    arrays = EventArrays.of(events, CATALOGUE)
    state = VideoState.from_events(events, CATALOGUE, DEFINITIONS, FAR)
    at = int(arrays.received_at[-1]) + 1
    videos = np.arange(len(CATALOGUE), dtype=np.int32)[None, :]
    for spec, found in state.totals(videos, np.array([at])).items():
        chosen = arrays.positions(spec.event)
        fresh = (arrays.video_row[chosen] >= 0) & (spec.tile(arrays.event_at[chosen]) > at // spec.tile_ms - spec.tiles)
        expected = np.bincount(
            arrays.video_row[chosen[fresh]], weights=arrays.amounts(spec, chosen[fresh]), minlength=len(CATALOGUE)
        )
        np.testing.assert_array_equal(found[0], expected)
