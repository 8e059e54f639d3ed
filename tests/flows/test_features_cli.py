"""`upnext features` as a person types it."""

import json
from dataclasses import replace
from functools import partial

import pytest
from typer.testing import CliRunner

from app import fakes
from app.main import create_app
from cli.features import app
from core.clock import ManualClock
from core.errors import BadInput
from features import audit
from features import kinds as k
from features.definitions import default_definitions
from features.freshness import Age
from pipelines import spaces
from tests.browsing import served


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == code, result.output


def run_json(tmp_path, *arguments, code=0):
    path = tmp_path / "found.json"
    run(*arguments, "--json", path, code=code)
    return json.loads(path.read_text())


def test_list_and_show(tmp_path):
    every = run_json(tmp_path, "list")
    assert [one["name"] for one in every] == [feature.name for feature in default_definitions(shelved=True)]
    videos = run_json(tmp_path, "list", "--entity", "video")
    assert {one["entity"] for one in videos} == {"video"}
    shown = run_json(tmp_path, "show", "video_ctr_7d")
    assert (shown["kind"], shown["window"], shown["default"], shown["freshness_s"]) == ("Rate", "7 days", 0.1, k.STREAM_S)
    with pytest.raises(BadInput, match="viewer"):
        run("list", "--entity", "user")
    with pytest.raises(BadInput, match="no feature"):
        run("show", "video_cte_7d")


def test_a_service_that_is_not_there_cannot_be_fresh():
    with pytest.raises(BadInput, match="upnext serve"):
        run("fresh", "--url", "http://127.0.0.1:9")


def test_fresh_asks_the_service_and_fails_when_it_is_late(tmp_path, own_var, monkeypatch):
    monkeypatch.setenv("UPNEXT_VAR", str(own_var))
    alarms = spaces.current(own_var).path / "alerts.jsonl"
    clock, age_s = ManualClock(1_780_000_000_000), [0.2]
    site = fakes.services(clock)
    live = replace(site.releases.live, ages=lambda now: [Age("stream", ("history",), age_s[0], 10)])
    with served(create_app(replace(site, releases=fakes.OneRelease(live)))) as url:
        (found,) = run_json(tmp_path, "fresh", "--url", url)
        assert (found["group"], found["age_s"], found["late"]) == ("stream", 0.2, False)
        age_s[0] = 11.0
        assert run_json(tmp_path, "fresh", "--url", url, code=1)[0]["late"]
        assert not alarms.exists()
        run("fresh", "--url", url, "--act", code=1)
    told = json.loads(alarms.read_text())
    assert (told["cause"], told["feature"], told["at"] - told["since_at"]) == ("features_late", "stream", 11_000)
    assert told["because"] == "stream is 11 s old, 10 s are allowed"


def test_skew_fails_where_serving_and_log_differ(own_var, tmp_path, monkeypatch):
    monkeypatch.setenv("UPNEXT_VAR", str(own_var))
    monkeypatch.setattr(audit, "future_rows", partial(audit.future_rows, num_instants=2))
    found = run_json(tmp_path, "skew", "--pages", 50)
    assert (found["mismatches"], found["future_rows"]) == (0, 0)
    assert found["checked"] >= 10_000
    monkeypatch.setattr(k.SessionCount, "read", _different_each_time())
    assert run_json(tmp_path, "skew", "--pages", 50, code=1)["differences"][0]["feature"] == "session_clicks"
    (told,) = (spaces.current(own_var).path / "alerts.jsonl").read_text().splitlines()
    assert json.loads(told)["feature"] == "session_clicks"


def _different_each_time():
    """A formula that depends on more than its facts."""
    read, asked = k.SessionCount.read, []

    def other(self, facts):
        asked.append(facts)
        return read(self, facts) + len(asked)

    return other
