import numpy as np
import pytest

from core import rng
from core.errors import BadInput
from embeddings.arithmetic import (
    best_hit_rate,
    harmonic,
    lru_hit_rate,
    quotient_remainder_rows,
    row_bytes,
    shared_row_share,
    table_size,
    used_rows,
)


def test_the_table_of_the_chapter_is_51_gigabytes():
    size = table_size(100_000_000, 256, "fp16", "rowwise_adagrad")
    assert size.weights == 51_200_000_000
    assert round(size.weights / 2**30, 2) == 47.68
    assert size.total == 51_600_000_000
    assert table_size(100_000_000, 256, "fp32").weights == 102_400_000_000


@pytest.mark.parametrize(("optimizer", "state"), [("sgd", 0), ("rowwise_adagrad", 40), ("adagrad", 320), ("adam", 640)])
def test_state_of_ten_rows_of_eight_numbers(optimizer, state):
    assert table_size(10, 8, "fp16", optimizer).state == state


def test_a_byte_row_holds_its_scale_and_offset():
    assert (row_bytes(64, "int8"), row_bytes(64, "bf16"), row_bytes(64, "fp32")) == (72, 128, 256)


def test_unknown_names_are_refused_in_words():
    with pytest.raises(BadInput, match="known: fp32, fp16"):
        table_size(1, 1, "fp8")
    with pytest.raises(BadInput, match="no optimiser 'lion'"):
        table_size(1, 1, "fp16", "lion")


@pytest.mark.parametrize("exponent", [0.0, 0.6, 1.0, 1.3])
@pytest.mark.parametrize("n", [1, 255, 256, 257, 5_000, 300_000])
def test_harmonic_numbers_equal_their_sums(n, exponent):
    assert harmonic(n, exponent) == pytest.approx(np.sum(np.arange(n, 0, -1.0) ** -exponent), rel=1e-11)


def test_the_billionth_harmonic_number():
    euler = 0.5772156649015329
    assert harmonic(10**9, 1.0) == pytest.approx(np.log(1e9) + euler + 0.5e-9, rel=1e-12)


@pytest.mark.parametrize(
    ("rows", "cached", "wanted"),
    [(10**6, 10**3, 0.52009), (10**6, 10**4, 0.68004), (10**6, 10**5, 0.84002), (10**5, 10**3, 0.61914)],
)
def test_best_hit_rates_on_zipf(rows, cached, wanted):
    assert best_hit_rate(rows, cached) == pytest.approx(wanted, abs=5e-6)


def test_equal_popularity_leaves_nothing_to_choose():
    assert lru_hit_rate(50_000, 5_000, 0.0) == pytest.approx(0.1, abs=1e-9)
    assert best_hit_rate(50_000, 5_000, 0.0) == pytest.approx(0.1)


@pytest.mark.parametrize(("rows", "cached", "exponent"), [(20_000, 500, 0.8), (20_000, 500, 1.0), (300_000, 20_000, 1.0)])
def test_che_solves_its_own_equations(rows, cached, exponent):
    p = np.arange(1, rows + 1.0) ** -exponent
    p /= p.sum()
    low, high = 1.0, 1e9
    for _ in range(60):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if -np.expm1(-p * middle).sum() < cached else (low, middle)
    assert lru_hit_rate(rows, cached, exponent) == pytest.approx(p @ -np.expm1(-p * low), abs=1e-6)
    assert lru_hit_rate(10, 10) == 1.0


def test_a_million_ids_in_two_to_the_twenty_rows():
    assert shared_row_share(10**6, 2**20) == pytest.approx(0.6146772, abs=5e-8)
    # 1 − e^(−n/m), often quoted, is its limit: .6146774
    assert shared_row_share(10**6, 2**20) == pytest.approx(-np.expm1(-(10**6) / 2**20), abs=2e-7)
    assert round(used_rows(10**6, 2**20)) == 644_536


def test_shared_rows_of_two_ids_are_counted_by_hand():
    assert shared_row_share(2, 4) == pytest.approx(1 / 4)
    assert used_rows(2, 4) == pytest.approx(2 * 1 / 1 - 1 / 4)
    assert (shared_row_share(2, 1), shared_row_share(1, 1), used_rows(5, 1)) == (1.0, 0.0, 1.0)


def test_random_hashing_agrees_with_the_closed_form():
    found = rng.stream(1, "hash").integers(0, 4_096, (50, 4_000))
    used = np.mean([len(np.unique(row)) for row in found])
    alone = np.mean([np.mean(np.bincount(row, minlength=4_096)[row] > 1) for row in found])
    assert used == pytest.approx(used_rows(4_000, 4_096), rel=0.005)
    assert alone == pytest.approx(shared_row_share(4_000, 4_096), abs=0.005)


def test_quotients_and_remainders_give_every_id_a_pair():
    remainders, quotients = quotient_remainder_rows(1_003, 32)
    pairs = {(i % remainders, i // remainders) for i in range(1_003)}
    assert len(pairs) == 1_003
    assert max(q for _, q in pairs) == quotients - 1
