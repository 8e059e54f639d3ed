"""Several processes that answer on one socket, started from one that only imports.

The parent imports the program, binds the socket and forks; each worker opens the release for itself. So they share the
program's pages and what is mapped from files, and nothing that a library's threads hold is ever copied: Polars, which opens a
release, cannot be used in a child of a process that has used it. A worker that dies is replaced; one that cannot begin ends all
of them. Workers end with their parent, however it ends.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from core.errors import ReleaseRefused, UpnextError
from core.process import end_when_parent_ends

CANNOT_BEGIN = 2
"""Exit status of a worker that said why it cannot work; one like it would not do better."""
_LOOK_S = 0.2
_PAUSE_S = 1.0
"""Before a dead worker is replaced."""


class Crew:
    """Keeps a number of workers running. Use it from a main thread that has started no threads of its own."""

    def __init__(self, work: Callable[[int], None], size: int) -> None:
        """Args:
        work: what worker number 0 … size − 1 does until SIGTERM; runs in a process of its own.
        size: how many.
        """
        self._work, self._size = work, size
        self._numbers: dict[int, int] = {}
        """Process id → number of the worker."""

    def run(self) -> None:
        """Start them and watch until this process is told to stop, which ends them in order.

        Raises:
            ReleaseRefused: a worker could not begin; it has said why.
        """
        try:
            for number in range(self._size):
                self._fork(number)
            while True:
                time.sleep(_LOOK_S)
                self._replace_dead()
        finally:
            self.stop()

    def stop(self, patience_s: float = 20.0) -> None:
        """Ask all to end, and insist after `patience_s`."""
        for pid in self._numbers:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + patience_s
        while self._numbers:
            self._ended()
            if time.monotonic() > deadline:
                for pid in self._numbers:
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def _replace_dead(self) -> None:
        for number, status in self._ended():
            if os.waitstatus_to_exitcode(status) == CANNOT_BEGIN:
                raise ReleaseRefused("a worker could not begin; its message is above")
            time.sleep(_PAUSE_S)
            self._fork(number)

    def _ended(self) -> list[tuple[int, int]]:
        """Number and status of those that have ended since the last look; they no longer count."""
        looked = [os.waitpid(pid, os.WNOHANG) for pid in list(self._numbers)]
        return [(self._numbers.pop(pid), status) for pid, status in looked if pid]

    def _fork(self, number: int) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self._numbers[pid] = number
            return
        _be_worker(parent, lambda: self._work(number))


def _be_worker(parent: int, work: Callable[[], None]) -> NoReturn:
    """The rest of a forked process's life. Nothing of the parent's clean-up may run in it."""
    status = 1
    try:
        end_when_parent_ends()
        if os.getppid() != parent:  # it ended before this process could ask to be told
            os._exit(1)
        os.setsid()  # Ctrl-C reaches the parent, which ends its workers in order
        work()
        status = 0
    except SystemExit:
        status = 0
    except UpnextError as error:
        sys.stderr.write(f"upnext: {error}\n")
        status = CANNOT_BEGIN
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)
