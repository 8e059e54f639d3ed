import os

import pytest

from core import files, release
from core.clock import DAY_MS
from core.errors import BadInput, ReleaseRefused
from experiments import served
from pipelines import spaces
from pipelines.releases import retention

NOW = 4_000_000_000_000
FACTS = {"snapshot": "s", "feature_schema": "f", "config_fingerprint": "", "git_commit": "", "created_at": 0}


@pytest.fixture
def space(tmp_path):
    return spaces.open_space(tmp_path, "one")


@pytest.fixture
def ids(space):
    """Six releases, the first the oldest."""
    made = []
    for number in range(6):
        found = release.publish(space.releases, lambda path, n=number: (path / "model").write_text(f"{n}") and None, **FACTS)
        os.utime(found.path / release.MANIFEST, (number, number))
        made.append(found.release_id)
    return made


def test_the_newest_stay_and_those_that_are_named(space, ids):
    release.point(space.releases, "live", ids[0])
    release.point(space.releases, "live", ids[2])  # so the first is `previous`
    fates = retention.collect(space, 2, NOW)
    assert [fate.needed_by for fate in fates] == [("previous",), (), ("live",), (), ("newest 2",), ("newest 2",)]
    assert release.names(space.releases) == ids
    assert retention.collect(space, 2, NOW, apply=True) == fates
    assert release.names(space.releases) == [ids[0], ids[2], ids[4], ids[5]]
    assert {path.name for path in space.releases.iterdir()} == {ids[0], ids[2], ids[4], ids[5], "live", "previous"}
    assert not any(fate.removed for fate in retention.collect(space, 2, NOW, apply=True))


def test_what_an_experiment_serves_stays(space, ids):
    arms = "".join(f'[[experiments.arms]]\nname = "{name}"\n' for name in "bc")
    experiment = f'[[experiments]]\nname = "a"\n{arms}release = "{ids[1]}"\n'
    (space.path / served.EXPERIMENTS).write_text(experiment)
    needed = retention.needed_by(space, 0)
    assert [name for name, why in needed.items() if why] == [ids[1]]
    (space.path / served.EXPERIMENTS).write_text("not toml [")
    with pytest.raises(BadInput):
        retention.collect(space, 0, NOW, apply=True)
    assert release.names(space.releases) == ids


def test_nothing_goes_while_a_pointer_names_what_is_not_there(space, ids):
    release.point(space.releases, "live", ids[5])
    (space.releases / "shadow").write_text("gone\n")
    with pytest.raises(ReleaseRefused, match="gone is needed"):
        retention.collect(space, 1, NOW, apply=True)
    with pytest.raises(BadInput, match="cannot be kept"):
        retention.collect(space, -1, NOW)
    assert release.names(space.releases) == ids


def test_leftovers_of_the_killed_go_once_nobody_can_be_writing_them(space, ids):
    young, old, half = (space.releases / name for name in (f"{files.STAGED}young", f"{files.STAGED}old", ".removed-half"))
    for folder in (young, old, half):
        folder.mkdir()
    for path, at_s in ((old, NOW / 1_000 - DAY_MS / 1_000 - 1), (young, NOW / 1_000)):
        os.utime(path, (at_s, at_s))
    retention.collect(space, 6, NOW)
    assert half.is_dir()
    retention.collect(space, 6, NOW, apply=True)
    assert (young.is_dir(), old.exists(), half.exists()) == (True, False, False)
