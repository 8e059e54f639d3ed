from dataclasses import replace
from types import SimpleNamespace

import pytest

from app.scoreboard import Scoreboard
from core import events as ev
from core import rng
from core.clock import DAY_MS
from core.policy import Request
from experiments.config import AnalysisConfig, ExperimentConfig, ExperimentsConfig, MetricConfig
from serving import fakes
from serving.counterfactual import Recorder, Stored, Subjects
from serving.recommender import Recommender
from serving.shadow import Shadow

ANALYSIS = AnalysisConfig(MetricConfig("clicks"), guardrails=(MetricConfig("channels", margin=0.1),), planned_viewers=600)
SPLIT = ExperimentConfig("ranker", analysis=ANALYSIS)
DUEL = ExperimentConfig("duel", layer="pages", interleaving="team_draft")


def shown(viewer, day, arm, position=0, team=None, request=None):
    at = (20_000 + day) * DAY_MS
    return ev.Impression(
        event_id=f"{viewer}-{day}-{arm}-{position}", event_at=at, received_at=at, viewer_id=viewer, video_id=position + 1,
        request_id=request or f"{viewer}-{day}", position=position, surface="home", release_id="r", arm=arm, team=team,
        source="fresh", propensity=1.0, exploration=False,
    )  # fmt: skip


def click(viewer, day, position=0, request=None):
    at = (20_000 + day) * DAY_MS + 1
    return ev.Click(
        event_id=f"c{viewer}-{day}-{position}-{request}", event_at=at, received_at=at, viewer_id=viewer, video_id=position + 1,
        request_id=request or f"{viewer}-{day}",
    )  # fmt: skip


@pytest.fixture
def board():
    config = ExperimentsConfig((SPLIT, DUEL), holdout=0.02, record=0.25)
    trials = SimpleNamespace(config=config, problem=None, catalogue=fakes.catalogue(5))
    log = fakes.MemoryLog()
    shadow = Shadow(lambda request, slate: None, lambda: 0.25)
    found = Scoreboard(log, lambda: trials, shadow, lambda: Stored(4, 10_000))
    found.log, found.trials = log, trials
    return found


def test_before_anybody_came_everything_waits(board):
    said = board.summary()
    assert [each["name"] for each in said["experiments"]] == ["ranker", "duel"]
    assert "no impression in the log carries an arm of 'ranker'" in said["experiments"][0]["waits"]
    assert "no page in the log was interleaved for 'duel'" in said["experiments"][1]["waits"]
    assert (said["holdout"], said["record"]["share"], said["shadow"]) == (0.02, 0.25, [])
    assert (said["record"]["bytes"], said["exploration"]) == (2_500.0, [])


def test_arms_and_their_effect_come_from_the_log(board):
    random = rng.stream(0, "board")
    events = []
    for viewer in range(600):
        arm = "treatment" if viewer % 2 else "control"
        events.append(shown(viewer, viewer % 3, f"ranker:{arm}"))
        if random.random() < (0.6 if viewer % 2 else 0.2):
            events.append(click(viewer, viewer % 3))
    board.log.append(ev.to_table(events))
    split = board.summary()["experiments"][0]
    assert split["report"]["sample_ratio"]["counts"] == (300, 300) or split["report"]["sample_ratio"]["counts"] == [300, 300]
    assert not split["mismatch"]
    always = split["report"]["arms"][0]["effects"][0]["always"]
    assert 0 < always["low"] < 0.4 < always["high"]
    variety = split["report"]["arms"][0]["effects"][1]
    assert (variety["metric"], variety["control"], variety["treatment"]) == ("channels", 1.0, 1.0)


def test_a_look_is_kept_for_a_moment_and_the_log_is_read_on(board, monkeypatch):
    board.log.append(ev.to_table([shown(1, 0, "duel:interleaved", p, "ab"[p]) for p in (0, 1)]))
    first = board.summary()
    board.log.append(ev.to_table([click(1, 0, 0)]))
    assert board.summary() is first
    monkeypatch.setattr("app.scoreboard._EVERY_S", 0.0)
    outcomes = [each["experiments"][1]["preference"]["outcome"] for each in (first, board.summary())]
    assert [(o["wins"], o["losses"], o["ties"]) for o in outcomes] == [(0, 0, 1), (1, 0, 0)]


def test_what_chance_filled_comes_from_the_log(board):
    by_chance = replace(shown(1, 0, "ranker:control", position=1), exploration=True, propensity=0.01)
    board.log.append(ev.to_table([shown(1, 0, "ranker:control"), by_chance, shown(2, 0, "holdout")]))
    first, second = board.summary()["exploration"]
    assert (first["arm"], first["share"], first["least_propensity"]) == ("ranker:control", 0.5, 0.01)
    assert (second["arm"], second["share"]) == ("holdout", 0.0)


def test_the_shadows_pages_are_compared_from_the_latest_records(board):
    live = Recommender(fakes.parts())
    recorder = Recorder(lambda: Subjects(lambda request: live, fakes.viewers(), live), board.remember)
    for viewer in (1, 2):
        request = Request(f"r{viewer}", viewer, fakes.NOW, k=4)
        recorder(request, live.recommend([request])[0])
    (compared,) = board.summary()["shadow"]
    assert compared["release"] == "fake"
    assert (compared["slices"][0]["requests"], compared["slices"][0]["overlap"]) == (2, 1.0)
