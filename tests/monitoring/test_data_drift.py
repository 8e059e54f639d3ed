import numpy as np
import polars as pl
import pytest

from core import columns as c
from core import rng, two_sample
from data.labels import definitions as labels
from monitoring import data_drift as dd
from monitoring import observations as o
from monitoring import signals as sg
from tests.monitoring.made import DAYS, FIRST, rows, since, tallied

END = FIRST + 24 * DAYS


def compared(frame: pl.DataFrame, end: int = END) -> dd.Comparison:
    return dd.compare(tallied(frame), end, dd.reference_ends(end, 14))


def test_reference_windows_keep_the_clock_hour_and_a_gap():
    assert dd.reference_ends(1_000, 3) == [1_000 - 96, 1_000 - 72, 1_000 - 48]


def test_p_values_of_quiet_days_are_uniform_enough():
    scattered = [sg.place(name) for name in ("click_rate", "click_residual", "watch_log_s", "crowding", "like_rate")]
    p = np.concatenate([compared(rows(seed)).p_GS[:, scattered].ravel() for seed in range(8)])
    p = p[np.isfinite(p)]
    assert len(p) > 200
    assert np.mean(p < 0.05) < 0.08
    assert np.mean(p < 0.001) < 0.004
    assert 0.4 < np.mean(p) < 0.65


def test_a_change_of_clicks_is_found_with_its_size():
    frame = rows().with_columns(since(END - 24, clicked=pl.col(labels.CLICKED) & (pl.col(c.POSITION) >= 5)))
    found = compared(frame).findings(1e-3)
    first = next(finding for finding in found if (finding.signal, finding.segment) == ("click_rate", "all"))
    assert first.effect == pytest.approx(-0.5, abs=0.06)
    assert first.q < 1e-6


def test_weekends_and_trends_are_expected():
    day = (pl.col(o.HOUR) - FIRST) // 24
    weekend = (day % 7 >= 5).cast(pl.Float64)
    lifted = pl.col(labels.WATCH_S) * (0.05 * day + 0.6 * weekend).exp()
    frame = rows().with_columns(lifted.alias(labels.WATCH_S))
    saturday = FIRST + 24 * 20
    cell = sg.place("watch_log_s")
    found = compared(frame, saturday)
    assert found.value_GS[0, cell] == pytest.approx(5 + 0.05 * 19 + 0.6, abs=0.15)
    assert found.expected_GS[0, cell] == pytest.approx(5 + 0.05 * 19 + 0.6, abs=0.15)
    assert found.p_GS[0, cell] > 0.01


def test_small_cells_are_not_tested_and_small_changes_not_worth_an_alarm():
    few = compared(rows(per_hour=10))
    assert np.isnan(few.p_GS[0, sg.place("pages")])
    frame = rows(per_hour=300).with_columns(since(END - 24, watch_s=pl.col(labels.WATCH_S) * 1.2))
    found = compared(frame)
    assert found.q_GS[0, sg.place("watch_log_s")] < 1e-3
    assert [finding for finding in found.findings(1e-3) if (finding.signal, finding.segment) == ("watch_log_s", "all")] == []


def test_one_missing_value_is_no_alarm():
    first = pl.int_range(pl.len()) == pl.len() - 1
    frame = rows().with_columns(pl.when(first).then(None).otherwise(pl.col(labels.WATCH_S)).alias(labels.WATCH_S))
    frame = frame.with_columns((pl.col(o.REPORTED) | first).alias(o.REPORTED))
    assert compared(frame).findings(1e-3) == []


def normal_days(random: np.random.Generator, shift: float = 0.0, wander: float = 0.0) -> list[np.ndarray]:
    days = [random.standard_normal(400) + wander * random.standard_normal() for _ in range(15)]
    return [*days[:-1], days[-1] + shift]


def test_psi_stays_under_its_limit_on_days_alike_even_if_days_wander():
    random = rng.stream(1, "psi")
    for wander, effect in ((0.0, (1.0, 1.6)), (0.2, (2.0, 20.0))):
        found = [
            dd.numeric_drift("x", "all", days[:-1], days[-1]) for days in (normal_days(random, 0, wander) for _ in range(40))
        ]
        assert np.mean([one.psi > one.limit for one in found]) < 0.03
        assert effect[0] <= np.mean([one.design_effect for one in found]) < effect[1]


def test_psi_of_a_shift():
    days = normal_days(rng.stream(2, "psi"), shift=0.5)
    found = dd.numeric_drift("x", "all", days[:-1], days[-1])
    assert found.psi == pytest.approx(0.2377, abs=0.08)
    assert found.ks == pytest.approx(0.197, abs=0.06)
    assert found.psi > found.limit
    assert sum(found.actual) == pytest.approx(1.0)


def test_missing_and_impossible_values():
    days = [np.linspace(0, 1, 100)] * 8
    found = dd.numeric_drift("x", "all", days, np.concatenate([np.full(50, np.nan), np.full(25, 0.5), np.full(25, 9.0)]))
    assert (found.missing, found.missing_before, found.outside) == pytest.approx((0.5, 0.0, 0.5))
    empty = dd.numeric_drift("x", "all", days, np.full(10, np.nan))
    assert (empty.missing, empty.ks) == (1.0, 1.0)


def test_validity_counts_what_is_given_impossible_and_missing():
    days = [np.linspace(0, 1, 100)] * 8
    today = np.concatenate([np.full(50, np.nan), np.full(25, 0.5), np.full(25, 9.0)])
    found = dd.validity_drift("x", "all", days, today)
    assert found.labels == ("given", "impossible", "missing")
    assert (found.expected, found.actual) == (pytest.approx((1, 0, 0)), pytest.approx((0.25, 0.25, 0.5)))
    assert (found.missing, found.missing_before, found.outside, found.rows) == pytest.approx((0.5, 0.0, 0.5, 100))
    assert found.psi > found.limit
    assert dd.validity_drift("x", "all", days, days[0]) is None  # all given
    assert dd.validity_drift("x", "all", [np.full(5, np.nan)] * 8, np.full(5, np.nan)) is None


def test_a_few_nulls_are_seen_that_no_histogram_shows():
    days = normal_days(rng.stream(3, "psi"))
    today = np.where(np.arange(400) < 16, np.nan, days[-1])
    histogram, validity = dd.numeric_drift("x", "all", days[:-1], today), dd.validity_drift("x", "all", days[:-1], today)
    assert histogram.psi < histogram.limit
    assert validity.psi > validity.limit
    assert validity.p < 1e-6


def test_days_whose_extremes_wander_or_grow_have_nothing_impossible():
    random = rng.stream(4, "psi")
    wandering = (normal_days(random, 0, 0.3) for _ in range(40))
    assert [dd.validity_drift("x", "all", days[:-1], days[-1]) for days in wandering] == [None] * 40
    growing = [(day + 1) * np.linspace(0, 1, 100) for day in range(15)]
    assert dd.validity_drift("x", "all", growing[:-1], growing[-1]) is None


def test_categories():
    days = [["a"] * 60 + ["b"] * 40] * 8
    same = dd.category_drift("k", "all", days, ["a"] * 30 + ["b"] * 20)
    assert (same.ks, same.outside) == pytest.approx((0.0, 0.0))
    other = dd.category_drift("k", "all", days, ["a"] * 30 + ["c"] * 20 + [None] * 50)
    assert (other.ks, other.outside, other.missing) == pytest.approx((0.4, 0.4, 0.5))
    assert other.js == pytest.approx(two_sample.jensen_shannon([480, 320, 0], [30, 0, 20]))
    assert other.psi > other.limit
