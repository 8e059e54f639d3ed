"""`upnext train` as a person types it: what becomes of the new release. Training itself is in test_training_flow."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from cli.main import app
from core.errors import BadInput, ReleaseRefused
from pipelines import run as training
from pipelines.run import Door


@pytest.fixture
def upnext(trained, tmp_path, monkeypatch):
    """A command whose training has been done; the gates of its release refuse it. Gives what it wrote."""

    def run(*given):
        return replace(trained[1], held="" if given[-1] is Door.OPEN else f"held at the door '{given[-1]}'")

    monkeypatch.setattr(training, "run", run)
    monkeypatch.setenv("UPNEXT_VAR", str(tmp_path))

    def typed(*arguments):
        result = CliRunner().invoke(app, ["train", *arguments, "--json", str(tmp_path / "out.json")])
        if result.exception is not None:
            raise result.exception
        return json.loads((tmp_path / "out.json").read_text())

    return typed


def test_a_refused_release_is_an_error_whose_report_is_kept(upnext, tmp_path):
    with pytest.raises(ReleaseRefused, match="held at the door 'gates'"):
        upnext()
    assert json.loads((tmp_path / "out.json").read_text())["live"] is False


def test_staging_and_asking_nothing_are_said_in_words(upnext):
    told = upnext("--stage")
    assert (told["live"], told["held"]) == (False, "held at the door 'stage'")
    assert upnext("--no-gates")["live"] is True
    with pytest.raises(BadInput, match="pass one of them"):
        upnext("--stage", "--no-gates")
