import dataclasses

import numpy as np
import pytest

from core import config as configs
from core import rng
from core.errors import ConfigError
from experiments import assignment
from experiments.canary import CanaryConfig, CanaryState, Phase, StepConfig, advance, end
from experiments.canary_rehearsal import RehearsalConfig, rehearse
from experiments.config import ExperimentsConfig, MetricConfig
from experiments.panel import Panel

CONFIG = CanaryConfig(
    steps=(StepConfig(0.1, 1, 100), StepConfig(0.5, 2, 500, proof=True)),
    guardrails=(MetricConfig("watch_s", margin=0.1),),
    planned_viewers=4_000,
    max_days=10,
)
START = CanaryState("b2b2b2b2b2", "a1", CONFIG)


def panel(share, factor=1.0, viewers=4_000, days=2, spread=0.5):
    """Exactly the designed shares; the candidate multiplies watch seconds by `factor`."""
    arm = (np.arange(viewers) < share * viewers).astype(np.int64)
    watch = 100 * (1 + spread * rng.stream(0, "canary panel").standard_normal(viewers)) * np.where(arm == 1, factor, 1.0)
    day = np.zeros(viewers, dtype=np.int64)
    day[-1] = days - 1
    return Panel(("control", "canary"), arm, np.arange(viewers), day, np.ones(viewers, dtype=bool), {"watch_s": watch})


def test_a_good_one_goes_step_by_step_and_arrives():
    second = advance(START, panel(0.1), at=1)
    assert (second.phase, second.step, second.share) == (Phase.RUNNING, 1, 0.5)
    done = advance(second, panel(0.5), at=2)
    assert (done.phase, done.share, done.experiment) == (Phase.ARRIVED, 1.0, None)
    assert [(look.at, look.step, look.decision) for look in done.looks] == [(1, 0, "go on"), (2, 1, "go on")]
    assert done.looks[0].viewers == (3_600, 400)


def test_a_bad_one_is_halted_and_nobody_gets_it_any_more():
    halted = advance(START, panel(0.1, factor=0.6), at=1)
    assert (halted.phase, halted.share, halted.experiment) == (Phase.HALTED, 0.0, None)
    assert "watch_s got worse" in halted.reason
    assert advance(halted, panel(0.1), at=2) == halted


@pytest.mark.parametrize(
    ("state", "rows", "reason"),
    [
        (START, None, "no viewer has been seen in both arms"),
        (START, panel(0.1, viewers=500), "50 of the 100 viewers"),
        (dataclasses.replace(START, step=1), panel(0.5, days=1), "2 are wanted"),
        (dataclasses.replace(START, step=1), panel(0.5, viewers=1_000, spread=3.0), "may be worse than the margin"),
    ],
)
def test_it_waits_for_what_it_needs(state, rows, reason):
    held = advance(state, rows, at=1)
    assert (held.phase, held.step) == (Phase.RUNNING, state.step)
    assert reason in held.reason


def test_what_cannot_be_shown_to_be_harmless_ends_after_the_longest_stay():
    late = advance(dataclasses.replace(START, step=1), panel(0.5, viewers=1_000, spread=3.0, days=10), at=1)
    assert late.phase == Phase.HALTED
    assert "may be worse" in late.reason


def test_broken_assignment_halts():
    assert "do not match" in advance(START, panel(0.3), at=1).reason
    mixed = dataclasses.replace(panel(0.1), mixed=400)
    assert "seen in both arms" in advance(START, mixed, at=1).reason


def test_a_metric_that_never_happens_stands_in_nobodys_way():
    never = dataclasses.replace(CONFIG, guardrails=(MetricConfig("dislikes", better="lower", margin=0.5),))
    rows = panel(0.5)
    rows = dataclasses.replace(rows, columns={"dislikes": np.zeros(len(rows.viewer_N))})
    state = CanaryState("b2", "a1", never, step=1)
    assert advance(state, rows, at=1).phase == Phase.ARRIVED


def test_who_has_met_the_candidate_keeps_it_while_its_share_grows():
    viewers, before = np.arange(20_000), np.zeros(20_000, dtype=bool)
    for step in (0, 1):
        running = dataclasses.replace(START, step=step).experiment
        arm = assignment.Assigner(ExperimentsConfig((running,))).assign(viewers)[running.name].arm_B
        assert (arm == 1).mean() == pytest.approx(CONFIG.steps[step].share, abs=0.01)
        assert (arm[before] == 1).all()
        before = arm == 1
    assert running.arms[1].release == START.release_id


def test_each_step_has_a_name_of_its_own_so_that_it_is_judged_alone():
    assert len({dataclasses.replace(START, step=step).experiment.name for step in (0, 1)}) == 2


def test_state_survives_the_file():
    state = end(advance(START, panel(0.1), at=1), Phase.STOPPED, 2, "enough")
    assert configs.from_dict(CanaryState, configs.to_dict(state)) == state
    assert (state.share, state.reason) == (0.0, "enough")


@pytest.mark.parametrize(
    "wrong", [{"steps": ()}, {"steps": (StepConfig(0.5, 1, 9), StepConfig(0.1, 1, 9))}, {"guardrails": ()}]
)
def test_a_plan_that_cannot_work_is_refused(wrong):
    with pytest.raises(ConfigError):
        CanaryConfig(**wrong)


SMALL = RehearsalConfig(runs=200, viewers=3_000, canary=dataclasses.replace(
    CanaryConfig(), steps=(StepConfig(0.1, 1, 50), StepConfig(0.5, 2, 200, proof=True)), planned_viewers=2_000,
    guardrails=(MetricConfig("watch_s", margin=0.2), MetricConfig("ctr", "clicks", "impressions", margin=0.2)),
))  # fmt: skip


def test_false_halts_are_rare_over_two_hundred_canaries_where_nothing_differs():
    found = rehearse(SMALL)
    assert found.share(Phase.HALTED) <= 0.02
    assert found.share(Phase.ARRIVED) >= 0.95


def test_a_bad_candidate_is_halted_before_many_have_met_it():
    found = rehearse(dataclasses.replace(SMALL, runs=30, click_factor=0.4))
    assert found.share(Phase.HALTED) == 1.0
    assert found.mean("exposure") < 0.15
    assert found.mean("met") < 0.15 * SMALL.viewers


def test_the_same_seed_is_the_same_rehearsal():
    few = dataclasses.replace(SMALL, runs=2)
    assert rehearse(few) == rehearse(few)
