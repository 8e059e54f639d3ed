"""`upnext lab` as a person types it."""

import json

import pytest
from typer.testing import CliRunner

from cli.lab import app
from core.errors import BadInput, ConfigError


def test_filter(tmp_path):
    files = ["--json", str(tmp_path / "filter.json"), "--report", str(tmp_path / "filter.html")]
    assert CliRunner().invoke(app, ["filter", "--weeks", "7", "--seeds", "2", *files], catch_exceptions=False).exit_code == 0
    found = json.loads((tmp_path / "filter.json").read_text())
    assert found["rebound"]["forgetting"]["mean"] > 0.3
    assert "blind spot" in (tmp_path / "filter.html").read_text()


def test_year(tmp_path, monkeypatch):
    monkeypatch.setenv("UPNEXT_VAR", str(tmp_path))
    files = ["--json", str(tmp_path / "year.json"), "--report", str(tmp_path / "year.html")]
    command = ["year", "--preset", "tiny", "--weeks", "1", "--arms", "system,frozen", "--workers", "1", *files]
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    found = json.loads((tmp_path / "year.json").read_text())
    assert found["against"]["frozen"]["difference_s"]["mean"] == 0  # both begin with the same release
    assert [stage["name"] for stage in found["stages"]] == ["start", "weeks"]
    assert "A year without hands" in (tmp_path / "year.html").read_text()


def test_a_mistake_is_named():
    with pytest.raises(ConfigError, match="no policy 'ucb'"):
        CliRunner().invoke(app, ["feedback-loop", "--policies", "ucb"], catch_exceptions=False)
    with pytest.raises(BadInput, match="no arm 'lucky'"):
        CliRunner().invoke(app, ["year", "--arms", "lucky"], catch_exceptions=False)
