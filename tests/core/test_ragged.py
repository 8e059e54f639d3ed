import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.ragged import Ragged

LISTS = st.lists(st.lists(st.integers(0, 99), max_size=6), max_size=8)


@settings(deadline=None)
@given(LISTS)
def test_lists_come_back(lists: list[list[int]]) -> None:
    ragged = Ragged.of(lists)
    assert len(ragged) == len(lists)
    assert [ragged[i].tolist() for i in range(len(lists))] == lists
    assert ragged.owners.tolist() == [i for i, values in enumerate(lists) for _ in values]
    assert ragged.ages.tolist() == [len(values) - 1 - j for values in lists for j in range(len(values))]


@settings(deadline=None)
@given(LISTS, st.randoms(use_true_random=False))
def test_take_equals_picking_lists(lists: list[list[int]], random) -> None:
    rows = [random.randrange(len(lists)) for _ in range(5)] if lists else []
    taken = Ragged.of(lists).take(np.array(rows, dtype=np.int64))
    assert [taken[i].tolist() for i in range(len(rows))] == [lists[row] for row in rows]


def test_take_a_slice() -> None:
    taken = Ragged.of([[1], [2, 3], []]).take(slice(1, 5))
    assert [taken[i].tolist() for i in range(len(taken))] == [[2, 3], []]


def test_latest_is_most_recent_first_and_padded() -> None:
    assert Ragged.of([[1, 2, 3], [], [4]]).latest(2).tolist() == [[3, 2], [-1, -1], [4, -1]]
