import asyncio
import json
import math
import threading
from dataclasses import replace

import pytest

from app import fakes
from app.ingest import MAX_AGE_MS, MAX_AHEAD_MS, Ingest, check, parse
from app.schemas import MAX_EVENTS, MAX_WATCH_S
from app.services import Limits
from core import columns as c
from core.clock import DAY_MS, ManualClock
from core.errors import BadInput, LogUnavailable

GOOD = {"kind": "click", "viewer_id": "3", "video_id": "5", "event_id": "e1", "request_id": "r1", "position": 2}


def post(client, events, **options):
    return client.post("/events", json={"events": events}, **options)


def test_a_good_event_is_acknowledged_and_in_the_log(client, site):
    answer = post(client, [GOOD])
    assert answer.status_code == 200
    assert answer.json() == {"accepted": ["e1"], "rejected": [], "applied": False}
    (row,) = site.event_log.rows
    now = site.clock.now()
    wanted = {c.EVENT_ID: "e1", c.KIND: "click", c.VIEWER_ID: 3, c.VIDEO_ID: 5, c.REQUEST_ID: "r1", c.POSITION: 2}
    assert {name: row[name] for name in wanted} == wanted
    assert (row[c.EVENT_AT], row[c.RECEIVED_AT]) == (now, now)


def test_sending_twice_counts_once(client, site):
    post(client, [GOOD])
    assert post(client, [GOOD]).json()["accepted"] == ["e1"]
    assert len(site.event_log.rows) == 1


def test_the_server_names_events_without_an_id(client, site):
    event = {name: value for name, value in GOOD.items() if name != "event_id"}
    first, second = post(client, [event, event]).json()["accepted"]
    assert first != second
    assert [row[c.EVENT_ID] for row in site.event_log.rows] == [first, second]


def test_integer_ids_are_read_as_text(client, site):
    assert post(client, [{**GOOD, "viewer_id": 3, "video_id": 5}]).status_code == 200
    assert site.event_log.rows[0][c.VIDEO_ID] == 5


def test_what_a_page_was_like_is_an_event_too(client, site):
    failed = {"kind": "failed", "viewer_id": "3", "event_id": "f"}
    assert post(client, [{**GOOD, "kind": "loaded", "value": 0.8, "event_id": "l"}, failed]).json()["accepted"] == ["l", "f"]
    assert [(row[c.KIND], row[c.VIDEO_ID], row[c.VALUE]) for row in site.event_log.rows] == [
        ("loaded", 5, 0.8),
        ("failed", None, None),
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "explode"}, "kind"),
        ({"kind": "loaded"}, "a loaded page needs a value"),
        ({"kind": "loaded", "value": 10_000}, "a loaded page needs a value"),
        ({"video_id": None}, "a click needs a video_id"),
        ({"kind": "impression"}, "kind"),
        ({"kind": "upload"}, "kind"),
        ({"kind": None}, "kind"),
        ({"viewer_id": ""}, "viewer_id"),
        ({"viewer_id": True}, "viewer_id"),
        ({"viewer_id": "x" * 101}, "viewer_id"),
        ({"video_id": "no such"}, "unknown video 'no such'"),
        ({"video_id": None}, "video_id"),
        ({"event_id": ""}, "event_id"),
        ({"position": -1}, "position"),
        ({"position": 1.5}, "position"),
        ({"event_at": "yesterday"}, "event_at"),
        ({"event_at": -5}, "event_at"),
        ({"event_at": 1 << 63}, "event_at"),
        ({"event_at": 1}, "more than 7 days ago"),
        ({"value": "many"}, "value"),
        ({"surprise": 1}, "surprise"),
        ({"kind": "watch"}, "a watch needs a value"),
        ({"kind": "watch", "value": -1}, "a watch needs a value"),
        ({"kind": "watch", "value": MAX_WATCH_S + 1}, "a watch needs a value"),
        ({"kind": "survey", "value": 6}, "a survey needs a value"),
    ],
)
def test_a_broken_event_is_named_and_the_others_count(client, site, change, reason):
    answer = post(client, [GOOD, {**GOOD, "event_id": "e2", **change}, {**GOOD, "event_id": "e3"}])
    assert answer.status_code == 200
    assert answer.json()["accepted"] == ["e1", "e3"]
    (rejected,) = answer.json()["rejected"]
    assert rejected["index"] == 1
    assert reason in rejected["reason"]
    assert len(site.event_log.rows) == 2


@pytest.mark.parametrize("thing", [None, 7, "click", [], {}])
def test_things_that_are_no_events_are_named(reader, thing):
    answer = post(reader, [thing])
    assert answer.status_code == 422
    assert answer.json()["accepted"] == []
    assert answer.json()["rejected"][0]["index"] == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"events": 3}', b'{"events": []}', b'"\xff"', b'{"event": []}'])
def test_a_body_that_is_no_batch_is_refused(reader, body):
    answer = reader.post("/events", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("the body")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_the_fault_of_its_event(client, site, number):
    body = json.dumps({"events": [{**GOOD, "kind": "watch", "event_id": "e0", "value": number}, GOOD]})
    answer = client.post("/events", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["accepted"]) == (200, ["e1"])
    assert answer.json()["rejected"] == [{"index": 0, "reason": "value: Input should be a finite number"}]


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"events": [NaN' + b"]" * 9, b'{"events": [' + b"9" * 5_000 + b"]"])
def test_what_no_parser_understands_is_refused(reader, body):
    answer = reader.post("/events", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("the body is not JSON")


@pytest.mark.parametrize("odd", ["👩🏽\u200d🚀🔥", "مرحبا بالعالم", "\u202eabc", "a\x00b", "\N{COMBINING ACUTE ACCENT}" * 50])
def test_any_text_is_a_viewer_and_comes_back_as_it_was(client, odd):
    assert post(client, [{**GOOD, "viewer_id": odd}]).json()["accepted"] == ["e1"]
    assert client.get("/recommend", params={"viewer_id": odd}).json()["viewer_id"] == odd


def test_half_a_character_is_named(client):
    body = json.dumps({"events": [{**GOOD, "viewer_id": "\ud800"}, {**GOOD, "event_id": "e2"}]})
    answer = client.post("/events", content=body, headers={"content-type": "application/json"}).json()
    assert (answer["accepted"], answer["rejected"][0]["index"]) == (["e2"], 0)
    assert "surrogates" in answer["rejected"][0]["reason"]


def test_a_thousand_events_fit_and_one_more_does_not(client, site):
    many = [{**GOOD, "event_id": f"e{i}"} for i in range(MAX_EVENTS + 1)]
    assert len(post(client, many[:-1]).json()["accepted"]) == MAX_EVENTS
    answer = post(client, many)
    assert answer.status_code == 422
    assert "1001 events" in answer.json()["error"]
    assert len(site.event_log.rows) == MAX_EVENTS


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_only_json_is_taken(reader, kind):
    answer = reader.post("/events", content=json.dumps({"events": [GOOD]}), headers={"content-type": kind})
    assert answer.status_code == 415


def test_a_log_that_cannot_commit_accepts_nothing(make_client):
    class Full(fakes.MemoryLog):
        def append(self, events):
            raise LogUnavailable("the disk is full")

    with make_client(event_log=Full()) as client:
        answer = post(client, [GOOD])
    assert answer.status_code == 503
    assert answer.json()["error"] == "the disk is full"


def test_waiting_says_whether_the_features_know(make_client):
    class Slow(fakes.InstantFollower):
        def catch_up(self, timeout_s):
            return False

    with make_client(follower=Slow()) as client:
        answer = client.post("/events?wait=true", json={"events": [GOOD]})
    assert answer.json() == {"accepted": ["e1"], "rejected": [], "applied": False}


def test_a_clock_that_is_ahead_is_set_right_and_one_that_is_wrong_is_named(site):
    now = site.clock.now()
    times = [now + 1, now + MAX_AHEAD_MS, now - 5, now - MAX_AGE_MS, now - MAX_AGE_MS - 1, now + 365 * DAY_MS]
    events = [{**GOOD, "event_at": at} for at in times]
    rows, rejected = check(events, site.releases.live, now, now + MAX_AHEAD_MS, site.new_id)
    assert [row[c.EVENT_AT] for row in rows] == [now, now, now - 5, now - MAX_AGE_MS]
    assert [one["index"] for one in rejected] == [4, 5]
    assert "sender's clock" in rejected[1]["reason"]


def test_where_the_log_goes_on_from_long_ago_the_time_of_day_is_no_wrong_clock(site):
    outside = ManualClock(site.clock.now() + 300 * DAY_MS)
    ingest = Ingest(site, outside)
    events = [{**GOOD, "event_id": f"e{days}", "event_at": site.clock.now() + days * DAY_MS} for days in (300, 302)]
    outcome = asyncio.run(ingest.accept(json.dumps({"events": events}).encode(), wait=False))
    assert (outcome.accepted, [one["index"] for one in outcome.rejected]) == (["e300"], [1])


def test_an_id_that_belongs_to_another_event_is_named(client, site):
    post(client, [GOOD])
    other = {**GOOD, "video_id": "6"}
    answer = post(client, [other, {"kind": "explode"}, GOOD, {**GOOD, "event_id": "e2"}, {**other, "event_id": "e2"}]).json()
    assert answer["accepted"] == ["e1", "e2"]
    assert [(one["index"], "another event" in one["reason"]) for one in answer["rejected"]] == [
        (0, True),
        (1, False),
        (4, True),
    ]
    assert [(row[c.EVENT_ID], row[c.VIDEO_ID]) for row in site.event_log.rows] == [("e1", 5), ("e2", 5)]


def test_parse_keeps_the_events_as_they_are():
    assert parse(b'{"events": [1, {"kind": 2}]}') == [1, {"kind": 2}]
    with pytest.raises(BadInput, match="not JSON"):
        parse(b"nonsense")


class Stuck(fakes.MemoryLog):
    """A log that waits for `go` before every commit."""

    def __init__(self):
        super().__init__()
        self.go = threading.Event()

    def append(self, events):
        self.go.wait(20)
        return super().append(events)


def batch(number):
    return json.dumps({"events": [{**GOOD, "event_id": f"b{number}"}]}).encode()


def test_a_slow_log_holds_a_bounded_number_of_batches_and_loses_none(site):
    log = Stuck()
    ingest = Ingest(replace(site, event_log=log, limits=Limits(waiting_batches=3)))

    async def run():
        asked = [asyncio.ensure_future(ingest.accept(batch(n), wait=False)) for n in range(10)]
        done, _ = await asyncio.wait(asked, timeout=0.05)
        refused = [str(task.exception()) for task in done]
        log.go.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return refused, [one.accepted[0] for one in answers if not isinstance(one, Exception)]

    refused, accepted = asyncio.run(run())
    assert refused == ["3 batches wait for the event log; send this one again"] * 7
    assert accepted == [row[c.EVENT_ID] for row in log.rows] == ["b0", "b1", "b2"]
    assert ingest.waiting == 0


def test_a_log_that_hangs_is_not_waited_for_and_resending_counts_once(make_client, site):
    log = Stuck()
    with make_client(event_log=log, limits=Limits(commit_s=0.05)) as client:
        answer = post(client, [GOOD])
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "not committed within 0.05 s" in answer.json()["error"]
        assert "upnext_event_batches_waiting 1.0" in client.get("/metrics").text.splitlines()
        log.go.set()
        while client.get("/ops/summary").json()["event_batches_waiting"]:
            pass
        assert post(client, [GOOD]).status_code == 200
    assert [row[c.EVENT_ID] for row in log.rows] == ["e1"]


def test_what_was_begun_is_committed_before_the_end(make_client):
    log = Stuck()
    with make_client(event_log=log, limits=Limits(commit_s=0.05)) as client:
        assert post(client, [GOOD]).status_code == 503
        assert log.rows == []
        log.go.set()
    assert [row[c.EVENT_ID] for row in log.rows] == ["e1"]


def test_a_log_that_fails_again_and_again_is_left_alone_for_a_while(make_client):
    class Full(fakes.MemoryLog):
        asked = 0

        def append(self, events):
            self.asked += 1
            raise LogUnavailable("the disk is full")

    log = Full()
    with make_client(event_log=log) as client:
        errors = [post(client, [GOOD]).json()["error"] for _ in range(5)]
        assert client.get("/ops/summary").json()["breakers"] == {"event_log": "open"}
        assert 'upnext_breaker_open{dependency="event_log"} 1.0' in client.get("/metrics").text.splitlines()
    assert log.asked == 3
    assert errors[3].startswith("the event log failed 3 times in a row")


def test_waiting_for_features_takes_a_bounded_number_of_threads(site):
    class Slow(fakes.InstantFollower):
        def __init__(self):
            self.go, self.asked = threading.Event(), 0

        def catch_up(self, timeout_s):
            self.asked += 1
            return self.go.wait(20)

    follower = Slow()
    ingest = Ingest(replace(site, follower=follower))

    async def run():
        asked = [asyncio.ensure_future(ingest.accept(batch(n), wait=True)) for n in range(20)]
        await asyncio.wait(asked, timeout=0.3)
        follower.go.set()
        return [outcome.applied for outcome in await asyncio.gather(*asked)]

    applied = asyncio.run(run())
    assert (applied.count(True), applied.count(False), follower.asked) == (8, 12, 8)
