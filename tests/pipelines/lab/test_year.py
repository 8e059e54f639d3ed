"""A year of four weeks on its tiny world: killed, continued, summed up, drawn."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core import columns as c
from core import events as ev
from core.clock import DAY_MS, stamp
from core.errors import BadInput, ConfigError
from data import dataset as datasets
from data.dataset import conform
from data.splits import TimeSplit
from data.validation_report import Finding, ValidationReport
from data.world import faults
from data.world.config import FaultKind
from data.world.world import World
from experiments.canary import CanaryConfig, CanaryState
from monitoring.severity import Action, Cause, Diagnosis, Severity
from pipelines.lab import year as lab_year
from pipelines.lab import (
    year_canary,
    year_config,
    year_gates,
    year_report,
    year_summary,
    year_training,
    year_watch,
    year_week,
)
from pipelines.lab.state import EVENTS, Shelf
from pipelines.lab.year_config import BAD_SERVING, BAD_TRAINING, BLIND, FROZEN, SYSTEM, YearFault
from pipelines.progress import Stages
from tests.pipelines.lab.killing import kill_after_first_week

CONFIG, WEEKS = year_config.tiny(), 3
CHILD = """
import sys
from pathlib import Path
from pipelines.lab import year, year_config
from pipelines.progress import Stages
year.run(year_config.tiny(), ["system"], [1], 3, Path(sys.argv[1]), Stages(), workers=1)
"""


def summed(shelf: Shelf, arms: list[str]) -> dict:
    result = year_summary.summarise(shelf, CONFIG, arms, [1], WEEKS)
    assert all(run.pop("seconds")["cpu"] > 0 for run in result["runs"])
    return result


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """A year that was killed without warning once it had lived through its first week."""
    return kill_after_first_week(CHILD, tmp_path_factory.mktemp("killed"), CONFIG, SYSTEM)


@pytest.fixture(scope="module")
def lived(killed, tmp_path_factory) -> Shelf:
    """Another one from the same start, in one go."""
    root, begun = tmp_path_factory.mktemp("lived"), Shelf.of(killed, CONFIG)
    shutil.copytree(begun.start(1), Shelf.of(root, CONFIG).start(1))
    return lab_year.run(CONFIG, [SYSTEM, BLIND, FROZEN], [1], WEEKS, root, Stages(), workers=1)


def test_a_killed_year_goes_on_and_gives_the_same_result(killed, lived):
    shelf = lab_year.run(CONFIG, [SYSTEM], [1], WEEKS, killed, Stages(), workers=1)
    assert summed(shelf, [SYSTEM]) == summed(lived, [SYSTEM])


def test_arms_meet_the_same_visits_and_differ_in_what_serves(lived):
    logs = {arm: pl.read_parquet(lived.week(1, arm, 3) / EVENTS) for arm in (SYSTEM, BLIND, FROZEN)}
    asked = [log[c.REQUEST_ID].unique().sort() for log in logs.values()]
    assert asked[0].equals(asked[1])
    assert asked[0].equals(asked[2])
    served = {arm: set(log.filter(pl.col(c.KIND) == ev.IMPRESSION)[c.RELEASE_ID]) for arm, log in logs.items()}
    assert served[BLIND] == {"week-02"}
    assert served[FROZEN] == {"start"}
    assert logs[FROZEN].filter(pl.col(c.KIND) == ev.IMPRESSION)[c.DETAIL].str.json_path_match("$.click").is_not_null().all()


def test_a_release_that_never_learns_again_still_shows_new_uploads(lived):
    world = World(CONFIG.world.of_seed(1).world)
    since = pl.DataFrame({c.VIDEO_ID: world.video_ids, c.UPLOADED_AT: world.videos.uploaded_at})
    new = since.filter(pl.col(c.UPLOADED_AT) > CONFIG.lab.starts_at(2))[c.VIDEO_ID]
    shown = pl.read_parquet(lived.week(1, FROZEN, 3) / EVENTS).filter(pl.col(c.KIND) == ev.IMPRESSION)
    assert shown[c.VIDEO_ID].is_in(new.implode()).any()


def test_what_no_week_needs_any_more_is_forgotten(lived):
    kept = {path.parent.name for path in lived.path.rglob("release") if path.parent.parent.name == BLIND}
    standing = lived.record(1, BLIND, 3)["standing"]
    assert kept == {
        f"week-{number:02d}" for number in (standing["live"], standing["previous"], standing["candidate"]) if number
    }


def lived_with(look, weeks: int, lived: Shelf, root: Path, monkeypatch) -> list[dict]:
    """Records of the system's weeks under a monitor that says what `look` says."""
    monkeypatch.setattr(year_watch, "look", look)
    shutil.copytree(lived.start(1), Shelf.of(root, CONFIG).start(1))
    shelf = lab_year.run(CONFIG, [SYSTEM], [1], weeks, root, Stages(), workers=1)
    return [shelf.record(1, SYSTEM, week) for week in range(1, weeks + 1)]


def test_broken_data_is_not_learned_from(lived, tmp_path, monkeypatch):
    broken = Diagnosis(Cause.UNIT, "upstream", "watch_s", "all", Severity.MODERATE, Action.REPORT, 0, "in milliseconds")
    (week,) = lived_with(lambda dataset, midnight: broken, 1, lived, tmp_path, monkeypatch)
    assert [event["kind"] for event in week["events"]] == ["alarm", "waits"]  # an alarm that stands is told once
    assert week["standing"]["candidate"] is None
    assert week["standing"]["distrusted"] == [1]


def test_what_the_checks_alone_hold_against_a_week_delays_training_once(lived, tmp_path, monkeypatch):
    strange = ValidationReport("week", {"events": 9}, (Finding("fail", "events", "seconds of a watch", 9),))
    monkeypatch.setattr(year_gates, "week_report", lambda *_: strange)
    weeks = lived_with(lambda *_: None, 3, lived, tmp_path, monkeypatch)
    assert [[event["text"] for event in week["events"] if event["kind"] == "waits"] for week in weeks] == [
        ["fail  events  seconds of a watch: 9 rows"], [], ["fail  events  seconds of a watch: 9 rows"]
    ]  # fmt: skip
    assert [week["standing"]["candidate"] for week in weeks[:2]] == [None, 2]
    assert all(week["standing"]["distrusted"] == [] for week in weeks)


def test_a_blamed_release_is_taken_back(lived, tmp_path, monkeypatch):
    blamed = Diagnosis(Cause.RELEASE, "release", "week-01", "all", Severity.SEVERE, Action.ROLLBACK, 0, "")
    monkeypatch.setattr(
        year_canary, "harmed", lambda *_: []
    )  # the fault of this release is not seen before it serves everybody
    since = CONFIG.lab.starts_at(2) + 4 * DAY_MS
    _, week = lived_with(lambda _, midnight: blamed if midnight >= since else None, 2, lived, tmp_path, monkeypatch)
    kinds = [(event["day"], event["kind"]) for event in week["events"]]
    assert kinds[:3] == [(0, "release"), (3, "alarm"), (3, "rollback")]
    assert week["standing"]["live"] == 0
    assert week["standing"]["previous"] is None


def test_a_week_is_held_against_those_that_were_learned_from(lived):
    begin, week = CONFIG.lab.starts_at(2), 7 * DAY_MS
    world, log = World(CONFIG.world.of_seed(1).world), lived.events(1, FROZEN, 3)
    log = log.filter(pl.col(c.RECEIVED_AT) < begin + 2 * week)
    empty = pl.when(pl.col(c.RECEIVED_AT) < begin).then(pl.col(c.VALUE))
    dataset = datasets.make("year", log, world.viewer_frame(), world.video_frame())
    spoilt = replace(dataset, events=dataset.events.with_columns(empty.alias(c.VALUE)))
    assert year_gates.week_report(spoilt, begin, []).outcomes == ()
    names = {outcome.what for outcome in year_gates.week_report(dataset, begin + week, [(begin - week, begin)]).outcomes}
    days = sorted(name.split()[-1] for name in names if name.startswith("impression events on"))
    assert days == [stamp(begin + week + day * DAY_MS)[:10] for day in range(7)]  # not the week in between


@pytest.mark.parametrize(("ranker_days", "learned_days"), [(5, 5), (14, 7)])
def test_training_looks_back_and_leaves_out_what_is_not_trusted(lived, tmp_path, monkeypatch, ranker_days, learned_days):
    until, day, world = CONFIG.lab.starts_at(3), DAY_MS, World(CONFIG.world.of_seed(1).world)
    dataset = datasets.make("year", lived.events(1, FROZEN, 2), world.viewer_frame(), world.video_frame())
    asked = []

    def prepare(dataset, catalogue, viewers, split):
        asked.append((dataset.events[c.RECEIVED_AT], split))
        raise BadInput("seen enough")

    monkeypatch.setattr(year_training.fit, "prepare", prepare)
    config, broken = replace(CONFIG, log_days=14, ranker_days=ranker_days), (until - 9 * day, until - 7 * day)
    with pytest.raises(BadInput, match="seen enough"):
        year_training.train(dataset, until, config, config.lab.run, tmp_path, [broken])
    ((at, split),) = asked
    assert set(((at - until) // day).to_list()) == {-14, -13, -12, -11, -10, *range(-7, 0)}
    assert split == TimeSplit(until - learned_days * day, until, until + 1)


def test_the_summary_pairs_arms_week_by_week(lived, tmp_path):
    result = summed(lived, [SYSTEM, BLIND, FROZEN])
    weekly = {arm: [run["satisfied_s"] for run in result["runs"] if run["arm"] == arm] for arm in (SYSTEM, BLIND, FROZEN)}
    assert result["mean_s"][BLIND] == {"mean": pytest.approx(np.mean(weekly[BLIND])), "low": None, "high": None, "p": None}
    difference = np.mean(np.subtract(weekly[SYSTEM], weekly[BLIND]))
    assert result["against"][BLIND]["difference_s"]["mean"] == pytest.approx(difference)
    assert weekly[SYSTEM][0] == weekly[BLIND][0] == weekly[FROZEN][0]
    assert "one seed says nothing about luck" in result["lead"][0]
    year_report.write(result, tmp_path / "year.html")
    page = (tmp_path / "year.html").read_text()
    assert page.count("<polyline") == 3
    assert page.count('<rect class="band"') == len(result["faults"])
    assert "http" not in page.replace("http-equiv", "")


def test_the_timeline_puts_values_where_they_are(lived):
    result = summed(lived, [SYSTEM, BLIND])
    drawn = year_report.drawing(result)
    points = [tuple(map(float, point.split(","))) for line in drawn["lines"].values() for point in line.split()]
    ys = [y for _, y in points]
    assert (min(ys), max(ys)) == pytest.approx((drawn["top"], drawn["bottom"]))
    marks = [mark for row in drawn["rows"] for mark in row["marks"]]
    assert len(marks) == len(result["events"])
    assert all(drawn["left"] <= mark["x"] <= drawn["width"] for mark in marks)


def test_only_people_count(lived):
    config = replace(CONFIG, faults=(YearFault(FaultKind.BOT_TRAFFIC, week=1, days=1, share=0.1),))
    world = World(config.world.of_seed(1).world)
    shutil.copytree(lived.start(1), Shelf.of(lived.path.parent, config).start(1))
    shelf = lab_year.run(config, [FROZEN], [1], 1, lived.path.parent, Stages(), workers=1)
    begin = config.lab.starts_at(1)
    asked = list(world.sessions(begin, begin + 7 * DAY_MS, label="year"))
    bots = faults.hits(world.config, FaultKind.BOT_TRAFFIC, [r.viewer_id - 1 for r in asked], [r.at for r in asked])
    assert bots.sum() > 50
    assert shelf.record(1, FROZEN, 1)["pages"] == len(asked) - bots.sum()


def test_a_rollback_needs_the_blamed_release_to_be_replaceable():
    blamed = Diagnosis(Cause.RELEASE, "release", "week-03", "all", Severity.SEVERE, Action.ROLLBACK, 0, "")
    assert year_watch.action(blamed, ["week-02", "week-03"]) == Action.ROLLBACK
    assert year_watch.action(blamed, ["week-04"]) == Action.REPORT
    assert year_watch.action(replace(blamed, feature="week-04 as canary-week-04-1"), ["week-04"]) == Action.ROLLBACK
    assert year_watch.action(replace(blamed, action=Action.RETRAIN), []) == Action.RETRAIN


def test_a_canary_that_halves_clicks_is_harmful_and_an_equal_one_is_not():
    experiment = CanaryState("week-01", "start", CONFIG.canary).experiment
    assert experiment is not None
    shown = pl.DataFrame(
        [
            {
                c.EVENT_ID: f"{viewer}{kind}{slot}",
                c.KIND: kind,
                c.EVENT_AT: 0,
                c.RECEIVED_AT: 0,
                c.VIEWER_ID: viewer,
                c.VIDEO_ID: slot,
                c.ARM: f"{experiment.name}:{arm}",
            }
            for viewer in range(60)
            for slot in range(20)
            for arm in (("control", "canary")[viewer % 2],)
            for kind in (ev.IMPRESSION, *([ev.CLICK] if slot < (6 if arm == "control" else 2) + viewer % 3 else []))
        ]
    )
    equal = shown.filter((pl.col(c.KIND) == ev.IMPRESSION) | (pl.col(c.VIDEO_ID) < 2))
    config = CanaryConfig(steps=CONFIG.canary.steps, guardrails=CONFIG.canary.guardrails)
    assert len(year_canary.harmed(conform(shown, c.EVENTS), experiment, config)) == 1
    assert year_canary.harmed(conform(equal, c.EVENTS), experiment, config) == []
    assert year_canary.harmed(conform(shown[:1], c.EVENTS), experiment, config) == []


def test_clicks_booked_to_others_keep_their_number():
    clicks = pl.DataFrame({c.KIND: [ev.CLICK] * 50 + [ev.WATCH] * 50, c.VIEWER_ID: list(range(50)) * 2})
    booked = year_week._booked_to_others(clicks, 1, 1)
    assert sorted(booked[c.VIEWER_ID][:50]) == list(range(50))
    assert (booked[c.VIEWER_ID][:50] != clicks[c.VIEWER_ID][:50]).mean() > 0.9
    assert booked[c.VIEWER_ID][50:].equals(clicks[c.VIEWER_ID][50:])


def test_faults_of_the_world_begin_after_its_history():
    found = {fault.kind: fault for fault in CONFIG.world.run.world.faults}
    assert set(found) == {FaultKind.UNIT_CHANGE}
    assert (found[FaultKind.UNIT_CHANGE].from_day, found[FaultKind.UNIT_CHANGE].until_day) == (21, 24)
    assert CONFIG.broken(BAD_SERVING, 1)
    assert not CONFIG.broken(BAD_TRAINING, 1)
    assert year_summary.felt(YearFault(BAD_TRAINING, week=4)) == (5, 6)
    assert year_summary.felt(YearFault(FaultKind.NULL_FEATURE, week=4, day=6, days=2)) == (4, 6)


def test_a_year_has_as_many_weeks_as_its_world(tmp_path):
    assert year_config.year().lab.max_weeks == 52
    assert year_config.configure("tiny", ["gates.live_margin=0.5"]) == replace(
        CONFIG, gates=replace(CONFIG.gates, live_margin=0.5)
    )
    with pytest.raises(BadInput, match="lasts 4 weeks"):
        lab_year.run(CONFIG, [FROZEN], [1], 5, tmp_path, Stages())
    with pytest.raises(ConfigError, match="no such fault"):
        YearFault("earthquake", week=1)
    with pytest.raises(BadInput, match="no arm"):
        year_config.arms(["system", "lucky"])
