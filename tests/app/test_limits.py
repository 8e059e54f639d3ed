import asyncio
from dataclasses import replace

import httpx
import pytest

from app import limits
from app.limits import Buckets, Doorkeeper, Line
from app.main import create_app
from app.services import Limits


class Now:
    def __init__(self):
        self.s = 0.0

    def __call__(self):
        return self.s


def test_a_bucket_empties_and_fills_again():
    now = Now()
    buckets = Buckets(per_s=2.0, burst=3, monotonic=now)
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    now.s = 0.25
    assert buckets.take("a") == pytest.approx(0.25)
    now.s = 0.5
    assert buckets.take("a") == 0
    now.s = 100.0
    assert [buckets.take("a") > 0 for _ in range(4)] == [False, False, False, True]


def test_clients_do_not_share_buckets_and_the_oldest_is_forgotten(monkeypatch):
    monkeypatch.setattr(limits, "_REMEMBERED", 2)
    buckets = Buckets(per_s=1.0, burst=1, monotonic=Now())
    assert [buckets.take(client) for client in "aab"] == [0, 1, 0]
    buckets.take("c")
    assert len(buckets._left) == 2
    assert buckets.take("a") == 0


def test_the_line_learns_how_long_a_page_takes():
    now = Now()
    line = Line(now)
    for _ in range(200):  # batches of 4 that take 80 ms: 20 ms a page
        for _ in range(4):
            line.enter()
        now.s += 0.08
        for _ in range(4):
            line.leave()
        now.s += 7.0  # idle time does not count
    assert line.page_s == pytest.approx(0.02, rel=0.15)
    line.enter()
    line.enter()
    assert line.wait_s == pytest.approx(2 * line.page_s)


class Telemetry:
    def __init__(self):
        self.reasons = []

    def refused(self, reason):
        self.reasons.append(reason)


def door(settings, page_s=0.01, in_flight=0):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    keeper = Doorkeeper(app, settings, Telemetry())
    keeper._line.page_s, keeper._line.in_flight = page_s, in_flight
    return keeper


def knock(keeper, path="/recommend", priority=None, client="1.2.3.4"):
    """Status and headers of one answer."""
    said = []

    async def send(message):
        said.append(message)

    headers = [] if priority is None else [(b"x-priority", priority)]
    scope = {"type": "http", "path": path, "headers": headers, "client": (client, 1)}
    asyncio.run(keeper(scope, None, send))
    return said[0]["status"], dict(said[0]["headers"])


@pytest.mark.parametrize(
    ("priority", "status"),
    [(b"prefetch", 503), (b" Prefetch ", 503), (None, 200), (b"interactive", 200), (b"nonsense", 200)],
)
def test_prefetch_goes_before_interactive(priority, status):
    keeper = door(Limits(interactive_wait_s=0.4, prefetch_wait_s=0.05), page_s=0.01, in_flight=10)
    assert knock(keeper, priority=priority)[0] == status
    assert keeper._telemetry.reasons == ["prefetch"] * (status == 503)


def test_at_some_point_even_interactive_pages_are_refused():
    status, headers = knock(door(Limits(interactive_wait_s=0.4), page_s=0.3, in_flight=10))
    assert (status, headers[b"retry-after"]) == (503, b"3")


def test_one_page_at_a_time_is_always_let_in():
    assert knock(door(Limits(), page_s=100.0), priority=b"prefetch")[0] == 200


def test_there_is_a_hard_bound():
    keeper = door(Limits(in_flight=3), page_s=0.0, in_flight=3)
    assert knock(keeper)[0] == 503


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/ops/summary", "/admin/reload"])
def test_operations_are_always_let_in(path):
    keeper = door(Limits(in_flight=0, per_client_burst=0))
    assert knock(keeper, path)[0] == 200
    assert knock(keeper, "/recommend")[0] == 429


def test_a_place_is_given_back_when_a_page_fails():
    async def app(scope, receive, send):
        raise RuntimeError("no")

    keeper = Doorkeeper(app, Limits(), Telemetry())
    with pytest.raises(RuntimeError, match="no"):
        knock(keeper)
    assert keeper._line.in_flight == 0


def test_a_client_that_asks_too_often_is_told_so(make_client, site):
    with make_client(limits=Limits(per_client_per_s=0.1, per_client_burst=2)) as client:
        answers = [client.get("/videos/1") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert 1 <= int(answers[2].headers["retry-after"]) <= 10
        assert "too many requests" in answers[2].json()["error"]
        assert answers[2].headers["x-content-type-options"] == "nosniff"
        lines = client.get("/metrics").text.splitlines()
        assert client.get("/ops/summary").json()["refused"] == {"client": 1}
    assert 'upnext_refused_total{reason="client"} 1.0' in lines
    assert 'upnext_request_seconds_count{route="refused",status="429"} 1.0' in lines


def test_a_crowd_is_answered_or_refused_and_prefetch_first(site):
    """200 at once, more than wait in line: whoever is let in gets a page, everybody gets an answer."""
    app = create_app(replace(site, limits=Limits(interactive_wait_s=1.0, prefetch_wait_s=0.05, in_flight=60)))

    async def crowd():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
            kinds = ["interactive" if i % 10 == 0 else "prefetch" for i in range(200)]
            asked = (client.get("/recommend", headers={"x-priority": kind}) for kind in kinds)
            return [(kind, answer.status_code) for kind, answer in zip(kinds, await asyncio.gather(*asked), strict=True)]

    answers = asyncio.run(crowd())
    assert {status for _, status in answers} == {200, 503}
    assert all(status == 200 for kind, status in answers if kind == "interactive")
    assert sum(status == 503 for kind, status in answers if kind == "prefetch") > 100


@pytest.mark.parametrize("value", ["0", "-1", "soon", "60001"])
def test_a_deadline_out_of_range_is_refused(reader, value):
    assert reader.get("/recommend", headers={"x-request-deadline-ms": value}).status_code == 422


def test_a_deadline_reaches_the_recommender_from_arrival_on(client, site, monkeypatch):
    seen = []
    recommender = site.releases.live.recommender
    inner = recommender.recommend
    monkeypatch.setattr(recommender, "recommend", lambda requests, explain: seen.extend(requests) or inner(requests))
    monkeypatch.setattr(limits.time, "monotonic", lambda: 100.0)
    client.get("/recommend", headers={"x-request-deadline-ms": "250"})
    client.get("/upnext/5")
    assert [request.answer_by_s for request in seen] == [100.25, 100.5]
