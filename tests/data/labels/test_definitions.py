import polars as pl
import pytest

from core import columns as c
from core.clock import DAY_MS
from data import dataset as datasets
from data.labels import definitions as labels
from tests.data.conftest import START_AT, catalogue, event, frame

SHOWN = {c.POSITION: 0, c.SOURCE: "log", c.PROPENSITY: 0.5}


def outcomes(events, **arguments):
    made = datasets.make("x", frame(events), *catalogue()).events
    return {row["request_id"]: row for row in labels.impression_outcomes(made, **arguments).iter_rows(named=True)}


def test_one_row_per_impression(dataset):
    found = labels.impression_outcomes(dataset.events)
    assert found.select("request_id", "video_id", "clicked", "watch_s", "liked").rows() == [
        ("r1", 10, True, 30.0, False),
        ("r1", 11, False, 0.0, False),
        ("r2", 10, True, None, False),
    ]
    assert found.columns == [
        "viewer_id", "video_id", "request_id", "at", "position", "source", "propensity",
        "clicked", "liked", "disliked", "regretted", "watch_s",
    ]  # fmt: skip
    assert found["at"].to_list() == [START_AT, START_AT, START_AT + 2 * DAY_MS]


def test_only_what_arrives_within_the_window():
    late = [event("impression", f"i{i}", 0, request_id=f"r{i}", **SHOWN) for i in range(3)]
    late += [event("click", f"c{i}", DAY_MS + i - 1, request_id=f"r{i}") for i in range(3)]
    assert [row["clicked"] for row in outcomes(late).values()] == [True, True, False]
    assert [row["clicked"] for row in outcomes(late, window_ms=DAY_MS + 1).values()] == [True, True, True]


def test_lateness_is_measured_by_receipt_not_by_occurrence():
    events = [event("impression", "i", 0, **SHOWN), event("click", "c", 5)]
    events[1][c.RECEIVED_AT] += 3 * DAY_MS
    assert not outcomes(events)["r1"]["clicked"]


def test_regret_has_a_longer_window():
    events = [event("impression", "i", 0, **SHOWN), event("click", "c", 5), event("regret", "r", 2 * DAY_MS)]
    assert outcomes(events)["r1"]["regretted"]
    assert not outcomes(events, regret_window_ms=DAY_MS)["r1"]["regretted"]


def test_outcomes_need_the_same_request_and_video():
    events = [event("impression", "i", 0, **SHOWN), event("click", "c", 5, video_id=11), event("like", "l", 5, request_id=None)]
    row = outcomes(events)["r1"]
    assert (row["clicked"], row["liked"], row["watch_s"]) == (False, False, None)


def test_watches_add_up_and_repeated_impressions_count_once():
    events = [event("impression", "i", 0, **SHOWN), event("impression", "j", 1, **SHOWN), event("click", "c", 5)]
    events += [event("watch", f"w{i}", 6 + i, value=10.0) for i in range(3)] + [event("dislike", "d", 9)]
    assert len(outcomes(events)) == 1
    row = outcomes(events)["r1"]
    assert (row["watch_s"], row["disliked"], row["regretted"]) == (30.0, True, False)


def test_feedback_on_clicks_without_impressions():
    events = [
        event("click", "a", 0, request_id=None),
        event("like", "b", 0, request_id=None),
        event("click", "c", 100, request_id=None),
        event("dislike", "d", 150, request_id=None),
        event("click", "e", 100, viewer_id=2, request_id=None),
        event("like", "f", 2 * DAY_MS, viewer_id=2, request_id=None),
    ]
    made = datasets.make("x", frame(events), *catalogue()).events
    found = labels.clicked_feedback(made)
    assert found.select("event_id", "liked", "disliked", "watch_s").rows() == [
        ("a", True, False, None),
        ("c", False, True, None),
        ("e", False, False, None),
    ]
    assert labels.clicked_feedback(made, window_ms=3 * DAY_MS).filter(pl.col("event_id") == "e")["liked"].to_list() == [True]


def test_no_events_no_rows(dataset):
    assert len(labels.impression_outcomes(dataset.events.clear())) == 0
    assert len(labels.clicked_feedback(dataset.events.clear())) == 0


def graded(rows, thresholds=labels.DEFAULT):
    """Watches of video 10, which lasts 60 s, one page each."""
    made = datasets.make("x", frame(rows), *catalogue())
    return labels.graded(labels.impression_outcomes(made.events), made.videos, thresholds)


def watched(seconds, request_id, **more):
    of_page = {"request_id": request_id, **more}
    clicked = [event("impression", f"i{request_id}", 0, **of_page, **SHOWN), event("click", f"c{request_id}", 1, **of_page)]
    return clicked if seconds is None else [*clicked, event("watch", f"w{request_id}", 2, value=seconds, **of_page)]


def test_thresholds_turn_seconds_into_labels():
    rows = [row for i, seconds in enumerate([14.9, 15.0, 30.0, 54.0, 90.0, None]) for row in watched(seconds, f"r{i}")]
    assert graded(rows).select("watch_share", "early_exit", "dwelled", "completed", "satisfied").rows() == [
        (pytest.approx(14.9 / 60), True, False, False, False),
        (0.25, False, False, False, False),
        (0.5, False, True, False, True),
        (0.9, False, True, True, True),
        (1.0, False, True, True, True),
        (None, None, None, None, None),
    ]
    strict = labels.Thresholds(dwell_s=40, exit_share=0.6, completion_share=1.0)
    assert graded(rows, strict).select("early_exit", "dwelled", "completed").rows()[2:4] == [
        (True, False, False),
        (False, True, False),
    ]


def test_a_complaint_spoils_satisfaction_and_a_missing_length_only_the_share():
    rows = [*watched(50.0, "r1"), event("dislike", "d", 3), *watched(50.0, "r2"), event("regret", "e", 4, request_id="r2")]
    assert graded(rows)["satisfied"].to_list() == [False, False]
    unknown = graded(watched(50.0, "r1", video_id=11)).row(0, named=True)
    assert (unknown["watch_share"], unknown["early_exit"], unknown["dwelled"], unknown["satisfied"]) == (None, None, True, True)


def test_only_slots_above_a_click_are_skipped():
    rows = [event("impression", f"i{p}", 0, video_id=v, **{**SHOWN, c.POSITION: p}) for p, v in enumerate([10, 11, 12, 13])]
    rows += [event("click", "c", 1, video_id=12), event("impression", "j", 0, request_id="r2", **SHOWN)]
    assert graded(rows)["skipped"].to_list() == [True, True, False, False, False]
    assert not graded(rows)["satisfied"].any()


def test_clicks_without_impressions_are_graded_too():
    made = datasets.make("x", frame([event("click", "a", 0), event("watch", "b", 1, value=45.0)]), *catalogue())
    found = labels.graded(labels.clicked_feedback(made.events), made.videos)
    assert found.select("dwelled", "completed", "satisfied").rows() == [(True, False, True)]
    assert "skipped" not in found.columns


def test_the_last_opinion_counts():
    rows = [
        event("like", "a", 0),
        event("dislike", "b", 5),
        event("survey", "c", 0, viewer_id=2, value=4.0),
        event("survey", "d", 0, viewer_id=3, value=2.0),
        event("survey", "e", 0, viewer_id=4, value=3.0),
        event("survey", "f", 0, viewer_id=5),
    ]
    made = datasets.make("x", frame(rows), *catalogue()).events
    found = labels.opinions(made).sort("viewer_id")
    assert found.select("viewer_id", "opinion").rows() == [(1, -1), (2, 1), (3, -1), (4, 0)]
    assert labels.opinions(made, labels.Thresholds(positive_stars=3.0)).sort("viewer_id")["opinion"].to_list() == [-1, 1, -1, 1]
