import numpy as np
import polars as pl
import pytest

from core import columns as c
from data.labels import definitions as labels
from monitoring import feedback


def shown(viewers, videos, categories=None, clicked=None, chance=None) -> pl.DataFrame:
    n = len(viewers)
    return pl.DataFrame(
        {
            c.VIEWER_ID: viewers,
            c.VIDEO_ID: videos,
            c.CATEGORY: categories or ["a"] * n,
            labels.CLICKED: clicked or [False] * n,
            c.EXPLORATION: chance or [False] * n,
        }
    )


def test_alike_pages():
    same = shown([1, 1, 2, 2], [10, 11, 10, 11])
    assert feedback.exposure(same).alikeness == pytest.approx(1.0)
    apart = shown([1, 1, 2, 2], [10, 11, 12, 13])
    assert feedback.exposure(apart).alikeness == 0.0
    assert feedback.exposure(shown([1, 2, 3], [10, 10, 10])).gini == 0.0


def test_variety_is_rarefied_to_ten():
    one = shown([1] * 20, range(20))
    assert feedback.exposure(one).variety == pytest.approx(1.0)
    even = shown([1] * 20, range(20), ["a"] * 10 + ["b"] * 10)
    assert feedback.exposure(even).variety == pytest.approx(2 * (1 - 1 / 184_756))
    assert np.isnan(feedback.exposure(shown([1] * 5, range(5))).variety)


def test_what_personalisation_earns():
    found = feedback.exposure(shown([1, 2, 3, 4], [1, 2, 3, 4], None, [True, False, False, False], [False, False, True, True]))
    assert (found.holdout_gap, found.exploration) == (0.5, 0.5)
    assert feedback.exposure(shown([1], [1])).to_json()["holdout_gap"] is None


def test_trend_passes_over_days_that_do_not_know():
    days = [feedback.Exposure(g, 0, 0, 0, 0, float("nan")) for g in (0.1, 0.2, 0.3, float("nan"), 0.5)]
    assert feedback.trend(days, "gini").mean == pytest.approx(0.1)
