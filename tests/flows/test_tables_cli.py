"""`upnext tables` as a person types it."""

import json

import pytest
from typer.testing import CliRunner

from cli.tables import app
from core.errors import BadInput


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_plan(tmp_path):
    path = tmp_path / "plan.json"
    assert run("plan", "--rows", 100_000_000, "--dim", 256, "--devices", "8x80GB", "--json", path).exit_code == 0
    found = json.loads(path.read_text())
    assert found["bytes"]["table"] == {"weights": 51_200_000_000, "state": 400_000_000}
    assert found["plan"]["placements"][0]["chosen"]["kind"] == "column_wise"
    assert found["cache"]["table"][1]["rows"] == 1_000_000


def test_a_plan_that_does_not_fit_fails(tmp_path):
    path = tmp_path / "plan.json"
    assert run("plan", "--table", "video=100000000x256", "--devices", "1x8GB", "--json", path).exit_code == 1
    assert not json.loads(path.read_text())["fits"]


@pytest.mark.parametrize("arguments", [[], ["--table", "video:3x4"]])
def test_a_plan_needs_a_table(arguments):
    with pytest.raises(BadInput, match="NAME=ROWSxDIM"):
        run("plan", *arguments)
