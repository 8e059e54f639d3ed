from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import cold_regret
from benchmarks.cold_regret import Scene


def test_regret_of_the_best_page_is_zero_and_of_another_what_it_lacks():
    truth = SimpleNamespace(examination=lambda position: 1.0 / (1.0 + position))
    scene = Scene(None, None, SimpleNamespace(truth=truth), np.zeros(0))
    worth = np.array([[4.0, 2.0, 1.0, -np.inf]])
    assert scene.regret(worth, worth, 2)[0] == 0.0
    backwards = np.array([[1.0, 2.0, 3.0, 9.0]])  # 1, then 2, without the one that is not on offer
    assert scene.regret(worth, backwards, 2)[0] == pytest.approx(1 - (1 + 2 / 2) / (4 + 2 / 2))


def test_the_default_order_is_chance():
    truth = SimpleNamespace(examination=lambda position: np.ones_like(position, dtype=float))
    scene = Scene(None, None, SimpleNamespace(truth=truth), np.zeros(0))
    worth = np.tile(np.arange(1.0, 5.0), (4_000, 1))
    assert scene.regret(worth, np.zeros_like(worth), 1).mean() == pytest.approx(1 - 2.5 / 4, abs=0.02)


def test_content_saves_a_tenth_of_the_regret_of_new_videos_and_clicks_of_new_viewers(trained):
    found = cold_regret.measure(trained[1].space)
    ages = found["videos_by_age_days"]
    assert len(ages) >= 3
    assert all(row["strategies"]["learned"]["saved_low"] > 0.1 for row in ages)
    after_one = next(row for row in found["viewers_by_clicks"] if row["clicks"] == 1)
    assert after_one["strategies"]["learned"]["saved_low"] > 0
