import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadInput
from embeddings.arithmetic import best_hit_rate
from embeddings.plan import COLUMN_WISE, HOST, ROW_WISE, TABLE_WISE, Devices, TableSpec, parse_bytes, parse_devices, plan

GB = 10**9


def one(spec, devices, **more):
    return plan([spec], devices, **more).placements[0]


def by_kind(placement):
    return {choice.kind: choice for choice in placement.choices}


def test_bytes_per_lookup_by_hand():
    choices = by_kind(one(TableSpec("v", 1_000, 256, pooling=3), Devices(8, GB)))
    output, indices = 256 * 4, 3 * 8
    assert choices[TABLE_WISE].moved == 7 / 8 * (output + indices)
    assert choices[COLUMN_WISE].moved == 7 / 8 * (output + 4 * indices)
    assert choices[COLUMN_WISE].busiest == choices[COLUMN_WISE].moved / 4
    assert choices[ROW_WISE].moved == 7 * output + 7 / 8 * indices


def test_the_chapters_table_on_eight_devices():
    placement = one(TableSpec("v", 100_000_000, 256), Devices(8, 80 * GB))
    assert placement.chosen.kind == COLUMN_WISE
    assert placement.chosen.bytes_by_device == dict.fromkeys(range(4), 100_000_000 * (64 * 2 + 4))
    assert all(choice.fits for choice in placement.choices)


def test_adam_does_not_fit_where_adagrad_does():
    spec = {"name": "v", "rows": 100_000_000, "dim": 256}
    assert one(TableSpec(**spec), Devices(1, 80 * GB)).chosen.kind == TABLE_WISE
    assert one(TableSpec(**spec, optimizer="adam"), Devices(1, 80 * GB)).chosen is None


def test_narrow_rows_are_not_cut_into_columns():
    choices = by_kind(one(TableSpec("v", 1_000, 64, dtype="fp16"), Devices(2, GB)))
    assert not choices[COLUMN_WISE].fits
    assert "128 bytes" in choices[COLUMN_WISE].why


def test_rows_are_shared_out_when_no_device_holds_the_columns():
    chosen = one(TableSpec("v", 8_000_000, 32, dtype="fp32", optimizer="sgd"), Devices(8, 200_000_000)).chosen
    assert chosen.kind == ROW_WISE
    assert chosen.bytes_by_device == dict.fromkeys(range(8), 128_000_000)


def test_what_fits_nowhere_goes_to_the_host_behind_a_cache():
    spec = TableSpec("v", 10_000_000, 64, dtype="fp32", optimizer="sgd")
    chosen = one(spec, Devices(1, GB, host_bytes=4 * GB), exponent=0.9).chosen
    assert chosen.kind == HOST
    assert chosen.host_bytes == 2_560_000_000
    assert chosen.hit_rate == best_hit_rate(10_000_000, 850_000_000 // 256, 0.9)
    assert chosen.moved == pytest.approx((1 - chosen.hit_rate) * 256)


@given(
    st.lists(st.tuples(st.integers(1, 10**7), st.sampled_from([16, 64, 128, 256])), min_size=1, max_size=6),
    st.integers(1, 8),
    st.integers(10**6, 10**10),
)
def test_no_device_is_ever_overfull(sizes, count, each):
    devices = Devices(count, each, host_bytes=10**10)
    found = plan([TableSpec(str(n), rows, dim) for n, (rows, dim) in enumerate(sizes)], devices)
    assert max(found.used) <= devices.usable
    assert found.host_used <= devices.host_bytes
    placed = sum(sum(p.chosen.bytes_by_device.values()) for p in found.placements if p.chosen)
    assert placed == sum(found.used)
    assert found.fits == all(p.chosen for p in found.placements)


def test_sizes_in_both_units():
    assert (parse_bytes("80GB"), parse_bytes("1.5 GiB"), parse_bytes("3tb")) == (80 * GB, 3 << 29, 3 * 10**12)
    assert parse_devices("8x80GB", "512GB") == Devices(8, 80 * GB, 512 * GB)


@pytest.mark.parametrize("text", ["80GB", "0x80GB", "8x80", "eight"])
def test_bad_devices_say_what_to_write(text):
    with pytest.raises(BadInput, match="80GB"):
        parse_devices(text)


def test_an_empty_table_is_refused():
    with pytest.raises(BadInput, match="must be ≥ 1"):
        plan([TableSpec("v", 0, 8)], Devices(1, GB))
