"""What the service writes to its terminal: each message with its time, and at most once a second.

A store that is down is news to every page that does without it. Said for each of them, it would bury everything else and cost
more than it tells; so a message that was just written is counted instead, and the next one says how often it was left out.
"""

import logging
import time
from collections.abc import Callable

_EVERY_S = 1.0
_MOST_KINDS = 1_000
"""Different messages remembered; texts that hold a changing number must not fill memory."""


class OncePerSecond(logging.Filter):
    """Lets a message through unless the same one was written within `every_s`."""

    def __init__(self, every_s: float = _EVERY_S, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s, self._monotonic = every_s, monotonic
        self._written: dict[str, tuple[float, int]] = {}
        """Message → when it was written last, and how often it was left out since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter. Threads that log at the same moment may miscount by one."""
        message, now = record.getMessage(), self._monotonic()
        at, left_out = self._written.get(message, (float("-inf"), 0))
        if now - at < self._every_s:
            self._written[message] = at, left_out + 1
            return False
        if len(self._written) >= _MOST_KINDS:
            self._written.clear()
        self._written[message] = now, 0
        if left_out:
            record.msg, record.args = f"{message} ({left_out:,} times more since this was written last)", ()
        return True


def install() -> None:
    """Write what this program's loggers say to standard error; call once per process, before there are threads."""
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    handler.addFilter(OncePerSecond())
    logger = logging.getLogger("upnext")
    logger.handlers, logger.propagate = [handler], False
