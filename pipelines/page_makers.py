"""Decides many pages with a release brought up to date from the log: in this process, or in several beside each other.

Each process opens the release and reads the log by itself; files of a release are mapped, so they have most of it in common.
Children get requests and give back slates; they end with this process.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from core import process
from core.errors import Unavailable
from core.policy import Request, Slate
from data.logs import OwnLog
from features.memory_store import MemoryStore
from serving import nearest
from serving.fresh_videos import GrowingRelease
from serving.live import go_live
from serving.releases import load_release

_BATCHES = 16
"""Handed to a child at once."""


@dataclass(frozen=True)
class Task:
    """What is made of every request."""

    releases: Path
    release_id: str
    open_log: Callable[[], OwnLog]
    """A function of a module with its arguments, as children call it, too."""
    nearest: int
    """How many of the viewer's nearest videos."""
    batch_size: int
    """Pages decided at once."""


@dataclass(frozen=True)
class Made:
    """Of some requests, in order."""

    slates: list[Slate]
    nearest_BN: NDArray[np.int64]
    """See `serving.nearest.kept`."""
    seconds_each: list[float]
    """Per page, by batch."""
    log_offset: int
    """Every event up to here was known."""


class PageMaker:
    """One process's release, open."""

    _here: ClassVar["PageMaker | None"] = None
    """Of a child."""

    def __init__(self, task: Task) -> None:
        """Open the release, and read the log as far as it goes now. Raises ReleaseRefused or LogUnavailable."""
        loaded = load_release(task.releases, task.release_id)
        loaded.touch()  # as in service, or the first pages wait for the disk
        growing = GrowingRelease(go_live(loaded, MemoryStore()))
        with closing(task.open_log()) as log:
            consumer = growing.consumer(log)
            consumer.replay()
            self.newest_at = log.newest_at()
        self.task, self.live, self.log_offset = task, growing.live, consumer.offset

    def make(self, requests: Sequence[Request]) -> Made:
        """Pages of one batch after the other."""
        recommender, task = self.live.base.usual, self.task
        slates, found, took = list[Slate](), list[NDArray[np.int64]](), list[float]()
        for begin in range(0, len(requests), task.batch_size):
            batch = requests[begin : begin + task.batch_size]
            began = time.perf_counter()
            decided = recommender.decide(batch)
            took.append((time.perf_counter() - began) / len(batch))
            slates += decided.slates
            found.append(nearest.kept(decided.candidates, self.live.loaded.catalogue, task.nearest))
        return Made(slates, np.concatenate(found), took, self.log_offset)

    def make_all(self, requests: Sequence[Request], workers: int = 1) -> Iterator[Made]:
        """Everything, piece by piece in order; by so many children where there are several workers.

        Raises:
            Unavailable: one of them ended.
        """
        size = _BATCHES * self.task.batch_size
        pieces = [requests[begin : begin + size] for begin in range(0, len(requests), size)]
        if workers == 1 or len(pieces) == 1:
            yield from map(self.make, pieces)
            return
        context = get_context("spawn")  # a fork of a process with threads may hang
        known = os.getpid(), self.task
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=known) as pool:
            try:
                yield from pool.map(_make, pieces)
            except BrokenProcessPool as error:
                raise Unavailable("a process that makes pages ended before it was done: run this again") from error
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


def _begin(parent: int, task: Task) -> None:
    process.end_with(parent)
    PageMaker._here = PageMaker(task)


def _make(requests: Sequence[Request]) -> Made:
    assert PageMaker._here is not None
    return PageMaker._here.make(requests)
