import numpy as np
import polars as pl
import pytest
from scipy import stats

from core import columns as c
from core import rng
from pipelines.watching import contents

VIDEOS = 300


def shown(seed: int, *, last: float = 0.0, days: int = 15) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Videos of two kinds, the second kind two apart; a tenth of the pages shows it, on the last day `last` more."""
    random = rng.stream(seed, "contents")
    kind = np.arange(VIDEOS) % 2
    vectors = random.standard_normal((VIDEOS, 8)).astype(np.float32)
    vectors[:, 0] += 2 * kind
    videos = pl.DataFrame({c.VIDEO_ID: np.arange(VIDEOS), c.CONTENT: vectors.tolist()})
    shares = [0.1 + 0.02 * random.standard_normal() + (last if day == days - 1 else 0.0) for day in range(days)]
    wanted = [random.random(500) < share for share in shares]
    return videos, [pl.DataFrame({c.VIDEO_ID: 2 * random.integers(0, VIDEOS // 2, 500) + one}) for one in wanted]


def test_days_alike_are_quiet_and_another_mix_of_videos_is_not():
    quiet = [contents.compare(*shown(seed)) for seed in range(20)]
    assert [one.moved for one in quiet] == [False] * 20
    assert np.mean([one.p < 0.05 for one in quiet]) <= 0.2
    moved = contents.compare(*shown(1, last=0.5))
    assert moved.moved
    assert moved.p_days == pytest.approx(1 / 15)
    assert moved.centroid == pytest.approx(0.5 * 2 / np.sqrt(8 + 0.36), abs=0.06)
    assert moved.mmd > 3 * moved.usual_mmd


def test_the_matched_law_is_chi_square_with_many_days_and_has_longer_tails_with_few():
    usual = stats.chi2.rvs(4, size=20_000, random_state=1) * 0.3
    far = 0.3 * stats.chi2.ppf(0.99, 4)
    assert contents.satterthwaite(usual, far) == pytest.approx(0.01, rel=0.05)
    some = [contents.satterthwaite(days[:-1], days[-1]) for days in usual[: 15 * 1_300].reshape(-1, 15)]
    assert 0.005 < np.mean(np.array(some) < 0.01) < 0.02


def test_without_vectors_there_is_nothing_to_compare():
    videos, days = shown(0)
    assert contents.compare(videos.with_columns(pl.lit(None, pl.List(pl.Float32)).alias(c.CONTENT)), days) is None
    assert contents.compare(videos, [*days[:-1], days[-1].head(1)]) is None
