import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.past import Past

ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 6), st.one_of(st.just(np.nan), st.floats(-5, 5))), min_size=1, max_size=30
)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(-1, 4), st.integers(-1, 8))
def test_sums_are_over_the_rows_strictly_before(rows, key, at):
    keys, times, values = (np.array(column) for column in zip(*rows, strict=True))
    found = Past(keys, times, values[:, None].astype(float)).before(np.array([key]), np.array([at]))
    earlier = [(time, value) for k, time, value in rows if k == key and time < at]
    known = [value for _, value in earlier if not np.isnan(value)]
    assert found.rows_Q[0] == len(earlier)
    assert found.known_QM[0, 0] == len(known)
    assert found.total_QM[0, 0] == pytest.approx(sum(known), abs=1e-9)
    assert found.last_at_Q[0] == max((time for time, _ in earlier), default=-1)


def past():
    return Past(np.array([7, 7, 7, 7, 9]), np.array([10, 20, 20, 30, 5]), np.array([[1.0], [0.0], [1.0], [1.0], [0.0]]))


def test_rows_of_one_instant_do_not_see_each_other():
    assert past().before(np.array([7]), np.array([20])).rows_Q.tolist() == [1]
    assert past().before(np.array([7]), np.array([21])).rows_Q.tolist() == [3]


def test_the_latest_rows_alone():
    found = past().before(np.array([7, 9]), np.array([99, 99]), latest=2)
    assert found.total_QM[:, 0].tolist() == [2.0, 0.0]
    assert found.rows_Q.tolist() == [2, 1]


def test_a_rate_by_hand():
    found = past().before(np.array([7, 8]), np.array([99, 99]))
    assert found.rate(np.array([[0.5], [0.25]]), 2.0)[:, 0].tolist() == [(3 + 1.0) / 6, 0.25]


def test_minus_leaves_the_older_rows():
    whole, early = past().before(np.array([7]), np.array([99])), past().before(np.array([7]), np.array([20]))
    recent = whole.minus(early)
    assert (recent.rows_Q[0], recent.total_QM[0, 0], recent.last_at_Q[0]) == (3, 2.0, 30)


def test_the_first_row_of_a_key():
    assert past().first_at(np.array([7, 7, 8, 9, 99]), np.array([99, 10, 99, 6, 99])).tolist() == [10, -1, -1, 5, -1]
