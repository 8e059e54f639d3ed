import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import ids


@pytest.mark.parametrize("token", ["0", "7", "1682", "999999999999999999"])
def test_short_decimals_are_their_own_id(token: str) -> None:
    assert ids.to_id(token) == int(token)


@pytest.mark.parametrize("token", ["", "007", "-1", "1.0", " 1", "٣", "9" * 19, "abc", "\udcff"])
def test_everything_else_is_hashed_high(token: str) -> None:
    assert ids.HASHED_FROM <= ids.to_id(token) < 2**63


def test_a_hash_never_changes() -> None:
    assert ids.to_id("video-1") == 8_100_867_349_861_042_292


@settings(deadline=None)
@given(st.lists(st.text(max_size=12), unique=True, max_size=50))
def test_distinct_tokens_get_distinct_ids(tokens: list[str]) -> None:
    found = ids.to_ids(tokens)
    assert found.dtype == np.int64
    assert len(set(found.tolist())) == len(tokens)
    assert (found >= 0).all()
