"""What nobody may do, read from the API's own description, and what must never be told."""

import asyncio
import logging

import pytest

from benchmarks import hostile
from core.errors import BadInput, LogUnavailable
from core.process import require_safe_address

TOKEN = "open sesame"
WHO = {"none": {}, "user": {"authorization": "Bearer a session of some viewer"}, "admin": {"authorization": f"Bearer {TOKEN}"}}
ADMIN_ROUTES = {
    ("post", "/admin/reload"), ("post", "/admin/promote"), ("post", "/admin/rollback"), ("post", "/label/answers"),
    ("get", "/viewers/{viewer_id}/data"), ("delete", "/viewers/{viewer_id}"),
    ("post", "/videos"), ("delete", "/videos/{video_id}"),
}  # fmt: skip


def routes(client):
    api = client.get("/openapi.json").json()
    return [(method, path, how) for path, methods in api["paths"].items() for method, how in methods.items()]


@pytest.mark.parametrize("who", WHO)
def test_every_route_lets_in_whom_it_says(client, who):
    found = routes(client)
    assert {(method, path) for method, path, how in found if "security" in how} == ADMIN_ROUTES
    for method, path, how in found:
        url = path.replace("{video_id}", "5").replace("{viewer_id}", "3")
        status = client.request(method, url, headers=WHO[who]).status_code
        assert (status == 401) == ("security" in how and who != "admin"), (method, path, status)
        assert status not in (403, 404, 405, 500), (method, path, status)


def test_only_events_and_admin_routes_change_anything(client):
    assert {(m, p) for m, p, how in routes(client) if m != "get" and "security" not in how} == {("post", "/events")}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org"])
def test_other_machines_only_reach_a_service_with_a_token(host):
    for token in (None, ""):
        with pytest.raises(BadInput, match="UPNEXT_ADMIN_TOKEN"):
            require_safe_address(host, token)
    require_safe_address(host, "long and random")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_this_machine_needs_none(host):
    require_safe_address(host, None)


@pytest.mark.parametrize(
    ("path", "arguments"),
    [
        ("/recommend", {"k": 101}), ("/recommend", {"viewer_id": "x" * 101}), ("/search", {"q": "x" * 201}),
        ("/search", {"k": 0}), ("/browse", {"category": "x" * 201}), ("/viewers", {"q": "x" * 201}), ("/viewers", {"k": 101}),
        ("/upnext/5", {"k": 10**30}),
    ],
)  # fmt: skip
def test_arguments_have_limits(reader, path, arguments):
    answer = reader.get(path, params=arguments)
    assert answer.status_code == 422
    assert answer.json()["details"][0]["where"].startswith("query.")


def test_hundreds_of_hostile_requests_break_nothing():
    result = asyncio.run(hostile.attack(400, seed=7))
    assert result["server_errors"] == 0, result["first"]
    assert sum(result["answers"].values()) == 400
    assert {"200", "403", "404", "415", "422"} <= set(result["answers"])


def test_secrets_are_in_no_log_and_no_answer(make_client, site, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    wrong = "a mistyped secret"

    def fail(events):
        raise LogUnavailable("down")

    with make_client() as client:
        answers = [client.post("/admin/rollback", headers=WHO["admin"])]
        for path in ("/admin/reload", "/admin/rollback"):
            answers.append(client.post(path, headers={"authorization": f"Bearer {wrong}"}))
        monkeypatch.setattr(site.event_log, "append", fail)
        event = {"kind": "click", "viewer_id": "someone private", "video_id": "5"}
        answers.append(client.post("/events", json={"events": [event]}, headers=WHO["admin"]))
        monkeypatch.setattr(site.releases.live.recommender, "recommend", lambda *a, **o: 1 / 0)
        answers.append(client.get("/recommend", params={"viewer_id": "someone private"}, headers=WHO["admin"]))
        answers += [client.get(path) for path in ("/metrics", "/ops/summary", "/readyz", "/openapi.json")]
    assert [answer.status_code for answer in answers] == [409, 401, 401, 503, 500, 200, 200, 200, 200]
    logged = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("httpx"))
    for text in [logged, *(answer.text for answer in answers)]:
        for secret in (TOKEN, wrong, "someone private"):
            assert secret not in text
