"""What was shown → the event log, after the answer has gone out.

`put` only puts a page into a queue (`page_queue`); its thread turns pages into impression events and appends them, many at a
time. When the log cannot take them for long, or the queue is full, pages are dropped and counted. `received_at` is stamped
just before the append, so that the log's order is the order of knowing.
"""

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from core import columns as c
from core import events as ev
from core.clock import Clock
from core.errors import LogUnavailable
from core.event_log import EventLog
from core.policy import Request, Slate
from experiments.evidence import FAULTY, PAGE_MS
from serving.page_queue import Page, PageQueue
from serving.trace import is_fault

_PAGES_PER_APPEND = 200


def to_table(requests: Sequence[Request], slates: Sequence[Slate], received_at: int) -> pa.Table:
    """One impression per slot, schema `columns.EVENTS`; ids follow from request and position, so a retry is a duplicate."""
    pages = list(zip(requests, slates, strict=True))
    counts = [len(slate.video_ids) for slate in slates]
    of_pages: dict[str, list[object]] = {
        c.EVENT_AT: [min(request.at, received_at) for request, _ in pages],
        c.VIEWER_ID: [request.viewer_id for request, _ in pages],
        c.REQUEST_ID: [request.request_id for request, _ in pages],
        c.SURFACE: [request.surface for request, _ in pages],
        c.RELEASE_ID: [slate.release_id for _, slate in pages],
        c.ARM: [slate.arm for _, slate in pages],
        c.FEATURE_HASH: [slate.feature_hash for _, slate in pages],
    }
    of_slots: dict[str, Any] = {
        c.EVENT_ID: [f"{request.request_id}:{slot}" for request, slate in pages for slot in range(len(slate.video_ids))],
        c.VIDEO_ID: _joined([slate.video_ids for slate in slates], np.int64),
        c.POSITION: [slot for count in counts for slot in range(count)],
        c.TEAM: [team for slate, count in zip(slates, counts, strict=True) for team in slate.teams or [None] * count],
        c.SOURCE: [source for slate in slates for source in slate.sources],
        c.PROPENSITY: _joined([slate.propensities for slate in slates], np.float64),
        c.EXPLORATION: _joined([slate.exploration for slate in slates], np.bool_),
        c.DETAIL: [told for slate in slates for told in _detail(slate)],
    }
    of_all: dict[str, object] = {c.KIND: ev.IMPRESSION, c.RECEIVED_AT: received_at}
    page_of_slot = pa.array(np.repeat(np.arange(len(pages)), counts))

    def column(field: pa.Field) -> pa.Array:
        if field.name in of_slots:
            return pa.array(of_slots[field.name], field.type)
        if field.name in of_pages:  # once for all its slots
            return pa.array(of_pages[field.name], field.type).take(page_of_slot)
        return pa.repeat(pa.scalar(of_all.get(field.name), field.type), len(page_of_slot))

    return pa.table([column(field) for field in c.EVENTS], schema=c.EVENTS)


def _joined(arrays: Sequence[NDArray], kind: type[np.generic]) -> NDArray:
    return np.concatenate([np.empty(0, kind), *arrays], dtype=kind)


def _detail(slate: Slate) -> list[str | None]:
    """Of every slot its scores, of the first also how the page was made; as JSON, None where there is nothing to tell."""
    heads = sorted(slate.scores)
    score_KH = np.array([slate.scores[head] for head in heads], dtype=np.float64).round(6).T
    told: list[dict[str, float]] = [dict(zip(heads, scores, strict=True)) for scores in score_KH.tolist()] or [
        {} for _ in slate.video_ids
    ]
    if not np.isfinite(score_KH).all():
        told = [{head: score for head, score in slot.items() if isfinite(score)} for slot in told]
    if told and slate.stage_ms:
        told[0] |= {PAGE_MS: round(sum(slate.stage_ms.values()), 2), FAULTY: float(any(map(is_fault, slate.degraded)))}
    return [orjson.dumps(slot).decode() if slot else None for slot in told]


class ImpressionLogger:
    """Start it, put pages, close it."""

    def __init__(
        self,
        log: EventLog,
        clock: Clock,
        *,
        also: Callable[[Sequence[Request], Sequence[Slate]], None] | None = None,
        capacity: int = 1_000,
        attempts: int = 5,
        backoff_s: float = 0.1,
        gather_s: float = 0.2,
    ) -> None:
        """Args:
        log: where impressions go.
        clock: for `received_at`.
        also: hears of every page that is put; must not wait either.
        capacity: pages that may wait.
        attempts: tries before a batch of pages is given up.
        backoff_s: pause before a new try, doubling.
        gather_s: how long the first page of a batch waits for others. One commit and one turn of the interpreter for all of
            them: written one by one, they would take more time from requests than the pages themselves.
        """
        self._log, self._clock, self._also = log, clock, also
        self._attempts, self._backoff_s = attempts, backoff_s
        self._pages = PageQueue("impressions", self._append, capacity, most=_PAGES_PER_APPEND, gather_s=gather_s)

    @property
    def dropped(self) -> int:
        """Pages that were not logged, because the queue was full or the log down for too long."""
        return self._pages.dropped

    @property
    def queued(self) -> int:
        """Pages in the queue."""
        return len(self._pages)

    def start(self) -> None:
        """Start the thread."""
        self._pages.start()

    def put(self, requests: Sequence[Request], slates: Sequence[Slate]) -> None:
        """Hand over pages; never waits."""
        for request, slate in zip(requests, slates, strict=True):
            if len(slate.video_ids):
                self._pages.put((request, slate))
        if self._also is not None:
            self._also(requests, slates)

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything put so far was logged or dropped; False when that took too long."""
        return self._pages.flush(timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Log what waits, then end the thread."""
        self.flush(timeout_s)
        self._pages.close(timeout_s)

    def _append(self, pages: Sequence[Page]) -> None:
        requests, slates = [request for request, _ in pages], [slate for _, slate in pages]
        for attempt in range(self._attempts):
            try:
                self._log.append(to_table(requests, slates, self._clock.now()))
                return
            except LogUnavailable:
                if self._pages.closing.wait(self._backoff_s * 2**attempt):
                    break
        self._pages.dropped += len(pages)
