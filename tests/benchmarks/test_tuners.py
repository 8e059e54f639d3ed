import numpy as np
import pytest

from benchmarks import tuners
from core.rng import stream
from data.interactions import group
from pipelines.evaluation.cases import share_out
from pipelines.tuning.search import Found, Trial


def trial(number, value, epochs=None):
    return Trial(number, {}, value, 1.0, epochs)


def test_cost_is_counted_in_sweeps_up_to_the_first_that_is_good_enough():
    whole = Found("random", (trial(0, 0.1), trial(1, 0.3), trial(2, 0.4)))
    assert tuners.sweeps_to_reach(whole, 0.3) == 18
    assert tuners.sweeps_to_reach(whole, 0.5) is None
    early = Found("asha", (trial(0, 0.1, 1), trial(1, 0.2, 1), trial(1, 0.35, 3)))
    assert tuners.sweeps_to_reach(early, 0.3) == 5


def test_every_method_spends_as_much_as_the_grid_and_is_held_to_one_goal(monkeypatch):
    """A model whose value is known: best at alpha 8, l2 .01, and better the longer it learns."""

    def value(self, settings, epochs):
        apart = np.log(settings["alpha"] / 8) ** 2 + np.log(settings["l2"] / 0.01) ** 2
        return float(np.exp(-0.05 * apart) * (1 - 0.3 / (epochs or 9)))

    monkeypatch.setattr(tuners.Sweeps, "__call__", value)
    found = tuners.compare(tuners.Sweeps(None, None), range(1, 3))
    rows = {row["method"]: row for row in found["methods"]}
    assert {name: row["runs"] for name, row in rows.items()} == {"grid": 1, "random": 2, "tpe": 2, "asha": 2}
    assert rows["grid"]["trials"] == rows["random"]["trials"] == 16
    assert found["goal"] == pytest.approx(0.99 * found["best"])
    spent = [sum(one.epochs for one in tuners.run(tuners.Sweeps(None, None), "asha", seed).trials) for seed in (1, 2)]
    assert all(130 <= sweeps <= 144 for sweeps in spent)
    for row in rows.values():
        assert all(cost is None or 0 < cost <= 144 for cost in row["sweeps_to_goal"])


def test_a_setting_is_judged_by_what_it_finds():
    random = stream(1, "two tastes")
    pairs = np.array([(viewer, video) for viewer in range(60) for video in 10 * (viewer % 2) + random.permutation(10)[:6]])
    log = group(pairs[:, 0], pairs[:, 1].astype(np.int32), np.zeros(len(pairs), np.int64), 20, ordered=False)
    objective = tuners.Sweeps(*share_out(log, seed=1))
    assert objective({"alpha": 8.0, "l2": 0.01}, None) > objective({"alpha": 8.0, "l2": 30.0}, None)
