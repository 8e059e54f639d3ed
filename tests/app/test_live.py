import time
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from app.live import LiveReleases, Running
from app.trials import Opened
from core.errors import ReleaseRefused, StoreUnavailable
from features.breaker import Breaker


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


def running(live, spy, *challengers):
    trials = SimpleNamespace(
        challengers=lambda: [Opened(None, each, each, Breaker()) for each in challengers], close=lambda: None
    )
    return Running(live, Opened(None, spy, spy, Breaker()), trials)


def test_feedback_goes_to_the_release_that_is_live_now(site):
    first, second = Spy(), Spy()
    live = site.releases.live
    holder = SimpleNamespace(live=running(live, first))
    releases = LiveReleases(holder)
    releases.notify()
    holder.live = running(live, second)
    assert releases.catch_up(0.5)
    assert releases.live is live
    releases.close()
    assert first.calls == ["notify"]
    assert second.calls == ["catch up 0.5", "close", "clear", "close"]


def test_a_replaced_release_leaves_the_store_after_its_last_requests(site):
    consumer, store = Spy(), Spy()
    Opened(None, consumer, store, Breaker()).retire(after_s=0.01)
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
    Opened(None, Spy(), store, Breaker()).close()
    assert store.calls == ["close"]


def test_a_refused_change_leaves_the_old_release(site):
    def refuse():
        raise ReleaseRefused("it has no videos")

    now = running(site.releases.live, Spy())
    releases = LiveReleases(SimpleNamespace(live=now, reload=refuse))
    with pytest.raises(ReleaseRefused, match="no videos"):
        releases.reload()
    assert releases.live is now.live


def test_releases_that_arms_serve_hear_of_feedback_and_forget_too(site):
    class Forgetful(Spy):
        def forget(self, viewer_id: int) -> bool:
            self.calls.append(f"forget {viewer_id}")
            return viewer_id == 7

    live, challenger = Forgetful(), Forgetful()
    releases = LiveReleases(SimpleNamespace(live=running(site.releases.live, live, challenger)))
    releases.notify()
    assert releases.catch_up(0.5)
    assert releases.forget(7)
    assert not releases.forget(8)
    assert live.calls == challenger.calls == ["notify", "catch up 0.5", "forget 7", "forget 8"]


def test_a_canary_that_has_arrived_is_reloaded_once(site):
    reloads, looks = [], iter([True, False])
    now = running(site.releases.live, Spy())
    now.trials.refresh, now.trials.overtaken = lambda: next(looks), True
    releases = LiveReleases(SimpleNamespace(live=now, reload=lambda: reloads.append(1) or now))
    releases.refresh()
    releases.refresh()
    assert reloads == [1]
