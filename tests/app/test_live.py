import time
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from app.live import LiveReleases, Running
from core.errors import ReleaseRefused, StoreUnavailable


@dataclass
class Spy:
    """Stands for a consumer and a store: notes what was asked of it."""

    calls: list[str] = field(default_factory=list)

    def notify(self) -> None:
        self.calls.append("notify")

    def catch_up(self, timeout_s: float) -> bool:
        self.calls.append(f"catch up {timeout_s}")
        return True

    def clear(self) -> None:
        self.calls.append("clear")

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
    assert second.calls == ["catch up 0.5", "close", "clear", "close"]


def test_a_replaced_release_leaves_the_store_after_its_last_requests(site):
    consumer, store = Spy(), Spy()
    running = Running(site.releases.live, consumer, store)
    running.retire(after_s=0.01)
    assert store.calls == []
    deadline = time.monotonic() + 10
    while "close" not in store.calls and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (consumer.calls, store.calls) == (["close"], ["clear", "close"])


def test_a_store_that_is_gone_does_not_keep_a_release_from_closing(site):
    class Gone(Spy):
        def clear(self) -> None:
            raise StoreUnavailable("gone")

    store = Gone()
    Running(site.releases.live, Spy(), store).close()
    assert store.calls == ["close"]


def test_a_refused_change_leaves_the_old_release(site):
    def refuse():
        raise ReleaseRefused("it has no videos")

    running = Running(site.releases.live, Spy(), Spy())
    releases = LiveReleases(SimpleNamespace(live=running, reload=refuse))
    with pytest.raises(ReleaseRefused, match="no videos"):
        releases.reload()
    assert releases.live is running.live
