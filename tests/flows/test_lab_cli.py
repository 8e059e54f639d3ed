"""`upnext lab` as a person types it."""

import json

import pytest
from typer.testing import CliRunner

from cli.lab import app
from core.errors import ConfigError


def test_filter(tmp_path):
    files = ["--json", str(tmp_path / "filter.json"), "--report", str(tmp_path / "filter.html")]
    assert CliRunner().invoke(app, ["filter", "--weeks", "7", "--seeds", "2", *files], catch_exceptions=False).exit_code == 0
    found = json.loads((tmp_path / "filter.json").read_text())
    assert found["rebound"]["forgetting"]["mean"] > 0.3
    assert "blind spot" in (tmp_path / "filter.html").read_text()


def test_a_mistake_is_named():
    with pytest.raises(ConfigError, match="no policy 'ucb'"):
        CliRunner().invoke(app, ["feedback-loop", "--policies", "ucb"], catch_exceptions=False)
