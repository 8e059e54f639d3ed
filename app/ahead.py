"""The service over pages made ahead of time (`serving.precomputed`): `services.Releases` and `Follower` around its own.

Only a policy that treats all viewers alike can be replaced by pages made for it: while experiments run, all are computed.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.services import Follower, Live, Releases, Services
from core.clock import SystemClock
from serving.consumer import Consumer
from serving.precomputed import Ahead, Doings, Front, MadeFor, Shelf
from serving.releases import LINEAGE


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
        made_for = MadeFor(own.release_id, own.config)
        return replace(own, ahead=Ahead(made_for, own.catalogue, own.visible, self._front).page)


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
        return self.own.state(viewer_id)

    def forget(self, viewer_id: int) -> bool:
        """See Follower."""
        held = self.shelf.forget(viewer_id)
        return self.own.forget(viewer_id) or held


def with_pages(services: Services, releases: Path, max_age_s: float) -> Services:
    """The same services, showing pages of the shelf beside `releases` (their root) that are at most so old.

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
        releases=_Releases(services.releases, Front(shelf, doings, SystemClock(), max_age_s)),
        follower=_Follower(services.follower, consumer, shelf),
        start=start,
        close=close,
    )
