"""`upnext release …` as a person types it, in one process."""

import json

import pytest
from typer.testing import CliRunner

from cli.main import app
from core import release
from core.errors import BadInput
from pipelines import spaces


@pytest.fixture
def upnext(own_var, tmp_path, monkeypatch):
    """A command and the JSON that it wrote; `own_var` is where it works."""
    monkeypatch.setenv("UPNEXT_VAR", str(own_var))

    def run(*arguments):
        result = CliRunner().invoke(app, [*arguments, "--json", str(tmp_path / "out.json")])
        if result.exception is not None:
            raise result.exception
        return json.loads((tmp_path / "out.json").read_text())

    return run


def test_a_release_is_listed_marked_and_described(upnext, own_var):
    space = spaces.current(own_var)
    live = release.resolve(space.releases, "live")
    marked = upnext("release", "promote", "live", "--to", "candidate", "--by", "ann", "--why", "to be judged")
    assert (marked["release_id"], marked["move"]["who"], marked["gates"]) == (live, "ann", None)
    listed = upnext("release", "list")
    assert [(each["release_id"], each["stage"]) for each in listed["releases"]] == [(live, "production")]
    assert listed["releases"][0]["pointers"] == ["candidate", "live"]
    assert listed["moves"][-1]["why"] == "to be judged"
    assert (space.path / "cards" / live / "card.html").samefile(upnext("release", "card", "live")["html"])


def test_releases_that_nobody_needs_go(upnext, own_var):
    space = spaces.current(own_var)
    live = release.load(space.releases, release.resolve(space.releases, "live") or "")
    facts = {name: getattr(live.manifest, name) for name in ("snapshot", "feature_schema", "config_fingerprint", "git_commit")}
    spare = release.publish(space.releases, lambda path: (path / "a").write_text("a") and None, created_at=0, **facts)
    for apply in ([], ["--apply"]):
        told = upnext("release", "gc", "--keep", "0", *apply)
        assert {each["release_id"] for each in told["releases"] if each["removed"]} == {spare.release_id}
        assert spare.path.is_dir() == (not apply)
    assert release.names(space.releases) == [live.release_id]


def test_a_canary_is_rehearsed_before_there_is_one(upnext):
    told = upnext("release", "canary", "rehearse", "--set", "runs=2", "--set", "viewers=500", "--set", "days=3")
    assert (told["runs"], told["running"]) == (2, 1.0)
    with pytest.raises(BadInput, match="has no canary"):
        upnext("release", "canary", "status")
