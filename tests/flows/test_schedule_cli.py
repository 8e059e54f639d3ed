"""`upnext schedule …` as a person types it, in one process; the command that it runs is a process of its own."""

import json

import pytest
from typer.testing import CliRunner

from cli.main import app
from core.errors import BadInput


@pytest.fixture
def upnext(tmp_path, monkeypatch):
    monkeypatch.setenv("UPNEXT_VAR", str(tmp_path))

    def run(*arguments):
        result = CliRunner().invoke(app, ["schedule", *arguments])
        if result.exception is not None:
            raise result.exception
        return result.output

    return run


def jobs(upnext, tmp_path):
    upnext("list", "--json", str(tmp_path / "jobs.json"))
    return {job["name"]: job for job in json.loads((tmp_path / "jobs.json").read_text())["jobs"]}


def test_a_job_runs_when_a_file_arrives_and_its_failure_is_told(upnext, tmp_path):
    upnext("add", "arrivals", "--files", str(tmp_path / "*.csv"), "--", "train", "--source", "nowhere")
    upnext("run", "--once")
    assert jobs(upnext, tmp_path)["arrivals"]["runs"] == 0
    (tmp_path / "day.csv").write_text("")
    assert "ran arrivals" in upnext("run", "--once")
    job = jobs(upnext, tmp_path)["arrivals"]
    assert (job["runs"], job["ok"], job["command"]) == (1, False, ["train", "--source", "nowhere"])
    (line,) = (tmp_path / "schedule" / "failures.jsonl").read_text().splitlines()
    assert json.loads(line)["text"].startswith("job 'arrivals' (upnext train --source nowhere) ended with code")
    assert "ran" not in upnext("run", "--once")
    upnext("remove", "arrivals")
    assert jobs(upnext, tmp_path) == {}


def test_mistakes_are_said_in_plain_words(upnext):
    with pytest.raises(BadInput, match="exactly one occasion: one of --cron"):
        upnext("add", "twice", "--cron", "0 3 * * *", "--retrain", "space", "--", "train")
    with pytest.raises(BadInput, match="five fields"):
        upnext("add", "odd", "--cron", "at noon", "--", "train")
    with pytest.raises(BadInput, match="no job 'none'"):
        upnext("remove", "none")
