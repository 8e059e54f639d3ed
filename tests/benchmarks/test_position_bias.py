from dataclasses import replace

import numpy as np
import pytest

from benchmarks import position_bias
from data.world import config as worlds


@pytest.fixture(scope="module")
def measured():
    return position_bias.measure(replace(worlds.tiny(), impressions=40_000), batch=64)


def test_the_true_examination_curve_is_recovered(measured):
    found = measured["examination"]
    assert len(found["true"]) == len(found["ranker"]) == 10
    assert found["true"][3] == pytest.approx(4.0 ** -worlds.tiny().behaviour.examination_decay)
    assert found["ranker_error"] < found["naive_error"]
    late = {name: np.abs(np.subtract(found[name], found["true"]))[5:].mean() for name in ("ranker", "naive")}
    assert late["ranker"] < 0.6 * late["naive"], "late slots held worse videos, which is not the slots' fault"


def test_click_probabilities_mean_what_they_say(measured):
    found = measured["calibration"]["logged"]
    assert found["mean_predicted"] == pytest.approx(found["mean_true"], rel=0.35)
    assert found["calibration_error"] < 0.04
    assert found["correlation"] > 0.3
