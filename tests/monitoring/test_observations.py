from dataclasses import replace

import polars as pl
import pytest

from core import columns as c
from core import events as ev
from core.clock import HOUR_MS
from data import dataset
from data.labels import definitions as labels
from data.world.config import tiny
from data.world.simulate import generate
from experiments.canary import CanaryState
from monitoring import observations as o
from monitoring.signals import tally

HOUR = 400_000
AT = HOUR * HOUR_MS


def shown(request: str, video: int, at: int, scores: dict | None = None, viewer: int = 1) -> ev.Impression:
    return ev.Impression(
        event_id=f"{request}/{video}", event_at=at, received_at=at, viewer_id=viewer, video_id=video, request_id=request,
        position=0, surface="home", release_id="r", arm="control", source="s", propensity=1.0, exploration=False,
        scores=scores or {},
    )  # fmt: skip


def said(cls: type, request: str, video: int, at: int, **values) -> ev.Event:
    return cls(
        event_id=f"{request}/{video}/{cls.kind}", event_at=at, received_at=at, viewer_id=1, video_id=video, request_id=request,
        **values,
    )  # fmt: skip


def observed(events: list[ev.Event]) -> pl.DataFrame:
    viewers = pl.DataFrame({c.VIEWER_ID: [1], c.COUNTRY: ["DE"], c.DEVICE: ["tv"], c.AGE_BAND: ["56+"]})
    videos = pl.DataFrame({c.VIDEO_ID: [1], c.CATEGORY: ["Cats"], c.DURATION_S: [60.0]})
    return o.observe(dataset.conform(pl.DataFrame(pl.from_arrow(ev.to_table(events))), c.EVENTS), viewers, videos)


EVENTS = [
    shown("a", 1, AT, {"click": 0.25}),
    shown("a", 2, AT),
    shown("b", 1, AT + 25 * HOUR_MS),
    said(ev.Click, "a", 1, AT + 1),
    said(ev.Watch, "a", 1, AT + 2, watch_s=None),
    said(ev.Regret, "a", 1, AT + 30 * HOUR_MS),
    said(ev.Click, "a", 2, AT + 2 * HOUR_MS + 1),
    said(ev.Click, "b", 1, AT + 26 * HOUR_MS),
]


def test_a_release_begins_with_each_step_of_its_canary_and_once_for_everybody():
    arms = [("a", "control"), ("a", "canary-a-1:control"), ("b", "canary-b-1:canary"), ("b", "canary-b-2:canary"), ("b", None)]
    events = [replace(shown(str(i), 1, AT + i * HOUR_MS), release_id=name, arm=arm or "") for i, (name, arm) in enumerate(arms)]
    rows = observed(events)
    assert rows[c.RELEASE_ID].to_list() == ["a", "a", "b as canary-b-1", "b as canary-b-2", "b"]
    assert [hour - HOUR for hour, _ in tally(rows, HOUR, HOUR + 9).release_hours] == [2, 3, 4]
    assert [o.release_of(name) for name in rows[c.RELEASE_ID]] == ["a", "a", "b", "b", "b"]
    assert [o.in_canary(name) for name in rows[c.RELEASE_ID]] == [False, False, True, True, False]
    running = CanaryState("b" * 16, "a" * 16).experiment
    assert f"{running.name}:{running.arms[1].name}".endswith(":canary")


@pytest.fixture
def found() -> list[dict]:
    return observed(EVENTS).to_dicts()


def test_outcomes_count_only_in_time(found):
    assert [row[labels.CLICKED] for row in found] == [True, False, True]
    assert [row[labels.REGRETTED] for row in found] == [True, False, False]


def test_a_watch_without_seconds_was_reported(found):
    assert [(row[o.REPORTED], row[labels.WATCH_S]) for row in found] == [(True, None), (False, None), (False, None)]


def test_facts_of_viewer_video_and_page(found):
    assert [row[o.PREDICTED] for row in found] == [0.25, None, None]
    assert [row[o.HOUR] for row in found] == [HOUR, HOUR, HOUR + 25]
    assert [row[o.KNOWN] for row in found] == ["new", "new", "known"]
    assert [row[c.CATEGORY] for row in found] == ["Cats", c.UNKNOWN, "Cats"]
    assert found[0][c.DEVICE] == "tv"


def test_crowd_counts_the_viewers_day():
    data = generate(tiny())
    rows = o.observe(data.events, data.viewers, data.videos)
    some = rows.sample(200, seed=1)
    for viewer, at, crowd in some.select(c.VIEWER_ID, labels.AT, o.CROWD).rows():
        within = (pl.col(c.VIEWER_ID) == viewer) & (pl.col(labels.AT) <= at) & (pl.col(labels.AT) > at - 24 * HOUR_MS)
        assert crowd == rows.select(within.sum()).item()


def test_served_facts_replace_what_the_log_says(found):
    events = dataset.conform(pl.DataFrame(pl.from_arrow(ev.to_table(EVENTS))), c.EVENTS)
    served = pl.DataFrame({c.REQUEST_ID: ["a"], c.VIDEO_ID: [2], o.PREDICTED: [0.5], o.FEATURE_AGE_H: [3.0]})
    viewers = pl.DataFrame({c.VIEWER_ID: [1], c.COUNTRY: ["DE"], c.DEVICE: ["tv"], c.AGE_BAND: ["56+"]})
    videos = pl.DataFrame({c.VIDEO_ID: [1], c.CATEGORY: ["Cats"], c.DURATION_S: [60.0]})
    rows = o.observe(events, viewers, videos, served)
    assert rows[o.PREDICTED].to_list() == [None, 0.5, None]
    assert rows[o.FEATURE_AGE_H].to_list() == [None, 3.0, None]
