import urllib.error
from types import SimpleNamespace

import pytest

from core import columns as c
from core.clock import ManualClock
from pipelines import simulate
from pipelines.simulate import Visitors

PAGE = {"request_id": "r1", "videos": [{"video_id": "7"}, {"video_id": "8"}]}


class Service:
    """Answers pages and takes events, or does neither."""

    def __init__(self):
        self.down, self.refuses, self.events = False, None, []

    def __call__(self, url, body=None):
        if self.down:
            raise urllib.error.URLError("down")
        if body is None:
            return PAGE
        if self.refuses:
            raise urllib.error.HTTPError(url, self.refuses, "no", None, None)
        self.events += body["events"]
        return {}


@pytest.fixture
def service(monkeypatch):
    found = Service()
    monkeypatch.setattr(simulate, "_call", found)
    return found


@pytest.fixture
def visitors():
    world = SimpleNamespace(respond=lambda slates, requests, until: c.EVENTS.empty_table())
    return Visitors(world, "http://service", ManualClock(1_000))


def test_visitors_tell_how_long_a_page_took(service, visitors):
    visitors.visit(3)
    (event,) = service.events
    assert (event["kind"], event["viewer_id"], event["video_id"], event["request_id"]) == ("loaded", "3", "7", "r1")
    assert 0 <= event["value"] < 5


def test_a_page_that_never_came_is_told_when_the_service_answers_again(service, visitors):
    service.down = True
    visitors.visit(3)
    service.down = False
    visitors.visit(4)
    told = {event["kind"]: event for event in service.events}
    assert set(told) == {"failed", "loaded"}
    assert (told["failed"]["viewer_id"], "video_id" in told["failed"]) == ("3", False)
    assert visitors.totals.failures == 1


@pytest.mark.parametrize(("status", "kept"), [(503, 2), (422, 1)])
def test_events_that_were_not_taken_are_sent_again_unless_they_are_wrong(service, visitors, status, kept):
    service.refuses = status
    visitors.visit(3)
    service.refuses = None
    visitors.visit(4)
    assert len(service.events) == len({event["event_id"] for event in service.events}) == kept
