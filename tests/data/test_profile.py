from dataclasses import replace

import numpy as np
import pytest

from core.clock import DAY_MS, HOUR_MS
from data import profile
from data.world import config, simulate


@pytest.fixture(scope="module")
def world():
    return simulate.generate(config.tiny())


def test_volumes_count_every_event_of_complete_days(world):
    found = profile.build(world, "x")
    days = [f"2026-01-{day:02}" for day in range(5, 19)]
    assert {kind: list(counts) for kind, counts in found.volumes.items()} == dict.fromkeys(found.volumes, days)
    assert sum(sum(counts.values()) for counts in found.volumes.values()) == len(world.events)


def test_a_histogram_counts_its_rows(world):
    found = profile.histograms(world)
    watches = world.events.filter(kind="watch")
    assert found["seconds of a watch"].total(found["seconds of a watch"].days).sum() == len(watches)
    assert len(found["seconds of a watch"].edges) == 9
    kinds = found["kind of event"]
    assert dict(zip(kinds.labels, kinds.total(kinds.days), strict=False))["watch"] == len(watches)
    again = profile.histograms(world, found)
    assert {name: h.days for name, h in again.items()} == {name: h.days for name, h in found.items()}


def test_what_was_not_there_before_is_other(world):
    known = {"kind of event": replace(profile.histograms(world)["kind of event"], labels=("click",))}
    (other,) = profile.histograms(world, known).values()
    clicks, rest = other.total(other.days)
    assert clicks == len(world.events.filter(kind="click"))
    assert clicks + rest == len(world.events.filter(world.events["kind"] != "upload"))


def test_large_logs_are_read_by_whole_viewers(world, monkeypatch):
    monkeypatch.setattr(profile, "LARGEST_SAMPLE", 5_000)
    found = profile.histograms(world)["kind of event"]
    assert 3_000 < found.total(found.days).sum() < 8_000


def test_it_survives_being_stored(world, tmp_path):
    found = profile.build(world, "abc")
    assert profile.accepted(tmp_path) is None
    profile.accept(tmp_path, found)
    assert profile.accepted(tmp_path) == found


def test_complete_days():
    day = 20_000 * DAY_MS
    assert profile.complete_days(day, day + DAY_MS - 1) == ["2024-10-04"]
    assert profile.complete_days(day + 4 * HOUR_MS, day + DAY_MS) == []
    assert profile.complete_days(day, day + 20 * HOUR_MS) == []
    assert profile.complete_days(day - 4 * HOUR_MS, day + 3 * DAY_MS) == ["2024-10-04", "2024-10-05", "2024-10-06"]


def test_design_effect_in_closed_form():
    viewers = np.repeat(np.arange(100), 8)
    same = np.repeat(np.arange(100) % 2, 8)  # a viewer's rows are copies of each other: eight rows are worth one
    assert profile.design_effect(viewers, same, 2) == pytest.approx(8 * 100 / 99)
    balanced = np.tile([0, 1], 400)  # every viewer alike: less than independent, counted as 1
    assert profile.design_effect(viewers, balanced, 2) == 1.0
    alone = np.random.default_rng(1).integers(0, 5, 5_000)
    assert profile.design_effect(np.arange(5_000), alone, 5) == pytest.approx(1.0, abs=0.001)
    assert profile.design_effect(np.zeros(50, dtype=np.int64), np.arange(50) % 2, 2) == 50.0
    assert profile.design_effect(viewers, np.zeros(800, dtype=np.int64), 3) == 1.0
