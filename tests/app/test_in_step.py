from types import SimpleNamespace

import pytest

from app.in_step import InStep
from core import release
from core.clock import MINUTE_MS, ManualClock
from core.errors import ReleaseRefused, StoreUnavailable
from data import tombstones

NOW = 1_780_000_000_000


class Releases:
    def __init__(self, root, refuses=()):
        self.live, self._root, self._refuses, self.reloads = SimpleNamespace(release_id="a"), root, refuses, 0

    def reload(self):
        self.reloads += 1
        named = release.resolve(self._root, "live")
        if named in self._refuses:
            raise ReleaseRefused("it is broken")
        self.live = SimpleNamespace(release_id=named)
        return self.live


class Follower:
    def __init__(self):
        self.forgotten = []

    def forget(self, viewer_id):
        self.forgotten.append(viewer_id)
        if viewer_id == 13:
            raise StoreUnavailable("gone")
        return True


@pytest.fixture
def root(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "releases" / name).mkdir(parents=True)
    point(tmp_path / "releases", "a")
    return tmp_path / "releases"


def point(root, name):
    (root / "live").write_text(f"{name}\n")


def test_a_pointer_that_another_process_moved_is_followed_there_and_back(root):
    releases = Releases(root)
    step = InStep(releases, Follower(), root, ManualClock(NOW))
    step.look()
    assert (releases.live.release_id, releases.reloads) == ("a", 0)
    for name in ("b", "a"):
        point(root, name)
        step.look()
        step.look()
        assert releases.live.release_id == name
    assert releases.reloads == 2


def test_a_release_that_is_refused_is_not_loaded_again_and_again(root):
    releases = Releases(root, refuses=("b",))
    step = InStep(releases, Follower(), root, ManualClock(NOW))
    point(root, "b")
    for _ in range(3):
        step.look()
    assert (releases.live.release_id, releases.reloads) == ("a", 1)


def test_a_named_release_stays(root):
    releases = Releases(root)
    step = InStep(releases, Follower(), root, ManualClock(NOW), pointer="a")
    point(root, "b")
    step.look()
    assert releases.reloads == 0


def test_viewers_whom_others_forgot_are_forgotten_here_for_a_minute(root):
    follower, clock = Follower(), ManualClock(NOW)
    step = InStep(Releases(root), follower, root, clock)
    tombstones.forget(root.parent, [5], NOW - 2 * MINUTE_MS)
    step.look()
    assert follower.forgotten == []
    tombstones.forget(root.parent, [13, 7], NOW)
    step.look()
    step.look()
    assert sorted(follower.forgotten) == [7, 7, 13, 13]  # one that fails does not keep the others
    clock.advance(MINUTE_MS + 1)
    step.look()
    assert len(follower.forgotten) == 4
