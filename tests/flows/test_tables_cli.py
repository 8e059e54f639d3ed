"""`upnext tables` as a person types it."""

import json

import pytest
from typer.testing import CliRunner

from cli.tables import app
from core.errors import BadInput, ConfigError


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_plan(tmp_path):
    path = tmp_path / "plan.json"
    assert run("plan", "--rows", 100_000_000, "--dim", 256, "--devices", "8x80GB", "--json", path).exit_code == 0
    found = json.loads(path.read_text())
    assert found["bytes"]["table"] == {"weights": 51_200_000_000, "state": 400_000_000}
    assert found["plan"]["placements"][0]["chosen"]["kind"] == "column_wise"
    assert found["cache"]["table"][1]["rows"] == 1_000_000


def test_torchrec_is_asked_too(tmp_path):
    path = tmp_path / "plan.json"
    few = ["--table", "video=1000000x256", "--devices", "2x200MB", "--host", "2GB", "--torchrec", "--json", path]
    assert "fused_uvm_caching" in run("plan", *few).output
    (theirs,) = json.loads(path.read_text())["torchrec"]
    assert 0 < theirs["cached_share"] < 0.7


def test_a_plan_that_does_not_fit_fails(tmp_path):
    path = tmp_path / "plan.json"
    assert run("plan", "--table", "video=100000000x256", "--devices", "1x8GB", "--json", path).exit_code == 1
    assert not json.loads(path.read_text())["fits"]


@pytest.mark.parametrize("arguments", [[], ["--table", "video:3x4"]])
def test_a_plan_needs_a_table(arguments):
    with pytest.raises(BadInput, match="NAME=ROWSxDIM"):
        run("plan", *arguments)


def test_train_says_what_it_came_to(trained, monkeypatch, tmp_path):
    monkeypatch.setenv("UPNEXT_VAR", str(trained[0]))
    few = ["train", "--set", "towers.epochs=2", "--space", trained[1].space.name]
    assert run(*few, "--how", "whole", "--out", tmp_path / "towers", "--json", tmp_path / "said.json").exit_code == 0
    found = json.loads((tmp_path / "said.json").read_text())
    assert found["losses"][1] < found["losses"][0]
    assert found["id_bytes_here"] == found["id_bytes"] == 4 * 32 * found["videos"]
    assert (tmp_path / "towers" / "video_vectors.npy").is_file()
    with pytest.raises(ConfigError, match="torchrun"):
        run(*few)
    with pytest.raises(BadInput, match="none of row_wise"):
        run("train", "--how", "by hand")
