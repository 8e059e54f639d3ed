import numpy as np
import polars as pl
import pytest

from core import columns as c
from core import rng
from core.metrics import ece
from data.labels import definitions as labels
from monitoring import concept_drift as cd
from monitoring import data_drift as dd
from monitoring import observations as o
from tests.monitoring.made import DAYS, FIRST, rows, since, tallied

END = FIRST + 24 * DAYS


def test_a_calibrator_rises_and_is_right_on_average():
    random = rng.stream(1, "calibrator")
    p = random.random(20_000)
    clicked = random.random(20_000) < p**2
    found = cd.Calibrator.fit(p, clicked)
    assert (np.diff(found.rates) >= 0).all()
    assert found(p).mean() == pytest.approx(clicked.mean())
    assert found(np.array([0.5]))[0] == pytest.approx(0.25, abs=0.05)
    assert ece(clicked, p) == pytest.approx(1 / 6, abs=0.02)
    assert ece(clicked, found(p)) < 0.02


def test_the_rate_is_estimated_without_labels():
    random = rng.stream(2, "estimate")
    p = random.random(20_000)
    calibrator = cd.Calibrator.fit(p, random.random(20_000) < p)
    worse = random.random(5_000) * 0.5
    found = cd.estimated_rate(calibrator, worse, np.arange(5_000) // 10)
    assert found.low < 0.25 < found.high
    assert found.high - found.low < 0.02


def test_the_hour_of_a_change_is_found():
    frame = rows().with_columns(since(END - 30, clicked=pl.col(labels.CLICKED) & (pl.col(c.POSITION) >= 5)))
    tallies, reference = tallied(frame), dd.reference_ends(END, 14)
    found = cd.changed(dd.compare(tallies, END, reference), reference, "all", "click_residual")
    assert abs(found.hour - (END - 30)) <= 2
    assert found.earliest <= found.hour <= found.latest
    assert found.value / found.expected == pytest.approx(0.5, abs=0.1)
    assert found.may_begin_at(END - 30)
    assert not found.may_begin_at(END - 60)


def test_charts_react_within_hours_and_not_to_quiet_days():
    reference = dd.reference_ends(END, 14)
    quiet = tallied(rows())
    assert cd.charts(quiet, dd.compare(quiet, END, reference), reference) == []
    frame = rows().with_columns(since(END - 12, clicked=pl.col(labels.CLICKED) & (pl.col(c.POSITION) >= 5)))
    hit = tallied(frame)
    assert "click_residual" in cd.charts(hit, dd.compare(hit, END, reference), reference)


def test_late_labels_confirm():
    change = END - 96
    frame = rows().with_columns(since(change, regretted=pl.col(labels.CLICKED)))
    assert cd.confirm(frame, change, change + o.REGRETS_SETTLED_H) is None
    found = cd.confirm(frame, change, END)
    assert found is not None
    assert found.worse
    assert found.regretted.mean == pytest.approx(0.9, abs=0.03)
    still = cd.confirm(rows(), change, END)
    assert still is not None
    assert not still.worse
