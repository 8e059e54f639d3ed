import numpy as np
import pytest

from core import rng
from core.errors import BadInput
from embeddings.arithmetic import row_bytes, shared_row_share, used_rows
from embeddings.compression import ByteRows, HalfRows, HashedRows, QuotientRemainderRows, hashed_row

VECTORS = rng.stream(1, "vectors").standard_normal((500, 16)).astype(np.float32)
ALL = np.arange(500)


def test_halves_are_off_by_at_most_a_2048th():
    rows = HalfRows.of(VECTORS)
    assert (np.abs(rows.read(ALL) - VECTORS) <= np.abs(VECTORS) * 2.0**-11 + 2.0**-25).all()
    assert rows.nbytes == 500 * row_bytes(16, "fp16")


def test_bytes_are_off_by_at_most_half_a_step():
    rows = ByteRows.of(VECTORS * np.geomspace(1e-6, 1e6, 500, dtype=np.float32)[:, None])
    wanted = VECTORS * np.geomspace(1e-6, 1e6, 500, dtype=np.float32)[:, None]
    span = wanted.max(axis=1) - wanted.min(axis=1)
    assert (np.abs(rows.read(ALL) - wanted) <= span[:, None] / 510 * 1.0001).all()
    assert rows.nbytes == 500 * row_bytes(16, "int8")


def test_a_constant_row_of_bytes_is_exact():
    assert (ByteRows.of(np.full((1, 4), 3.7, dtype=np.float32)).read(np.array([0])) == np.float32(3.7)).all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(BadInput, match="fp16"):
        HalfRows.of(np.full((1, 4), 1e5, dtype=np.float32))
    with pytest.raises(BadInput, match="not finite"):
        ByteRows.of(np.full((1, 4), np.nan, dtype=np.float32))
    with pytest.raises(BadInput, match="0 rows"):
        hashed_row(ALL, 0)


def test_collisions_are_as_frequent_as_the_closed_form():
    row = hashed_row(np.arange(1_000_000), 2**20)
    counts = np.bincount(row, minlength=2**20)
    assert np.mean(counts[row] > 1) == pytest.approx(shared_row_share(10**6, 2**20), abs=0.002)
    assert np.count_nonzero(counts) == pytest.approx(used_rows(10**6, 2**20), rel=0.002)


def test_ids_that_share_a_row_read_its_mean():
    rows, place = HashedRows.of(VECTORS, 50), hashed_row(ALL, 50)
    together = np.flatnonzero(place == place[0])
    assert len(together) > 1
    np.testing.assert_allclose(rows.read(together), np.tile(VECTORS[together].mean(axis=0), (len(together), 1)), atol=1e-6)
    assert rows.nbytes == 50 * row_bytes(16, "fp32")


def test_sums_of_quotient_and_remainder_are_recovered():
    random = rng.stream(2, "parts")
    remainder, quotient = random.standard_normal((23, 4)), random.standard_normal((22, 4))
    vectors = (remainder[ALL % 23] + quotient[ALL // 23]).astype(np.float32)
    rows = QuotientRemainderRows.of(vectors, 23)
    np.testing.assert_allclose(rows.read(ALL), vectors, atol=1e-4)
    assert rows.nbytes == (23 + 22) * row_bytes(4, "fp32")


def test_the_fit_of_quotient_and_remainder_is_least_squares():
    rows = QuotientRemainderRows.of(VECTORS, 23)
    design = np.zeros((500, 45))
    design[ALL, ALL % 23] = design[ALL, 23 + ALL // 23] = 1
    best = design @ np.linalg.lstsq(design, VECTORS, rcond=None)[0]
    np.testing.assert_allclose(rows.read(ALL), best, atol=1e-4)
    assert len(np.unique(rows.read(ALL), axis=0)) == 500
