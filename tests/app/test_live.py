from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from app.live import LiveReleases, Running
from core.errors import ReleaseRefused


@dataclass
class Spy:
    """Stands for a consumer and a store: notes what was asked of it."""

    calls: list[str] = field(default_factory=list)

    def notify(self) -> None:
        self.calls.append("notify")

    def catch_up(self, timeout_s: float) -> bool:
        self.calls.append(f"catch up {timeout_s}")
        return True

    def close(self) -> None:
        self.calls.append("close")


def test_feedback_goes_to_the_release_that_is_live_now(site):
    first, second = Spy(), Spy()
    live = site.releases.live
    holder = SimpleNamespace(live=Running(live, first, first))
    releases = LiveReleases(holder)
    releases.notify()
    holder.live = Running(live, second, second)
    assert releases.catch_up(0.5)
    assert releases.live is live
    releases.close()
    assert first.calls == ["notify"]
    assert second.calls == ["catch up 0.5", "close", "close"]


def test_a_refused_change_leaves_the_old_release(site):
    def refuse():
        raise ReleaseRefused("it has no videos")

    running = Running(site.releases.live, Spy(), Spy())
    releases = LiveReleases(SimpleNamespace(live=running, reload=refuse))
    with pytest.raises(ReleaseRefused, match="no videos"):
        releases.reload()
    assert releases.live is running.live
