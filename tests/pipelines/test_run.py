"""Which door a trained release goes through; training itself is in tests/flows."""

import shutil

import pytest

from core import moves, release
from core.errors import ReleaseRefused
from pipelines import promote
from pipelines import run as training
from pipelines.progress import Stages
from pipelines.run import Door
from pipelines.spaces import Space
from tests.pipelines import variants


@pytest.fixture
def space(trained, tmp_path):
    found = Space(tmp_path / trained[1].space.name)
    shutil.copytree(trained[1].space.path, found.path, ignore=shutil.ignore_patterns(moves.FILE))
    return found


@pytest.fixture
def another(space, trained):
    """A second release, which serves with other settings."""
    return variants.another(space, trained[1].release_id)


def pointers(space):
    return [release.resolve(space.releases, name) for name in ("live", "candidate")]


def refuse(*_):
    raise ReleaseRefused("one gate stands in the way")


def test_a_staged_release_serves_nobody(space, trained, another):
    held = training._enter(space, another, Door.STAGE, Stages())
    assert f"upnext release promote {another}" in held
    assert pointers(space) == [trained[1].release_id, another]


def test_gates_decide_whether_a_release_replaces_what_is_live(space, trained, another, monkeypatch):
    asked = []
    monkeypatch.setattr(promote, "promote", refuse)
    assert training._enter(space, another, Door.GATES, Stages()) == "one gate stands in the way"
    assert pointers(space) == [trained[1].release_id, another]
    monkeypatch.setattr(promote, "promote", lambda _, release_id, to, *rest: asked.append((release_id, to)))
    assert training._enter(space, another, Door.GATES, Stages()) == ""
    assert (asked, pointers(space)[0]) == ([(another, "live")], another)


def test_the_first_release_and_the_one_that_is_live_are_not_asked(space, trained, another, monkeypatch):
    monkeypatch.setattr(promote, "promote", refuse)
    assert training._enter(space, trained[1].release_id, Door.GATES, Stages()) == ""
    (space.releases / "live").unlink()
    assert training._enter(space, another, Door.GATES, Stages()) == ""
    assert pointers(space) == [another, None]


def test_without_gates_a_release_replaces_what_is_live(space, another, monkeypatch):
    monkeypatch.setattr(promote, "promote", refuse)
    assert training._enter(space, another, Door.OPEN, Stages()) == ""
    assert pointers(space) == [another, None]
