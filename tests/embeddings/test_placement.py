import numpy as np
import pytest

from core import rng
from core.errors import BadInput
from embeddings.arithmetic import distinct_rows, lru_hit_rate
from embeddings.plan import COLUMN_WISE, ROW_WISE, TABLE_WISE, Devices, TableSpec

placement = pytest.importorskip("embeddings.placement")

BIG, SMALL = TableSpec("video", 100_000_000, 256), TableSpec("channel", 1_000_000, 64)
GB = 10**9


def test_what_fits_no_device_goes_to_the_host_behind_a_cache_that_fills_the_devices():
    video, channel = placement.place([BIG, SMALL], Devices(2, 16 * GB, 200 * GB))
    assert (video.kernel, channel.kernel, channel.cached_share) == ("fused_uvm_caching", "fused", None)
    assert {video.sharding, channel.sharding} <= {TABLE_WISE, COLUMN_WISE, ROW_WISE}
    held = video.cached_share * BIG.size.weights
    assert 0.7 * 27.2 * GB < held < 27.2 * GB  # .85 of both devices
    assert video.hit_rate == pytest.approx(lru_hit_rate(BIG.rows, round(video.cached_share * BIG.rows)))


def test_what_fits_stays_on_the_devices_and_what_fits_nowhere_is_refused():
    assert [one.kernel for one in placement.place([BIG, SMALL], Devices(8, 80 * GB))] == ["fused", "fused"]
    with pytest.raises(BadInput, match="finds no plan"):
        placement.place([BIG], Devices(2, 16 * GB))
    with pytest.raises(BadInput, match="int8 does not train"):
        placement.place([TableSpec("video", 100, 64, dtype="int8")], Devices(2, 16 * GB))


def test_a_step_touches_as_many_rows_as_the_closed_form_says():
    rows, lookups = 1_000, 500
    chance = 1 / np.arange(1, rows + 1)
    drawn = rng.stream(1, "distinct").choice(rows, size=(400, lookups), p=chance / chance.sum())
    assert distinct_rows(rows, lookups) == pytest.approx(np.mean([len(np.unique(batch)) for batch in drawn]), rel=0.01)
    assert distinct_rows(1, 7) == pytest.approx(1)


def test_torchrec_hears_how_hard_look_ups_are_to_cache():
    stats, even = placement.ZipfLookups(10_000, 1.0, 500), placement.ZipfLookups(10_000, 0.0, 500)
    assert [stats.expected_miss_rate(share) for share in (0.0, 1.0)] == [1.0, 0.0]
    assert 0 < stats.cacheability < 0.3 < even.cacheability
    assert even.cacheability == pytest.approx(0.5, abs=0.01)
