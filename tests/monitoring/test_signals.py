import numpy as np
import polars as pl
import pytest

from core import columns as c
from data.labels import definitions as labels
from monitoring import observations as o
from monitoring import signals as sg
from tests.monitoring.made import DAYS, FIRST, rows, tallied


def test_any_window_is_the_ratio_of_its_rows():
    frame = rows()
    tallies = tallied(frame)
    window = tallies.windows([FIRST + 100], 24)
    part = frame.filter(pl.col(o.HOUR).is_between(FIRST + 76, FIRST + 99))
    tv = part.filter(pl.col(c.DEVICE) == "tv")
    ratio = window.ratio()[0]
    everyone, its = 0, tallies.segments.index("device=tv")
    assert ratio[its, sg.place("click_rate")] == pytest.approx(tv[labels.CLICKED].mean())
    assert ratio[its, sg.place("watch_log_s")] == pytest.approx(tv[labels.WATCH_S].log().mean())
    assert ratio[everyone, sg.place("pages")] == pytest.approx((part[c.POSITION] == 0).sum() / 24)
    assert ratio[everyone, sg.place("click_residual")] == pytest.approx(part[labels.CLICKED].sum() / part[o.PREDICTED].sum())
    assert ratio[everyone, sg.place("like_rate")] == pytest.approx(part[labels.LIKED].sum() / part[labels.CLICKED].sum())


def test_scatter_is_the_delta_methods_sum():
    tallies = tallied(rows())
    window = tallies.windows([FIRST + 48], 24)
    top, bottom = tallies.cell(sg.EVERYONE, "click_rate", FIRST + 24, FIRST + 48)
    expected = ((top - top.sum() / bottom.sum() * bottom) ** 2).sum()
    assert window.scatter()[0, 0, sg.place("click_rate")] == pytest.approx(expected)


def test_releases_after_the_first_and_segments_of_each_signal():
    tallies = tallied(rows())
    assert tallies.release_hours == ((FIRST + 24 * 17 + 5, "second"),)
    cats = tallies.tested_GS[tallies.segments.index("category=Cats")]
    assert [signal.name for signal, tested in zip(sg.SIGNALS, cats, strict=True) if tested] == ["click_residual"]
    assert tallies.tested_GS[0].all()


def test_windows_outside_of_the_log_are_refused():
    with pytest.raises(ValueError, match="leave the hours"):
        tallied(rows()).windows([FIRST + 10], 24)
    assert np.isfinite(tallied(rows()).windows([FIRST + 24 * DAYS], 24).ratio()[0, 0]).all()
