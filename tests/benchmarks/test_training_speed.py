import pytest

from benchmarks.training_speed import OURS, THEIRS, speeds


def test_ratios_are_within_rounds():
    rounds = [
        {OURS: {"seconds": 4.0, "cpu_seconds": 2.0}, THEIRS: {"seconds": 9.0, "cpu_seconds": 8.0}},
        {OURS: {"seconds": 2.0, "cpu_seconds": 1.0}, THEIRS: {"seconds": 9.0, "cpu_seconds": 2.0}},
    ]
    found = speeds(rounds, positions=100)
    assert found[OURS]["positions_per_cpu_s"] == [50, 100]
    assert found[OURS]["positions_per_s"] == [25, 50]
    assert found[THEIRS]["by_round"] == [0.25, 0.5]
    assert found[THEIRS]["cpu_speed_against_ours"] == pytest.approx(0.375)
