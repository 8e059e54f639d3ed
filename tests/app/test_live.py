import gc
import time
import weakref
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from app import fakes
from app.live import LiveReleases
from app.trials import Opened
from core import events as ev
from core import moves
from core.clock import ManualClock
from core.errors import ReleaseRefused, StoreUnavailable
from core.files import replace_text
from features.breaker import Breaker
from tests.app.conftest import NOW


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
    """Stands for `app.live.Running`."""
    releases = [Opened(None, each, each, None) for each in (spy, *challengers)]

    def close():
        for each in releases:
            each.close()

    return SimpleNamespace(live=live, opened=releases[0], releases=releases, close=close)


def over(*held, **more):
    """`LiveReleases` over what a holder holds."""
    holder = SimpleNamespace(live=held[0], held=held, **more)
    return LiveReleases(holder, Path("releases"), fakes.MemoryLog(), ManualClock(0)), holder


def test_feedback_goes_to_the_release_that_is_live_now_and_reaches_the_one_kept_warm(site):
    first, second = Spy(), Spy()
    live = site.releases.live
    releases, holder = over(running(live, first))
    releases.notify()
    holder.live, holder.held = running(live, second), (running(live, second), running(live, first))
    releases.notify()
    assert releases.catch_up(0.5)  # nobody waits for the warm one
    assert releases.live is live
    releases.close()
    assert first.calls == ["notify", "notify", "close", "clear", "close"]
    assert second.calls == ["notify", "catch up 0.5", "close", "clear", "close"]


def test_a_replaced_release_leaves_the_store_after_its_last_requests(site):
    consumer, store = Spy(), Spy()
    Opened(None, consumer, store, Breaker()).retire(after_s=0.01)
    assert store.calls == []
    deadline = time.monotonic() + 10
    while "close" not in store.calls and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (consumer.calls, store.calls) == (["close"], ["clear", "close"])


def test_a_replaced_release_gives_its_memory_back_though_its_parts_know_each_other(site):
    part, store = Spy(), Spy()
    part.itself, gone = part, weakref.ref(part)
    gc.disable()
    try:
        Opened(part, Spy(), store, Breaker()).retire(after_s=0.01)
        del part
        deadline = time.monotonic() + 10
        while gone() is not None and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        gc.enable()
    assert gone() is None
    assert store.calls == ["clear", "close"]


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
    releases, _ = over(now, reload=refuse)
    with pytest.raises(ReleaseRefused, match="no videos"):
        releases.reload()
    assert releases.live is now.live


def test_releases_that_arms_serve_hear_of_feedback_and_forget_too(site):
    class Forgetful(Spy):
        def forget(self, viewer_id: int) -> bool:
            self.calls.append(f"forget {viewer_id}")
            return viewer_id == 7

    live, challenger, warm = Forgetful(), Forgetful(), Forgetful()
    releases, _ = over(running(site.releases.live, live, challenger), running(site.releases.live, warm))
    releases.notify()
    assert releases.catch_up(0.5)
    assert releases.forget(7)
    assert not releases.forget(8)
    assert live.calls == challenger.calls == ["notify", "catch up 0.5", "forget 7", "forget 8"]
    assert warm.calls == ["notify", "forget 7", "forget 8"]


def test_a_canary_that_has_arrived_is_reloaded_once(site):
    reloads, looks = [], iter([True, False])
    now = running(site.releases.live, Spy())
    now.trials = SimpleNamespace(refresh=lambda: next(looks), overtaken=True)
    releases, _ = over(now, reload=lambda: reloads.append(1) or now)
    releases.refresh()
    releases.refresh()
    assert reloads == [1]


class Holder:
    """Two releases that take turns."""

    def __init__(self, first, second):
        self.held = (first, second)

    @property
    def live(self):
        return self.held[0]

    def reload(self):
        self.held = self.held[::-1]
        return self.live

    rollback = reload

    def promote(self, release_id):
        assert self.held[1].live.release_id == release_id
        return self.reload()


def pages(release_id, viewers, at, clicked):
    """Ten pages per viewer, one video each, of which `clicked` are."""
    found = []
    for viewer in viewers:
        for n in range(10):
            page = {
                "event_at": at,
                "received_at": at,
                "viewer_id": viewer,
                "video_id": 1,
                "request_id": f"{release_id}{viewer}.{n}",
            }
            found.append(
                ev.Impression(
                    event_id=f"i{page['request_id']}", position=0, surface="home", release_id=release_id, arm="control",
                    source="fresh", propensity=1.0, exploration=False, **page,
                )
            )  # fmt: skip
            if n < clicked:
                found.append(ev.Click(event_id=f"c{page['request_id']}", **page | {"event_at": at + 5_000}))
    return ev.to_table(found)


@pytest.mark.parametrize(("clicked", "stays"), [(4, True), (1, False)])
def test_a_release_on_which_people_click_clearly_less_gives_way_by_itself(site, tmp_path, clicked, stays):
    good, worse = (running(replace(site.releases.live, release_id=name), Spy()) for name in ("good", "worse"))
    for each in (good, worse):
        each.trials = SimpleNamespace(refresh=lambda: False)
        each.opened = SimpleNamespace(consumer=SimpleNamespace(offset=0))
    log, clock = fakes.MemoryLog(), ManualClock(NOW)
    releases = LiveReleases(Holder(good, worse), tmp_path / "releases", log, clock)
    replace_text(tmp_path / "releases" / "live", "worse")
    log.append(pages("good", range(300), NOW, 4))
    assert releases.reload().release_id == "worse"
    log.append(pages("worse", range(300, 600), NOW, clicked))
    releases.refresh()
    assert releases.live.release_id == "worse"  # nobody has had time to click
    clock.advance(61_000)
    releases.refresh()
    assert (releases.live.release_id == "worse") == stays
    assert [(move.before, move.after) for move in moves.read(tmp_path)] == ([] if stays else [("worse", "good")])
    clock.advance(3_600_000)
    releases.refresh()
    assert releases.probation is None


def test_a_promoted_candidate_is_written_down_and_on_probation(site, tmp_path, monkeypatch):
    good, better = (running(replace(site.releases.live, release_id=name), Spy()) for name in ("good", "better"))
    for each in (good, better):
        each.opened = SimpleNamespace(consumer=SimpleNamespace(offset=7))
    releases = LiveReleases(Holder(good, better), tmp_path / "releases", fakes.MemoryLog(), ManualClock(NOW))
    with pytest.raises(ReleaseRefused, match="no candidate"):
        releases.promote()
    assert (releases.live.release_id, moves.read(tmp_path)) == ("good", [])
    monkeypatch.setattr("app.permits.candidate", lambda root, live_id, now: ("better", {"data": "pass"}))
    assert releases.promote().release_id == "better"
    (made,) = moves.read(tmp_path)
    assert (made.before, made.after, made.who, made.gates) == ("good", "better", "the service", {"data": "pass"})
    assert releases.probation.before_id == "good"
