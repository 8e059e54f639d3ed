import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import events as ev
from data.catalogue import Catalogue
from features.definitions import default_definitions
from features.facts import VideoFacts
from features.kinds import matrix
from features.tiles import EventArrays
from features.video_matrix import VideoMatrix
from features.video_state import VideoState
from tests.features import logs
from tests.features.test_tiles import row

CATALOGUE, DEFINITIONS, T = logs.catalogue(), default_definitions(), logs.START_AT
HOUR = 3_600_000


def direct(state, rows, at):
    facts = VideoFacts.of(CATALOGUE, rows, at, state.totals(rows, at))
    return matrix(DEFINITIONS.video, facts, rows.shape)


def count(state, *rows):
    state.add(EventArrays.of(logs.frame(list(rows)), CATALOGUE))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_is_kept_is_what_the_formula_says(data):
    """Any mixture of events, readers and passing time; videos are asked for again and again."""
    state = VideoState.empty(CATALOGUE, DEFINITIONS)
    kept, now = VideoMatrix(DEFINITIONS, CATALOGUE, state), T
    for _ in range(data.draw(st.integers(1, 12))):
        now += data.draw(st.sampled_from([1, 60_000, HOUR, 5 * HOUR, 30 * HOUR, 200 * HOUR]))
        kind, video = data.draw(st.sampled_from([ev.IMPRESSION, ev.CLICK, ev.LIKE])), data.draw(st.integers(100, 107))
        count(state, row(kind, now, video_id=video))
        rows = np.array([data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=5))], dtype=np.int32)
        at = np.array([now + data.draw(st.sampled_from([0, 1, 4 * HOUR]))])
        np.testing.assert_array_equal(kept.read(rows, at), direct(state, rows, at))


def test_a_batch_over_two_periods_is_read_directly():
    state = VideoState.empty(CATALOGUE, DEFINITIONS)
    count(state, row(ev.CLICK, T, video_id=104))
    rows, at = np.array([[4, 5], [4, 6]], dtype=np.int32), np.array([T + 1, T + 40 * HOUR])
    found = VideoMatrix(DEFINITIONS, CATALOGUE, state).read(rows, at)
    np.testing.assert_array_equal(found, direct(state, rows, at))
    assert found[0, 0].tolist() != found[1, 0].tolist()


def test_a_second_look_computes_nothing(monkeypatch):
    state = VideoState.empty(CATALOGUE, DEFINITIONS)
    kept, rows = VideoMatrix(DEFINITIONS, CATALOGUE, state), np.array([[1, 2, 3]], dtype=np.int32)
    kept.read(rows, np.array([T]))
    monkeypatch.setattr(VideoState, "totals", lambda *_: pytest.fail("counters were read"))
    kept.read(rows, np.array([T + 1]))


def test_what_was_warmed_is_not_computed_by_a_page(monkeypatch):
    monkeypatch.setattr("features.video_matrix._BLOCK", 3)
    state = VideoState.empty(CATALOGUE, DEFINITIONS)
    count(state, row(ev.CLICK, T, video_id=104))
    kept, rows, at = VideoMatrix(DEFINITIONS, CATALOGUE, state), np.arange(10, dtype=np.int32)[None], np.array([T + 1])
    expected = direct(state, rows, at)
    kept.warm(T + 1)
    monkeypatch.setattr(VideoState, "totals", lambda *_: pytest.fail("counters were read"))
    np.testing.assert_array_equal(kept.read(rows, at), expected)


def test_a_longer_catalogue_keeps_what_is_known_and_knows_the_new_ones(monkeypatch):
    few = Catalogue.of(CATALOGUE.frame.head(6))
    state = VideoState.empty(few, DEFINITIONS)
    state.add(EventArrays.of(logs.frame([row(ev.CLICK, T, video_id=104)]), few))
    kept = VideoMatrix(DEFINITIONS, few, state)
    kept.warm(T + 1)
    more = state.longer(len(CATALOGUE) - len(few))
    longer = kept.over(CATALOGUE, more)
    rows, at, asked = np.arange(10, dtype=np.int32)[None], np.array([T + 1]), []
    expected, before = direct(more, rows, at), VideoState.totals
    monkeypatch.setattr(VideoState, "totals", lambda self, rows, at: asked.append(rows.tolist()) or before(self, rows, at))
    np.testing.assert_array_equal(longer.read(rows, at), expected)
    assert asked == [[[6, 7, 8, 9]]]


def test_an_event_counted_while_a_row_is_computed_is_not_lost(monkeypatch):
    state = VideoState.empty(CATALOGUE, DEFINITIONS)
    kept, rows, at = VideoMatrix(DEFINITIONS, CATALOGUE, state), np.array([[4]], dtype=np.int32), np.array([T + 1])
    before = VideoState.totals

    def totals_then_event(self, *args):
        found = before(self, *args)
        count(state, row(ev.CLICK, T, video_id=104))
        return found

    monkeypatch.setattr(VideoState, "totals", totals_then_event)
    kept.read(rows, at)
    monkeypatch.setattr(VideoState, "totals", before)
    np.testing.assert_array_equal(kept.read(rows, at), direct(state, rows, at))
