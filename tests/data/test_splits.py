import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core import columns as c
from core.errors import BadInput
from data.splits import Pairs, TimeSplit, find_leaks, global_time_split


def clicks(times):
    n = len(times)
    return pl.DataFrame({c.EVENT_ID: [str(i) for i in range(n)], c.KIND: ["click"] * n, c.RECEIVED_AT: times})


def test_quantiles_of_evenly_spaced_clicks():
    assert global_time_split(clicks(list(range(100)))) == TimeSplit(ranker_from=70, test_from=90, test_until=100)


def test_other_events_do_not_move_the_cuts_but_the_end():
    late = pl.DataFrame({c.EVENT_ID: ["x"] * 50, c.KIND: ["like"] * 50, c.RECEIVED_AT: [500] * 50})
    assert global_time_split(pl.concat([clicks(list(range(100))), late])) == TimeSplit(70, 90, 501)


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), min_size=10, max_size=200), st.floats(0.05, 0.4), st.floats(0.05, 0.4))
def test_parts_hold_their_shares_and_divide_no_instant(times, test_fraction, ranker_fraction):
    try:
        split = global_time_split(clicks(times), test_fraction, ranker_fraction)
    except BadInput:
        assume(False)
    at = np.array(times)
    assert min(times) < split.ranker_from < split.test_from < split.test_until
    assert split.test_until == max(times) + 1
    assert (at >= split.test_from).sum() >= test_fraction * len(times) - 1e-9
    assert (at >= split.ranker_from).sum() >= (test_fraction + ranker_fraction) * len(times) - 1e-9


def test_impossible_splits_say_why():
    with pytest.raises(BadInput, match="at least 3 clicks; the log has 2"):
        global_time_split(clicks([1, 2]))
    with pytest.raises(BadInput, match="share one instant"):
        global_time_split(clicks([5] * 100))
    with pytest.raises(BadInput, match="must be positive fractions"):
        global_time_split(clicks(list(range(10))), 0.5, 0.5)


def pairs(*rows, timed=True):
    """From (viewer, video, at)."""
    viewers, videos, at = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Pairs(viewers, videos.astype(np.int32), at if timed else None)


def counted(leaks):
    return {leak.kind: (leak.count, leak.of) for leak in leaks}


def test_a_clean_split_has_no_leaks():
    train, test = pairs((1, 0, 1), (2, 1, 2)), pairs((1, 1, 3), (3, 0, 4))
    assert find_leaks(train, test, np.array([0, 2])) == ()


def test_training_rows_at_and_after_the_first_test_row():
    train, test = pairs((1, 0, 1), (2, 1, 3), (2, 2, 4), (2, 3, 9)), pairs((1, 1, 3), (3, 0, 4))
    found = find_leaks(train, test)
    assert counted(found) == {"late": (2, 4), "tie": (1, 4)}
    late, tied = (leak.text for leak in found)
    assert late.startswith("2 of 4 training rows come after the first test row ")
    assert tied.startswith("1 of 4 training rows share the instant of the first test row ")


def test_test_rows_that_training_has():
    train, test = pairs((1, 0, 1), (1, -1, 1), (9, 5, 1)), pairs((1, 0, 3), (2, 0, 3), (1, -1, 3), (1, 5, 3))
    assert counted(find_leaks(train, test)) == {"repeated": (1, 4)}


def test_rows_before_the_upload():
    train, test, uploaded_at = pairs((1, 0, 1), (1, 1, 1)), pairs((2, 1, 5), (2, -1, 5), (2, 2, 5)), np.array([2, 0, 6])
    assert [(leak.kind, leak.count, leak.of) for leak in find_leaks(train, test, uploaded_at)] == [
        ("before_upload", 1, 2),
        ("before_upload", 1, 3),
    ]


def test_what_needs_times_is_passed_over_without_them():
    train, test = pairs((1, 0, 9), (1, 1, 9), timed=False), pairs((1, 0, 3), timed=False)
    assert counted(find_leaks(train, test, np.array([99, 99]))) == {"repeated": (1, 1)}
    assert find_leaks(pairs(), pairs()) == ()


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 20)), min_size=2, max_size=60), st.integers(0, 20)
)
def test_cutting_in_time_never_leaks_from_the_future(rows, cut):
    found = find_leaks(pairs(*[r for r in rows if r[2] < cut]), pairs(*[r for r in rows if r[2] >= cut]))
    assert {leak.kind for leak in found} <= {"repeated"}
