import numpy as np
import pytest

from core import rng
from core.errors import BadInput
from experiments import power


@pytest.mark.parametrize(
    ("baseline", "lift", "observations"),
    [(0.1, 0.001, 1_419_070), (0.1, 0.002, 356_332), (0.1, 0.01, 14_749), (0.01, 0.001, 163_092), (0.1, 0.0001, 141_342_619)],
)
def test_observations_per_arm(baseline, lift, observations):
    assert power.plan(baseline, lift, 1.0).control == observations


def test_cohens_h_and_means():
    h = 2 * np.arcsin(np.sqrt(0.101)) - 2 * np.arcsin(np.sqrt(0.1))
    assert power.plan(0, h, 1.0, deviation=1).control == pytest.approx(1_419_065, abs=1)
    assert power.plan(0, h, 1.0, deviation=1, power=0.9).control == 1_899_726
    assert power.plan(400, 0.1, 1.0, deviation=1).treatment == 1_570
    assert power.plan(400, 12, 1.0, deviation=120).control == power.plan(0, 0.1, 1.0, deviation=1).control


def test_the_two_readings_of_a_lift_are_a_hundredfold_apart():
    absolute, relative = power.plan(0.1, 0.001, 300_000), power.plan(0.1, 0.001, 300_000, relative=True)
    assert (absolute.control, absolute.treatment, absolute.total) == (1_419_070, 1_419_070, 2_838_140)
    assert relative.control == 141_342_619


def test_durations_are_whole_weeks():
    found = power.plan(0.1, 0.001, 300_000)
    assert found.days == pytest.approx(9.46, abs=0.005)
    assert (found.weeks, found.viewers) == (2, found.total)
    assert found.detectable < 0.001
    assert power.plan(0.1, 0.05, 1e9).weeks == 1


def test_design_effect():
    assert power.design_effect(20, 0.05) == pytest.approx(1.95)
    clustered = power.plan(0.1, 0.01, 1e5, per_viewer=20, correlation=0.05)
    assert clustered.control == np.ceil(1.95 * 14_748.03)
    assert clustered.viewers == np.ceil(clustered.total / 20)


def test_unequal_arms_cost_more_in_all():
    equal, skewed = power.plan(0.1, 0.01, 1e5), power.plan(0.1, 0.01, 1e5, share=0.1)
    assert skewed.control == pytest.approx(9 * skewed.treatment, rel=1e-3)
    assert skewed.total > 2 * equal.total


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_the_planned_power_is_what_simulation_finds(share):
    plan = power.plan(0.1, 0.02, 1e5, share=share)
    random = rng.stream(0, "power", str(share))
    a, b = (random.binomial(n, p, 4_000) / n for n, p in ((plan.control, plan.baseline), (plan.treatment, plan.target)))
    error = np.sqrt(a * (1 - a) / plan.control + b * (1 - b) / plan.treatment)
    assert np.mean(np.abs(b - a) > 1.96 * error) == pytest.approx(0.8, abs=0.025)


@pytest.mark.parametrize(
    "wrong",
    [
        {"baseline": 0.0}, {"lift": 0.0}, {"lift": 1.0}, {"per_day": 0.0}, {"share": 1.0}, {"correlation": 2.0},
        {"alpha": 0.0}, {"power": 1.0}, {"deviation": 0.0}, {"deviation": -1.0}, {"per_day": float("inf")},
    ],
)  # fmt: skip
def test_senseless_plans_are_refused(wrong):
    with pytest.raises(BadInput):
        power.plan(**{"baseline": 0.1, "lift": 0.01, "per_day": 100.0} | wrong)
