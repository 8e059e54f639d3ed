from dataclasses import replace

import pytest

from app import fakes
from core.errors import LogUnavailable
from features.freshness import Age

TOKEN = {"authorization": "Bearer open sesame"}


def test_health_and_readiness(client):
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"ready": True, "checks": {"release": "0123456789abcdef", "event_log": "ok"}}


def test_not_ready_says_what_is_missing(make_client):
    class Gone(fakes.MemoryLog):
        def read(self, after=0, limit=10_000):
            raise LogUnavailable("no such disk")

    with make_client(event_log=Gone()) as client:
        answer = client.get("/readyz")
        assert client.get("/healthz").status_code == 200
    assert answer.status_code == 503
    assert answer.json()["checks"]["event_log"] == "no such disk"


def test_metrics_count_what_happened(client, site):
    site.releases.live.recommender.degraded = ("something",)
    client.get("/recommend")
    client.get("/recommend", params={"k": 0})
    client.get("/videos/no such")
    good = {"kind": "click", "viewer_id": "1", "video_id": "1"}
    client.post("/events", json={"events": [good, good, {"kind": "like"}]})
    lines = client.get("/metrics").text.splitlines()
    for wanted in (
        'upnext_request_seconds_count{route="/recommend",status="200"} 1.0',
        'upnext_request_seconds_count{route="/recommend",status="422"} 1.0',
        'upnext_request_seconds_count{route="/videos/{video_id}",status="404"} 1.0',
        'upnext_degraded_total{surface="home"} 1.0',
        'upnext_stage_seconds_count{stage="retrieval"} 1.0',
        'upnext_events_accepted_total{kind="click"} 2.0',
        "upnext_events_rejected_total 1.0",
        "upnext_impressions_queued 0.0",
        "upnext_impressions_dropped 0.0",
    ):
        assert wanted in lines


def test_paths_nobody_declared_do_not_become_labels(client):
    for path in ("/a", "/b", "/c"):
        client.get(path)
    text = client.get("/metrics").text
    assert 'upnext_request_seconds_count{route="unmatched",status="404"} 3.0' in text.splitlines()
    assert 'route="/a"' not in text


def test_two_apps_do_not_share_counters(make_client):
    with make_client() as first, make_client() as second:
        first.get("/recommend")
        assert 'route="/recommend"' not in second.get("/metrics").text


@pytest.mark.parametrize("path", ["/admin/reload", "/admin/promote", "/admin/rollback"])
@pytest.mark.parametrize(
    "header", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic open sesame"}, {"authorization": "Bearer "}]
)
def test_changing_the_release_needs_the_token(client, path, header):
    answer = client.post(path, headers=header)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_without_a_configured_token_admin_routes_are_off(make_client, clock):
    with make_client(fakes.services(clock)) as client:
        answer = client.post("/admin/reload", headers={"authorization": "Bearer "})
    assert answer.status_code == 403
    assert "UPNEXT_ADMIN_TOKEN" in answer.json()["error"]


def test_with_the_token_the_release_changes_or_says_why_not(client):
    assert client.post("/admin/reload", headers=TOKEN).json()["release_id"] == "0123456789abcdef"
    refused = client.post("/admin/rollback", headers=TOKEN)
    assert refused.status_code == 409
    assert "no previous release" in refused.json()["error"]


def test_the_summary_adds_up(client, clock):
    for _ in range(3):
        client.get("/recommend", params={"k": 10})
    clock.advance(90_000)
    client.get("/upnext/1", params={"k": 10})
    summary = client.get("/ops/summary").json()
    assert summary["num_pages"] == 4
    assert summary["pages_per_minute"] == 1
    assert summary["uptime_s"] == 90.0
    assert summary["total_ms"] == {"p50": 6.2, "p95": 6.2, "p99": 6.2}
    assert [stage["name"] for stage in summary["stages"]][:2] == ["viewer_features", "retrieval"]
    assert summary["stages"][1] == {"name": "retrieval", "p50": 1.9, "p95": 1.9, "p99": 1.9, "budget_ms": 1.5, "share": 0.3065}
    assert sum(stage["share"] for stage in summary["stages"]) == pytest.approx(1, abs=1e-3)
    assert dict(summary["sources"]) == {"two_tower": 16, "cowatch": 8, "trending": 12, "fresh": 4}
    assert summary["release"]["num_videos"] == 240
    assert summary["degraded_share"] == 0


def test_the_age_of_features_is_told_to_people_and_to_prometheus(make_client, site):
    ages = (Age("stream", ("history",), 12.5, 10), Age("release", ("segment",), None, 86_400))
    live = replace(site.releases.live, ages=lambda now: ages)
    with make_client(releases=fakes.OneRelease(live)) as client:
        told = client.get("/ops/summary").json()["freshness"]
        lines = client.get("/metrics").text.splitlines()
    assert told[0] == {"group": "stream", "features": ["history"], "age_s": 12.5, "budget_s": 10, "late": True}
    assert [one["late"] for one in told] == [True, True]
    assert 'upnext_feature_age_seconds{group="stream"} 12.5' in lines
    assert 'upnext_feature_budget_seconds{group="release"} 86400.0' in lines
    assert 'upnext_feature_age_seconds{group="release"} NaN' in lines


def test_what_a_stage_may_take_is_told_to_people_and_to_prometheus(make_client, site):
    live = replace(site.releases.live, budgets_ms={"retrieval": 1.5, "rerank": 4.0})
    with make_client(releases=fakes.OneRelease(live)) as client:
        client.get("/recommend", params={"k": 10})
        told = {stage["name"]: stage["budget_ms"] for stage in client.get("/ops/summary").json()["stages"]}
        lines = client.get("/metrics").text.splitlines()
    assert (told["retrieval"], told["rerank"], told["filters"]) == (1.5, 4.0, None)
    assert 'upnext_stage_budget_seconds{stage="retrieval"} 0.0015' in lines
    assert 'upnext_stage_seconds_bucket{le="0.0002",stage="filters"} 1.0' in lines


def test_the_summary_of_a_quiet_server(client):
    summary = client.get("/ops/summary").json()
    assert summary["num_pages"] == 0
    assert summary["total_ms"]["p50"] is None
    assert summary["stages"] == []
