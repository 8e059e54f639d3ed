import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.candidates import merge, side_by_side


def run(found, quotas, limit, kept=None):
    lists = side_by_side(
        {name: np.array(rows, dtype=np.int32) for name, rows in found.items()}, len(next(iter(found.values())))
    )
    rows, sources = merge(lists, np.ones(lists.rows_BS.shape, bool) if kept is None else kept(lists.rows_BS), quotas, limit)
    return rows.tolist(), sources.tolist()


def test_each_source_gets_its_quota_then_leftovers_go_in_order():
    rows, sources = run({"a": [[1, 2, 3, 4]], "b": [[5, 6, 7, 8]]}, [2, 1], 5)
    assert rows == [[1, 2, 5, 3, 4]]
    assert sources == [[0, 0, 1, 0, 0]]


def test_a_video_found_twice_counts_for_the_first_source():
    rows, sources = run({"a": [[1, 2]], "b": [[2, 3]]}, [2, 2], 10)
    assert rows == [[1, 2, 3]]
    assert sources == [[0, 0, 1]]


def test_filtered_rows_do_not_use_up_a_quota():
    rows, _ = run({"a": [[1, 2, 3, 4]], "b": [[9, 8, 7, 6]]}, [2, 1], 3, kept=lambda rows: rows != 1)
    assert rows == [[2, 3, 9]]


def test_requests_of_different_size_are_padded():
    rows, sources = run({"a": [[1, -1], [2, 3], [-1, -1]]}, [5], 5)
    assert rows == [[1, -1], [2, 3], [-1, -1]]
    assert sources == [[0, -1], [0, 0], [-1, -1]]


def test_nothing_found_at_all():
    lists = side_by_side({}, 2)
    rows, sources = merge(lists, np.ones((2, 0), bool), [], 5)
    assert rows.shape == sources.shape == (2, 0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(-1, 12), min_size=6, max_size=6), min_size=1, max_size=3),
    st.lists(st.lists(st.integers(-1, 12), min_size=4, max_size=4), min_size=1, max_size=3),
    st.integers(0, 5),
    st.integers(0, 5),
    st.integers(1, 12),
)
def test_merge_against_the_obvious_loop(first, second, quota_a, quota_b, limit):
    size = min(len(first), len(second))
    rows, sources = run({"a": first[:size], "b": second[:size]}, [quota_a, quota_b], limit)
    for i in range(size):
        ranked = []
        for code, (line, quota) in enumerate([(first[i], quota_a), (second[i], quota_b)]):
            real = [row for row in line if row >= 0]
            ranked += [(rank >= quota, code, rank, row) for rank, row in enumerate(real)]
        expected: dict[int, int] = {}
        for _, code, _, row in sorted(ranked):
            expected.setdefault(row, code)
        expected_rows = list(expected)[:limit]
        assert [row for row in rows[i] if row >= 0] == expected_rows
        assert [code for code in sources[i] if code >= 0] == [expected[row] for row in expected_rows]
