import dataclasses
import json

import numpy as np
import pytest

from experiments.analysis import analyse
from experiments.config import AnalysisConfig, ArmConfig, MetricConfig
from experiments.decision import Choice
from experiments.guardrails import Safety
from experiments.panel import Panel
from tests.experiments.trials import EXPERIMENT, MONDAY, panel, trial


def choice(report):
    return report.arms[0].verdict.choice


def test_a_real_gain_is_shipped_and_the_truth_is_inside():
    report = analyse(panel(watch=1.1), EXPERIMENT)
    primary = report.arms[0].effects[0]
    assert choice(report) is Choice.SHIP
    assert report.headline.startswith("Ship 'treatment': it is better")
    assert primary.lift.low < 0.1 < primary.lift.high
    assert primary.always.low < primary.difference.low < primary.difference.high < primary.always.high
    assert primary.variance_saved > 0.3
    assert {effect.safety for effect in report.arms[0].effects if effect.role == "guardrail"} == {Safety.SAFE}


def test_nothing_is_not_shipped():
    assert choice(analyse(panel(), EXPERIMENT)) is Choice.DO_NOT_SHIP


def test_a_slower_page_stops_a_real_gain():
    report = analyse(panel(watch=1.1, page_ms=1.2), EXPERIMENT)
    assert choice(report) is Choice.DO_NOT_SHIP
    assert "page_ms worse" in report.headline


def test_a_guardrail_that_measured_nothing_is_not_safe():
    viewers, days, arms, columns = trial(watch=1.1)
    columns |= {"returned": 0 * columns["returned"], "returnable": 0 * columns["returnable"]}  # a log too short to know
    report = analyse(Panel.of(viewers, days, arms, columns, EXPERIMENT.arm_names), EXPERIMENT)
    assert choice(report) is Choice.DO_NOT_SHIP
    assert "of retention nothing was measured" in report.headline
    assert [effect.safety for effect in report.arms[0].effects[-2:]] == [Safety.SAFE, Safety.UNMEASURED]


def test_a_sample_ratio_mismatch_blocks_whatever_the_effect():
    report = analyse(panel(watch=2.0, share=0.45), EXPERIMENT)
    assert choice(report) is Choice.INVALID
    assert report.headline.startswith("Invalid: viewers per arm")


def test_designed_weights_are_no_mismatch():
    weighted = dataclasses.replace(EXPERIMENT, arms=(ArmConfig("control", 0.55), ArmConfig("treatment", 0.45)))
    assert choice(analyse(panel(watch=1.1, share=0.45), weighted)) is Choice.SHIP


def test_before_the_weekend_it_keeps_running_and_later_only_certainty_stops_it():
    assert "Saturday and Sunday" in analyse(panel(watch=1.5, days=5), EXPERIMENT).headline
    early = analyse(panel(watch=1.5, days=8), EXPERIMENT)
    assert choice(early) in (Choice.SHIP, Choice.KEEP_RUNNING)
    assert early.arms[0].effects[0].adjusted_p == early.arms[0].effects[0].always.p
    assert choice(analyse(panel(watch=1.002, days=8), EXPERIMENT)) is Choice.KEEP_RUNNING


def test_what_comes_after_the_planned_end_changes_nothing():
    """A verdict at a fixed horizon that is looked at again and again would be peeking."""
    viewers, days, arms, columns = trial(watch=1.02, days=20)
    on_time = days < MONDAY + 14
    cut = [arm for arm, kept in zip(arms, on_time.tolist(), strict=True) if kept]
    planned = Panel.of(viewers[on_time], days[on_time], cut, {k: v[on_time] for k, v in columns.items()}, EXPERIMENT.arm_names)
    once, later = (
        analyse(each, EXPERIMENT) for each in (planned, Panel.of(viewers, days, arms, columns, EXPERIMENT.arm_names))
    )
    assert (once.late, later.late) == (0, 6)
    assert dataclasses.replace(later, late=0) == once


def test_viewers_who_came_after_the_planned_end_are_not_counted():
    rows = [
        (1, 0, "control"),
        (2, 0, "control"),
        (3, 0, "treatment"),
        (4, 0, "treatment"),
        (5, 21, "treatment"),
        (1, 21, "control"),
    ]
    late = Panel.of(*zip(*((v, MONDAY + d, a) for v, d, a in rows), strict=True), {"watch_s": np.ones(6)}, EXPERIMENT.arm_names)
    bare = dataclasses.replace(EXPERIMENT, analysis=AnalysisConfig(MetricConfig("watch_s")))
    report = analyse(late, bare)
    assert report.sample_ratio.counts == (2, 2)
    assert (report.finished, report.days.length, report.late) == (True, 14, 8)
    assert report.arms[0].effects[0].control == 1.0


def test_cuped_can_be_turned_off_and_is_off_without_a_past():
    off = dataclasses.replace(EXPERIMENT, analysis=dataclasses.replace(EXPERIMENT.analysis, cuped=False))
    plain = analyse(panel(watch=1.1), off).arms[0].effects[0]
    adjusted = analyse(panel(watch=1.1), EXPERIMENT).arms[0].effects[0]
    assert plain.variance_saved == 0
    assert adjusted.difference.high - adjusted.difference.low < plain.difference.high - plain.difference.low
    assert analyse(panel(before=0), EXPERIMENT).arms[0].effects[0].variance_saved == 0


def test_secondary_metrics_are_corrected_together():
    effects = {effect.metric: effect for effect in analyse(panel(seed=3), EXPERIMENT).arms[0].effects}
    assert max(effects["ctr"].adjusted_p, effects["likes"].adjusted_p) == pytest.approx(
        max(effects["ctr"].difference.p, effects["likes"].difference.p)
    )
    assert effects["ctr"].adjusted_p >= effects["ctr"].difference.p


def test_several_arms_are_judged_one_by_one():
    viewers, days, arms, columns = trial(watch=1.15, num_viewers=6_000)
    split = [("other" if arm == "control" and viewer % 2 else arm) for viewer, arm in zip(viewers.tolist(), arms, strict=True)]
    three = dataclasses.replace(EXPERIMENT, arms=(ArmConfig("control", 1), ArmConfig("treatment", 2), ArmConfig("other", 1)))
    report = analyse(Panel.of(viewers, days, split, columns, three.arm_names), three)
    assert [arm.verdict.choice for arm in report.arms] == [Choice.SHIP, Choice.DO_NOT_SHIP]
    primaries = [arm.effects[0] for arm in report.arms]
    assert primaries[0].adjusted_p == pytest.approx(min(2 * primaries[0].difference.p, primaries[1].difference.p))


def test_repeating_rows_within_viewers_adds_no_certainty():
    """Ten identical copies of every viewer-day change no interval of a ratio: viewers are the unit."""
    viewers, days, arms, columns = trial(num_viewers=1_000)
    once = analyse(Panel.of(viewers, days, arms, columns, EXPERIMENT.arm_names), EXPERIMENT)
    copies = Panel.of(
        np.tile(viewers, 10),
        np.tile(days, 10),
        arms * 10,
        {k: np.tile(v, 10) for k, v in columns.items()},
        EXPERIMENT.arm_names,
    )
    often = analyse(copies, EXPERIMENT)
    for mine, theirs in zip(once.arms[0].effects, often.arms[0].effects, strict=True):
        assert theirs.difference.p == pytest.approx(mine.difference.p)


def test_false_positives_of_the_whole_flow():
    wrong = sum(
        analyse(panel(seed=seed, num_viewers=300, before=3), EXPERIMENT).arms[0].effects[0].difference.p < 0.05
        for seed in range(200)
    )
    assert wrong <= 21  # 99.9 % point of the binomial(200, .05)


def test_a_report_is_plain_json():
    text = json.dumps(analyse(panel(days=3, num_viewers=300), EXPERIMENT).to_json(), allow_nan=False)
    assert json.loads(text)["arms"][0]["novelty"]["slope"]["p"] is None
