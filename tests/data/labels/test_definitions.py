import polars as pl

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
