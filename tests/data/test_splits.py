import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core import columns as c
from core.errors import BadInput
from data.splits import TimeSplit, check_no_leak, global_time_split


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


def test_leaks_are_named():
    events = clicks([1, 2, 3])
    check_no_leak(events, 4)
    check_no_leak(events.clear(), 0)
    with pytest.raises(BadInput, match=r"1 training events were received at or after .* \(3\), e.g. click 2 at 3"):
        check_no_leak(events, 3)
