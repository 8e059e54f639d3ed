"""`upnext experiment` as a person types it."""

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from cli.experiment import app
from core.errors import BadInput, SchemaMismatch
from experiments import served
from serving.arms import ArmRecommender, Base
from serving.config import ServingConfig
from tests.experiments.trials import trial

CONFIG = """
[[experiments]]
name = "ranker"
[experiments.analysis]
primary = { name = "watch_s" }
secondary = [{ name = "ctr", numerator = "clicks", denominator = "impressions" }]
guardrails = [{ name = "page_ms", numerator = "ms", denominator = "pages", better = "lower", margin = 0.05 }]
"""


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture
def files(tmp_path):
    viewers, days, arms, columns = trial(watch=1.1, num_viewers=3_000)
    pl.DataFrame({"viewer_id": viewers, "day": days, "arm": arms, **columns}).write_parquet(tmp_path / "rows.parquet")
    (tmp_path / "experiments.toml").write_text(CONFIG)
    return tmp_path / "rows.parquet", tmp_path / "experiments.toml"


def test_plan(tmp_path):
    assert run("plan", "--baseline", 0.1, "--lift", 0.001, "--json", tmp_path / "plan.json").exit_code == 0
    found = json.loads((tmp_path / "plan.json").read_text())
    assert (found["total"], found["weeks"]) == (2_838_140, 2)


def test_analyse(tmp_path, files):
    assert run("analyse", "--events", files[0], "--config", files[1], "--json", tmp_path / "report.json").exit_code == 0
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["headline"].startswith("Ship 'treatment'")
    assert found["arms"][0]["verdict"]["choice"] == "ship"


def test_an_example_runs_and_is_never_written_over_what_runs(tmp_path):
    file = served.write_example(tmp_path)
    found = served.read(tmp_path)
    assert [each.name for each in found.experiments] == ["explore", "fewer-candidates"]
    assert ArmRecommender(found, Base(ServingConfig(), lambda config: None)).breakers == {}
    assert {metric.name for metric in found.named("explore").analysis.guardrails} >= {"page load", "failed pages", "retention"}
    with pytest.raises(BadInput, match="is there already"):
        served.write_example(tmp_path)
    assert file == tmp_path / served.EXPERIMENTS


def test_aa(tmp_path):
    assert run("aa", "--runs", 50, "--viewers", 400, "--json", tmp_path / "aa.json").exit_code == 0
    assert json.loads((tmp_path / "aa.json").read_text())["holds"] is True


def test_mistakes_are_named(files):
    with pytest.raises(BadInput, match="exclude each other"):
        run("analyse", "--events", files[0], "--space", "x", "--config", files[1])
    with pytest.raises(BadInput, match="--events needs --config"):
        run("analyse", "--events", files[0])
    files[1].write_text(CONFIG.replace('"watch_s"', '"watchs"'))
    with pytest.raises(SchemaMismatch, match="did you mean 'watch_s'"):
        run("analyse", "--events", files[0], "--config", files[1])
