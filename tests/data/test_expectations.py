"""Known shifts against known limits; and worlds, quiet and broken."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from scipy import stats

from core import columns as c
from core.clock import DAY_MS
from data import expectations, profile
from data.measures import MEASURES
from data.profile import Histogram
from data.world import config, simulate
from data.world.config import Fault, FaultKind

MONDAY = date(2026, 1, 5)
WEEK = np.array([1.0, 1.0, 1.0, 1.1, 1.2, 1.6, 1.5]) * 1e6
SHIFTING, RATE = "seconds of a watch", "impressions without a propensity"


def history(weeks, growth=0.0, noise=0.01, seed=0):
    random = np.random.default_rng(seed)
    days = [str(MONDAY + timedelta(days=day)) for day in range(7 * weeks)]
    counts = [WEEK[i % 7] * np.exp(growth * i / 7 + noise * random.standard_normal()) for i in range(len(days))]
    return {"click": {day: int(count) for day, count in zip(days, counts, strict=True)}}


def next_day(weeks, count, day=0, **more):
    at = str(MONDAY + timedelta(days=7 * weeks + day))
    (outcome,) = expectations.volumes(history(weeks, **more), {"click": {at: count}}, [at])
    return outcome


def test_half_of_a_usual_monday_fails():
    outcome = next_day(4, 500_000)
    assert outcome.severity == "fail"
    assert outcome.expected == pytest.approx(1e6, rel=0.02)
    assert outcome.to_text().startswith("500,000, usually 1,00") or outcome.to_text().startswith("500,000, usually 99")


@pytest.mark.parametrize(("day", "count", "severity"), [
    (0, 1_000_000, "ok"), (5, 1_600_000, "ok"), (0, 1_600_000, "warn"), (5, 1_000_000, "fail"),
    (0, 750_000, "warn"), (0, 3_000_000, "warn"), (0, 4_100_000, "fail"), (0, 0, "fail"),
])  # fmt: skip
def test_a_saturday_is_no_monday(day, count, severity):
    assert next_day(4, count, day).severity == severity


def test_growth_moves_the_level():
    assert next_day(6, int(1e6 * np.exp(0.1 * 6)), growth=0.1).severity == "ok"
    assert next_day(6, 1_300_000, growth=0.1).severity == "warn"


def test_one_bad_day_in_the_past_changes_little():
    broken = history(4)
    broken["click"][str(MONDAY + timedelta(days=7))] = 1
    at = str(MONDAY + timedelta(days=28))
    (outcome,) = expectations.volumes(broken, {"click": {at: 1_000_000}}, [at])
    assert outcome.severity == "ok"
    assert outcome.expected == pytest.approx(1e6, rel=0.05)


def test_without_three_weeks_only_a_collapse_is_seen():
    assert next_day(2, 500_000).severity == "ok"
    assert next_day(2, 100_000).severity == "fail"


def test_small_counts_may_vary_as_poisson_does():
    days = {str(MONDAY + timedelta(days=day)): 16 for day in range(28)}
    at = str(MONDAY + timedelta(days=28))
    assert [expectations.volumes({"like": days}, {"like": {at: n}}, [at])[0].severity for n in (8, 16, 30)] == ["ok"] * 3


def histograms(name, counts, effect=1.0, labels=(), edges=(), first=MONDAY):
    return {name: Histogram(edges, labels, {str(first): tuple(counts)}, effect)}


def shifted(before, after, effect=1.0, name=SHIFTING):
    edges = tuple(map(float, range(len(before) - 1)))
    later = MONDAY + timedelta(days=7)
    known, found = histograms(name, before, effect, edges=edges), histograms(name, after, effect, edges=edges, first=later)
    return expectations.shifts(known, found)[0]


def test_psi_of_a_known_shift_and_its_verdict():
    outcome = shifted([10_000, 20_000, 40_000, 20_000, 10_000], [20_000] * 5)
    assert outcome.observed == pytest.approx(0.4 * np.log(2), abs=1e-4)
    assert outcome.severity == "fail"
    assert shifted([2500] * 4, [3500, 3000, 2000, 1500]).severity == "warn"
    assert shifted([2500] * 4, [3000, 2500, 2500, 2000]).severity == "ok"
    assert shifted([10_000, 40_000, 10_000], [20_000] * 3, name="source of an impression").severity == "warn"


def test_the_limit_knows_sample_size_and_clusters():
    small = shifted([10] * 10, [10] * 10)
    assert small.high == pytest.approx(stats.chi2.ppf(1 - expectations.ALPHA, 9) * 2 / 100)
    assert small.high > 0.25
    assert shifted([1000] * 10, [1000] * 10).high == 0.1
    assert shifted([1000] * 10, [1000] * 10, effect=100.0).high == pytest.approx(small.high)


def test_only_alike_weekdays_are_compared():
    days = {str(MONDAY): (900, 100), str(MONDAY + timedelta(days=5)): (100, 900)}
    known = {SHIFTING: Histogram((1.0,), (), days, 1.0)}
    for day, severity in ((7, "ok"), (12, "fail"), (8, "fail")):
        found = {SHIFTING: Histogram((1.0,), (), {str(MONDAY + timedelta(days=day)): (900, 100)}, 1.0)}
        assert expectations.shifts(known, found)[0].severity == severity


@pytest.mark.parametrize(("empty", "rows", "severity"), [(0.5, 1000, "ok"), (0.515, 10**6, "ok"), (0.53, 10**6, "warn"),
                                                          (0.7, 10**6, "fail"), (0.7, 20, "ok")])  # fmt: skip
def test_empty_fields(empty, rows, severity):
    known = histograms(RATE, [rows // 2, rows // 2], labels=("empty",))
    found = histograms(RATE, [round(rows * empty), round(rows * (1 - empty))], labels=("empty",))
    (outcome,) = expectations.shifts(known, found)
    assert (outcome.severity, outcome.num_rows) == (severity, round(rows * empty))
    assert (outcome.observed, outcome.expected) == (pytest.approx(empty), 0.5)


def test_clustered_noise_stays_below_the_limit_and_passes_the_naive_one():
    """Viewers who each have a taste of their own, twice the same distribution: what the design effect is for."""
    over_naive, over_clustered, trials, alpha = 0, 0, 60, 0.05
    for seed in range(trials):
        random = np.random.default_rng(seed)
        counts, effects = [], []
        for _ in range(2):
            tastes = random.dirichlet(np.ones(6), 150)
            bins = np.concatenate([random.choice(6, 40, p=taste) for taste in tastes])
            counts.append(np.bincount(bins, minlength=6))
            effects.append(profile.design_effect(np.repeat(np.arange(150), 40), bins, 6))
        psi = expectations.two_sample.psi(*counts)
        limits = [
            expectations.two_sample.psi_noise(6, *(round(6000 / e) for e in es), 1 - alpha)[1] for es in ([1, 1], effects)
        ]
        over_naive, over_clustered = over_naive + (psi > limits[0]), over_clustered + (psi > limits[1])
    assert over_naive > 0.5 * trials
    assert stats.binomtest(over_clustered, trials, alpha).pvalue > 0.001


@pytest.fixture(scope="module")
def quiet():
    return simulate.generate(replace(config.tiny(), days=28, impressions=40_000))


def start_of_last_day(dataset):
    return dataset.end_at // DAY_MS * DAY_MS


def test_a_quiet_world_raises_nothing(quiet):
    accepted = profile.build(quiet.until(start_of_last_day(quiet)))
    outcomes = expectations.compare(accepted, quiet)
    assert {outcome.group for outcome in outcomes} == {"volume", "shift", "empty"}
    assert [outcome.what for outcome in outcomes if outcome.severity != "ok"] == []
    assert expectations.compare(profile.build(quiet), quiet) == []


def test_watch_seconds_in_milliseconds_fail():
    fault = Fault(FaultKind.UNIT_CHANGE, from_day=27, until_day=28)
    broken = simulate.generate(replace(config.tiny(), days=28, impressions=40_000, faults=(fault,)))
    outcomes = expectations.compare(profile.build(broken.until(start_of_last_day(broken))), broken)
    failed = {outcome.what for outcome in outcomes if outcome.severity == "fail"}
    assert failed == {"seconds of a watch", "watched share of the video"}


def test_a_silent_kind_and_a_silent_day_fail(quiet):
    last = start_of_last_day(quiet)
    accepted = profile.build(quiet.until(last - 2 * DAY_MS))
    silent = replace(quiet, events=quiet.events.filter((pl.col(c.KIND) != "click") | (pl.col(c.RECEIVED_AT) < last)))
    failed = [outcome.what for outcome in expectations.compare(accepted, silent) if outcome.severity == "fail"]
    assert [what for what in failed if "events on" in what] == ["click events on 2026-02-01"]
    stopped = expectations.compare(accepted, quiet.until(last), now=last + DAY_MS)
    failed = [outcome.what for outcome in stopped if outcome.severity == "fail"]
    assert {"impression events on 2026-02-01", "click events on 2026-02-01"} <= set(failed)


def test_every_measure_has_its_own_name():
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)
