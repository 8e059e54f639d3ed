"""What happened on the way to a page: the time of each stage, and in plain words what had to be done without.

A page may have a deadline: what is optional and has not begun by then is left out, with its reason. One Trace lives as long as
one batch of requests. A reason names no internals: it may be shown to the person who asked.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

NO_HISTORY_STORE = "the latest history is unavailable right now: this page knows viewers as they were when the service began"
NO_VECTOR = "personal retrieval is unavailable right now: candidates come from other sources"
NEAREST_OF_EARLIER = "videos near to this viewer are those of some hours ago"
NO_VIDEO_FEATURES = "video features are unavailable right now: the page is ordered without the ranker"
NO_RANKER = "the ranker is unavailable right now: the page is ordered by similarity"
NO_ORDER = "the ranker and personal retrieval are unavailable right now: the page is in the order candidates were found"
BAD_SCORES = "the ranker gave some videos no valid score: they come last"
NO_RERANK = "the page could not be diversified right now: it is in order of score"
UNKNOWN_VIEWER = "this viewer is new here: the page is not personal yet"
NO_TOPICS = "chosen topics cannot be heard right now"
UNKNOWN_VIDEO = "the video being watched is not in this release: the page does not depend on it"
NOTHING_UNSEEN = "no unseen videos are left for this viewer: popular ones are shown again"
NOTHING_FOUND = "no source found a video for this viewer: any available ones are shown"
NOTHING_AT_ALL = "there is no video to show"
_LATE = {
    "viewer_features": "the viewer's history",
    "viewer_vector": "personal retrieval",
    "sources": "further sources of videos",
    "video_features": "the ranker",
    "ranker": "the ranker",
    "rerank": "variety",
}
"""What a page lacks when the time is up before a stage."""


def source_down(name: str) -> str:
    """Reason for one source that failed."""
    return NO_VECTOR if name == "two_tower" else f"{name} videos are unavailable right now"


def out_of_time(stage: str) -> str:
    """Reason for a stage that did not begin before the deadline."""
    return f"time ran out: this page does without {_LATE.get(stage, stage)}"


def short_page(found: int, wanted: int) -> str:
    """Reason for a page that could not be filled."""
    return f"only {found} of {wanted} videos could be found"


def is_fault(reason: str) -> bool:
    """Whether a reason tells of a part that failed or was late, not of a viewer or video of whom nothing is known."""
    return any(sign in reason for sign in ("right now", "no valid score", "time ran out"))


class Trace:
    """Stage timings of a batch and degradation reasons of each of its requests."""

    def __init__(self, num_requests: int, answer_by_s: float | None = None) -> None:
        """For a batch that is wanted by `answer_by_s` (`time.monotonic`); None is no deadline."""
        self._reasons: list[list[str]] = [[] for _ in range(num_requests)]
        self._answer_by_s, self._stage = answer_by_s, ""
        self.stage_ms: dict[str, float] = {}

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for this batch."""
        return self._answer_by_s is not None

    @property
    def late(self) -> bool:
        """Whether the deadline has passed."""
        return self._answer_by_s is not None and time.monotonic() >= self._answer_by_s

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block under `name`."""
        self._stage, began = name, time.perf_counter()
        try:
            yield
        finally:
            self.stage_ms[name] = self.stage_ms.get(name, 0.0) + (time.perf_counter() - began) * 1e3

    def note(self, reason: str, where: NDArray[np.bool_] | None = None) -> None:
        """Add a reason to the requests of a mask, to all of them without one; each reason once."""
        for index in range(len(self._reasons)) if where is None else np.flatnonzero(where):
            if reason not in self._reasons[index]:
                self._reasons[index].append(reason)

    def attempt(
        self, call: Callable[[], T], reason: str, where: NDArray[np.bool_] | None = None, *, needed: bool = False
    ) -> T | None:
        """The call's result; or None, with the reason noted and the cause logged, when it fails in whatever way.

        Catching everything is the point: one broken stage must cost quality, not the page. After the deadline the call is not
        made, unless the page is `needed` to have it.
        """
        if not needed and self.late:
            self.note(out_of_time(self._stage), where)
            return None
        try:
            return call()
        except Exception as error:
            logging.getLogger("upnext.serving").warning("%s (%s: %s)", reason, type(error).__name__, error)
            self.note(reason, where)
            return None

    def degraded(self, index: int) -> tuple[str, ...]:
        """Reasons of one request, in the order they arose."""
        return tuple(self._reasons[index])
