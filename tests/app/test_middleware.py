import asyncio

import pytest

from app import middleware
from app.main import create_app
from app.middleware import MAX_BODY

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("path", ["/", "/recommend", "/no such page", "/recommend?k=0", "/ops", "/metrics", "/docs"])
def test_every_answer_is_guarded(reader, path):
    headers = reader.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"


def test_a_body_that_says_it_is_too_large_is_refused(reader):
    answer = reader.post("/events", content=b" " * (MAX_BODY + 1), headers=JSON)
    assert answer.status_code == 413
    assert "larger than 1,000,000 bytes" in answer.json()["error"]


def test_a_body_that_does_not_say_is_counted(client, site):
    def parts():
        for _ in range(11):
            yield b" " * 100_000

    assert client.post("/events", content=parts(), headers=JSON).status_code == 413
    assert site.event_log.rows == []


def test_a_body_at_the_limit_is_read(reader):
    answer = reader.post("/events", content=b" " * MAX_BODY, headers=JSON)
    assert answer.status_code == 422


def test_a_body_that_does_not_come_is_not_waited_for(site, monkeypatch):
    monkeypatch.setattr(middleware, "BODY_S", 0.02)
    said = []

    async def receive():
        await asyncio.sleep(20)

    async def send(message):
        said.append(message)

    headers = [(b"content-type", b"application/json"), (b"content-length", b"100")]
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": "/events", "raw_path": b"/events", "root_path": "",
        "query_string": b"", "headers": headers, "client": ("1.2.3.4", 5), "server": ("site", 80), "scheme": "http",
    }  # fmt: skip
    asyncio.run(create_app(site)(scope, receive, send))
    assert said[0]["status"] == 408


def test_a_crash_tells_nothing(make_client, site):
    def crash(*args, **options):
        raise RuntimeError("the password is 12345")

    site.releases.live.recommender.recommend = crash
    with make_client() as client:
        answer = client.get("/recommend")
        assert 'route="/recommend",status="500"} 1.0' in client.get("/metrics").text
    assert answer.status_code == 500
    assert "12345" not in answer.text
    assert answer.json()["error"] == "something went wrong on the server; it has been logged"
