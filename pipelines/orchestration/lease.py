"""One owner at a time: a file that says who works here, with a heartbeat, so that a dead owner's place can be taken.

    <path>         {"token", "pid", "host", "what", "at"}; `at` is the last heartbeat, ms
    <path>.lock    held by the kernel, only while the file above is read and changed

An owner is gone when its process no longer runs on this host, or when it has not been heard of for `TTL_MS` (it hangs, or is on
another host). Whoever lost the place learns so at its next `renew`, and must stop. Clocks of hosts that share the folder must
agree to within a fraction of TTL_MS.
"""

import fcntl
import json
import os
import platform
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from core import files
from core.clock import SECOND_MS, Clock, stamp
from core.errors import Unavailable
from core.process import is_running

TTL_MS = 60 * SECOND_MS
HEARTBEAT_MS = 5 * SECOND_MS
"""Renewals closer together than this write nothing."""


class LeaseHeld(Unavailable):
    """Somebody else is at work."""


class LeaseLost(Unavailable):
    """Somebody else took the place of this owner, who had not been heard of for too long."""


@dataclass(frozen=True)
class Owner:
    """Who holds a lease."""

    token: str
    pid: int
    host: str
    what: str
    """What it does, in words."""
    at: int
    """Last heartbeat, ms."""

    def is_alive(self, now: int) -> bool:
        """Whether its place may not be taken."""
        here = self.host == platform.node()
        return now - self.at <= TTL_MS and (not here or is_running(self.pid))


class Lease:
    """The right to work at `path`, once `acquire` has returned; a context manager."""

    def __init__(self, path: Path, what: str, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._me = Owner(uuid.uuid4().hex, os.getpid(), platform.node(), what, 0)

    def acquire(self) -> "Lease":
        """Take the place, also from an owner that is gone.

        Raises:
            LeaseHeld: the owner is alive.
        """
        with self._alone():
            now, owner = self._clock.now(), read(self._path)
            if owner is not None and owner.is_alive(now):
                raise LeaseHeld(
                    f"{owner.what} is at work here (process {owner.pid} on {owner.host}, last heard of {stamp(owner.at)}); "
                    f"wait for it, or end it"
                )
            self._write(now)
        return self

    def renew(self) -> None:
        """Say that this owner is alive.

        Raises:
            LeaseLost: the place is somebody else's.
        """
        now = self._clock.now()
        if now - self._me.at < HEARTBEAT_MS:
            return
        with self._alone():
            self._require_mine()
            self._write(now)

    def release(self) -> None:
        """Give the place back; nothing where it was lost."""
        with self._alone():
            owner = read(self._path)
            if owner is not None and owner.token == self._me.token:
                self._path.unlink()

    def __enter__(self) -> "Lease":
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _require_mine(self) -> None:
        owner = read(self._path)
        if owner is None or owner.token != self._me.token:
            raise LeaseLost(
                f"{self._me.what} was silent for too long and lost its place to {owner.what if owner else 'nobody'}"
            )

    def _write(self, now: int) -> None:
        self._me = Owner(self._me.token, self._me.pid, self._me.host, self._me.what, now)
        files.write_json(self._path, asdict(self._me))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process reads or changes the file meanwhile; the kernel lets go of the lock when a process dies."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_name(self._path.name + ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def read(path: Path) -> Owner | None:
    """Whoever holds the lease at `path`, alive or not."""
    try:
        return Owner(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
