"""Keeps a process in step with others over the same space: workers of one server, or servers of one volume.

Two files are what they agree on. The pointer names the release: when it moves, by a command or by another process's
roll-back, this process follows. Tombstones name forgotten viewers: whoever deletes one cleans up behind itself only, so
everybody else does the same within seconds, and again for a minute, because events of that viewer may have been on their way.
"""

import logging
from pathlib import Path

from app.services import Follower, Releases
from core import release
from core.clock import MINUTE_MS, Clock
from core.errors import ReleaseRefused, Unavailable
from data import tombstones

EVERY_S = 2.0
"""How often to `look`."""


class InStep:
    """Looks, and does what others have done."""

    def __init__(self, releases: Releases, follower: Follower, root: Path, clock: Clock, pointer: str = "live") -> None:
        """Args:
        releases: this process's.
        follower: this process's.
        root: the folder of releases; tombstones are beside it.
        clock: the one that tombstones are dated by.
        pointer: what names the release; nothing is followed when it is a release id.
        """
        self._releases, self._follower, self._root, self._clock = releases, follower, root, clock
        self._pointer = pointer
        self._refused: str | None = None

    def look(self) -> None:
        """Follow the pointer, and forget whom others have forgotten."""
        self._follow()
        self._forget()

    def _follow(self) -> None:
        named = release.resolve(self._root, self._pointer) if self._pointer in release.POINTERS else None
        if named in (None, self._refused, self._releases.live.release_id):
            return
        try:
            self._releases.reload()
        except ReleaseRefused as error:
            self._refused = named
            logging.getLogger("upnext.app").error("release %s stays: %s", self._releases.live.release_id, error)

    def _forget(self) -> None:
        since = self._clock.now() - MINUTE_MS
        for viewer_id, at in tombstones.read(self._root.parent).forgotten_at.items():
            if at < since:
                continue
            try:
                self._follower.forget(viewer_id)
            except Unavailable as error:
                logging.getLogger("upnext.app").warning("viewer %d is still held here: %s", viewer_id, error)
