"""The service over what was made ahead of time (`serving.precomputed`): `services.Releases` and `Follower` around its own.

A page that still holds is shown. Any other is computed, with the nearest videos of the last batch at hand. Only a policy that
treats all viewers alike can do with what was made for it: while experiments run, everything is computed.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.services import Follower, Live, Recommender, Releases, Services
from core.clock import SystemClock
from core.policy import Request, Slate
from serving.consumer import Consumer
from serving.precomputed import Ahead, Doings, Front, MadeFor, Shelf
from serving.releases import LINEAGE


class _Knowing:
    """A policy that hears which videos are nearest to viewers of whom that is known."""

    def __init__(self, own: Recommender, ahead: Ahead) -> None:
        self._own, self._ahead = own, ahead

    def recommend(self, requests: Sequence[Request], *, explain: bool = False) -> list[Slate]:
        """See Recommender. `stage_ms` says of which pages it was known."""
        began = time.perf_counter()
        asked = self._ahead.knowing(requests)
        took = {"nearest": (time.perf_counter() - began) * 1e3}
        slates = self._own.recommend(asked, explain=explain)
        return [
            slate if request.nearest is None else replace(slate, stage_ms=took | slate.stage_ms)
            for request, slate in zip(asked, slates, strict=True)
        ]


class _Releases:
    """Releases that answer with pages made ahead where they may."""

    def __init__(self, own: Releases, front: Front) -> None:
        self._own, self._front = own, front
        self._last: tuple[Live, Live] | None = None

    @property
    def live(self) -> Live:
        """See Releases."""
        own, last = self._own.live, self._last
        if last is None or last[0] is not own:
            last = self._last = own, self._over(own)
        return last[1]

    def reload(self) -> Live:
        """See Releases."""
        self._own.reload()
        return self.live

    def promote(self) -> Live:
        """See Releases."""
        self._own.promote()
        return self.live

    def rollback(self, why: str = "by hand") -> Live:
        """See Releases."""
        self._own.rollback(why)
        return self.live

    def _over(self, own: Live) -> Live:
        if not own.config:
            return own
        ahead = Ahead(MadeFor(own.release_id, own.config), own.catalogue, own.visible, self._front)
        return replace(own, ahead=ahead.page, recommender=_Knowing(own.recommender, ahead))


@dataclass(frozen=True)
class _Follower:
    """A Follower that also brings to the pages what viewers have done."""

    own: Follower
    consumer: Consumer
    shelf: Shelf

    def notify(self) -> None:
        """See Follower."""
        self.own.notify()
        self.consumer.notify()

    def catch_up(self, timeout_s: float) -> bool:
        """See Follower."""
        return self.own.catch_up(timeout_s) and self.consumer.catch_up(timeout_s)

    def state(self, viewer_id: int) -> dict[str, Any]:
        """See Follower."""
        held = self.shelf.held(viewer_id)
        return self.own.state(viewer_id) | ({"ahead": held} if held else {})

    def forget(self, viewer_id: int) -> bool:
        """See Follower."""
        held = self.shelf.forget(viewer_id)
        return self.own.forget(viewer_id) or held


def with_pages(services: Services, releases: Path, max_age_s: float, *, spare_search: bool = False) -> Services:
    """The same services, using what is on the shelf beside `releases` (their root) and at most so old; see `Front`.

    Raises:
        LogUnavailable: what viewers have done since the release was trained could not be read.
    """
    lineage = json.loads((releases / services.releases.live.release_id / LINEAGE).read_text())
    shelf, doings = Shelf(releases.parent), Doings(int(lineage["log_offset"]))
    consumer = Consumer(services.event_log, doings.apply, doings)
    consumer.replay()

    def start() -> None:
        services.start()
        consumer.start()

    def close() -> None:
        consumer.close()
        services.close()

    return replace(
        services,
        releases=_Releases(services.releases, Front(shelf, doings, SystemClock(), max_age_s, spare_search=spare_search)),
        follower=_Follower(services.follower, consumer, shelf),
        start=start,
        close=close,
    )
