from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import data_checks
from core import columns as c
from data import profile
from data.expectations import Outcome
from data.world import config, simulate


@pytest.fixture(scope="module")
def sides():
    quiet = simulate.generate(replace(config.tiny(), days=14, impressions=20_000))
    return list(data_checks.pairs(quiet, 100, 3, np.random.default_rng(1)))


def test_nobody_is_in_both_groups(sides):
    for side in sides:
        assert len(side.other.events[c.VIEWER_ID].unique()) <= 100
        assert side.alike == profile.histograms(side.other, side.known)
        assert side.alike != side.known


def test_watches_twice_as_long_are_noticed_and_unchanged_ones_are_not(sides):
    assert data_checks.noticed_share(sides, 2.0) == 1.0
    assert data_checks.noticed_share(sides, 1.0) == 0.0


def test_alarms_by_each_limit():
    def outcome(psi: float, severity: str) -> Outcome:
        return Outcome("shift", "seconds of a watch", psi, 0.0, 0.0, 0.2, severity, 100)

    found = data_checks.alarm_shares([outcome(0.05, "ok"), outcome(0.15, "ok"), outcome(0.22, "warn"), outcome(0.3, "fail")])
    assert list(found.values()) == [0.75, 0.25, 0.5]


def test_the_figures_have_a_mark_for_every_number():
    interval = {"mean": 0.2, "low": -0.1, "high": 0.4}
    curve = {"false alarms": {"limit": {25: interval, 50: interval}}, "noticed": {"25 viewers each": {1.1: interval}}}
    days = {
        f"2026-02-0{day}": {"observed": 9.0, "expected": 10.0, "low": 8.0, "high": 12.0, "severity": "ok"} for day in (1, 2)
    }
    for drawn, marks in ((data_checks.checks_figure(curve), 3), (data_checks.volume_figure(days), 4)):
        assert len(ElementTree.fromstring(drawn).findall("{http://www.w3.org/2000/svg}circle")) == marks
