"""Where candidates come from. Each source turns B requests into k catalogue rows each, best first, −1 where it has no more.

Sources neither filter nor merge: what was seen, removed or not yet uploaded is the caller's business, and so is the share that
each source gets. They see the viewers' features and vectors, never how these were made. Torch-free.

Shape legend: B requests, k rows asked for, D vector size, L history length, V videos, N neighbours.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.clock import DAY_MS, MINUTE_MS
from features.schema import ViewerPart
from retrieval.cowatch import CoWatch

T = TypeVar("T")
Floats = NDArray[np.float32]
Rows = NDArray[np.int32]
Instants = NDArray[np.int64]


@dataclass(frozen=True)
class Query:
    """What is known of B requests when candidates are sought."""

    part: ViewerPart
    """On up-next the video being watched leads the history."""
    viewer_BD: Floats | None
    """Unit vectors; None when the encoder is not to be had."""
    at: Instants
    """[B] instants of the requests."""
    current_B: Rows
    """[B] row of the video being watched, −1 on the home page."""

    def __len__(self) -> int:
        return len(self.at)

    def of(self, places: NDArray[np.int64]) -> "Query":
        """The same of some of the requests."""
        vectors = None if self.viewer_BD is None else self.viewer_BD[places]
        return Query(self.part.of(places), vectors, self.at[places], self.current_B[places])


class Source(Protocol):
    """One way to find candidates."""

    name: str

    def candidates(self, query: Query, k: int) -> Rows:
        """i32[B, ≤ k] catalogue rows, best first, −1 padding."""
        ...


class Index(Protocol):
    """What `retrieval.index.VectorIndex` offers here."""

    def search(self, queries: Floats, k: int) -> tuple[Floats, Rows]:
        """Scores f32[B, k] and rows i32[B, k], best first, −1 padding."""
        ...


class VideoCounts(Protocol):
    """Recent activity of every video, as far as it was known at an instant."""

    @property
    def of_now(self) -> bool:
        """Whether it follows the present; otherwise it answers for any past instant, exactly."""
        ...

    def clicks(self, at: int) -> Floats:
        """f32[V] recent clicks, newer ones counting more."""
        ...

    def impressions(self, at: int) -> Floats:
        """f32[V] recent impressions."""
        ...


class TwoTowerSource:
    """The nearest videos to the viewer's vector, which the caller makes once per request, since ranking needs it too."""

    name = "two_tower"

    def __init__(self, index: Index) -> None:
        self._index = index

    def candidates(self, query: Query, k: int) -> Rows:
        """See Source."""
        if query.viewer_BD is None:
            return np.full((len(query), 0), -1, dtype=np.int32)
        return self._index.search(query.viewer_BD, k)[1]


class CoWatchSource:
    """Neighbours of the latest watches, the newest counting most; a video near several of them adds up.

    score(j) = Σ over the latest `seeds` watches i, newest first, of decay^rank(i) · similarity(i → j)
    """

    name = "cowatch"

    def __init__(self, cowatch: CoWatch, seeds: int = 10, decay: float = 0.8) -> None:
        self._neighbours = cowatch
        self._weights = decay ** np.arange(seeds)

    def candidates(self, query: Query, k: int) -> Rows:
        """See Source."""
        seeds = query.part.history_BL[:, : len(self._weights)]
        known = seeds >= 0
        rows = self._neighbours.rows_VN[np.where(known, seeds, 0)]
        worth = self._neighbours.weights_VN[np.where(known, seeds, 0)] * (known * self._weights[: seeds.shape[1]])[..., None]
        valid = (rows >= 0) & (worth > 0)
        request = np.nonzero(valid)[0]
        keys, where = np.unique(request * len(self._neighbours) + rows[valid], return_inverse=True)
        scores = np.bincount(where, weights=worth[valid], minlength=len(keys))
        return _best(keys // len(self._neighbours), keys % len(self._neighbours), scores, len(query), k)


class Shared(Generic[T]):
    """What is the same for everybody, made once per period.

    Following the present, that of a new period is made in a thread of its own while the last one still serves: over a million
    videos it takes a quarter of a second, which no request should wait for.
    """

    def __init__(self, make: Callable[[int], T], *, of_now: bool) -> None:
        self._make, self._of_now = make, of_now
        self._latest: tuple[int, T] | None = None
        self._making = threading.Lock()

    def of(self, period: int) -> T:
        """That of the period, or where it is still being made, of the last one."""
        latest = self._latest
        if latest is None or (latest[0] != period and not self._of_now):
            latest = self._latest = period, self._make(period)
        elif latest[0] != period and self._making.acquire(blocking=False):
            threading.Thread(target=self._renew, args=(period,), name="shared lists", daemon=True).start()
        return latest[1]

    def _renew(self, period: int) -> None:
        try:
            self._latest = (period, self._make(period))
        finally:
            self._making.release()


class TrendingSource:
    """The videos most clicked recently, the same for everybody; recomputed once per `refresh_ms` of request time."""

    name = "trending"

    def __init__(self, counts: VideoCounts, uploaded_at: Instants, refresh_ms: int = MINUTE_MS, depth: int = 2_000) -> None:
        self._counts = counts
        self._uploaded_at = uploaded_at
        self._refresh_ms = refresh_ms
        self._depth = depth
        self._shared = Shared(self._top, of_now=counts.of_now)

    def candidates(self, query: Query, k: int) -> Rows:
        """See Source."""
        return _by_period(self._shared.of, query.at // self._refresh_ms, k)

    def _top(self, period: int) -> Rows:
        at = period * self._refresh_ms
        clicks = np.where(self._uploaded_at <= at + self._refresh_ms, self._counts.clicks(at), 0)
        top = _largest(clicks, self._depth)
        return top[clicks[top] > 0].astype(np.int32)


class FreshSource:
    """The latest uploads, those shown least first: how a new video gets its first viewers."""

    name = "fresh"

    def __init__(
        self, counts: VideoCounts, uploaded_at: Instants, max_age_days: float = 7.0, refresh_ms: int = MINUTE_MS
    ) -> None:
        self._counts = counts
        known = np.flatnonzero(uploaded_at > 0)
        self._rows = known[np.argsort(uploaded_at[known], kind="stable")].astype(np.int32)
        self._times = uploaded_at[self._rows]
        self._max_age_ms = int(max_age_days * DAY_MS)
        self._refresh_ms = refresh_ms
        self._shared = Shared(self._newest, of_now=counts.of_now)

    def candidates(self, query: Query, k: int) -> Rows:
        """See Source."""
        return _by_period(self._shared.of, query.at // self._refresh_ms, k)

    def _newest(self, period: int) -> Rows:
        at = period * self._refresh_ms
        since, until = np.searchsorted(self._times, [at - self._max_age_ms, at + self._refresh_ms], side="right")
        rows = self._rows[since:until][::-1]
        return rows[np.argsort(self._counts.impressions(at)[rows], kind="stable")] if len(rows) else rows


def _largest(scores: NDArray, k: int) -> NDArray[np.int64]:
    """Positions of the k largest scores, best first, ties to the lower position."""
    k = min(k, len(scores))
    if k == 0:
        return np.empty(0, dtype=np.int64)
    bound = np.partition(scores, len(scores) - k)[len(scores) - k]
    found = np.flatnonzero(scores >= bound)
    return found[np.argsort(-scores[found], kind="stable")][:k]


def _by_period(rows: Callable[[int], Rows], period_B: Instants, k: int) -> Rows:
    """The first k `rows` of each request's period, asking once for each period."""
    periods = period_B.tolist()
    found = {period: rows(period)[:k] for period in sorted(set(periods))}
    return _padded([found[period] for period in periods])


def _padded(lists: list[Rows]) -> Rows:
    width = max((len(rows) for rows in lists), default=0)
    padded = np.full((len(lists), width), -1, dtype=np.int32)
    for line, rows in zip(padded, lists, strict=True):
        line[: len(rows)] = rows
    return padded


def _best(request: NDArray, row: NDArray, score: NDArray, num_requests: int, k: int) -> Rows:
    """Scatter (request, row, score) triples into i32[B, ≤ k], best first."""
    order = np.lexsort((row, -score, request))
    request, row = request[order], row[order]
    rank = np.arange(len(request)) - np.searchsorted(request, request)
    kept = rank < k
    found = np.full((num_requests, min(k, int(rank.max(initial=-1)) + 1)), -1, dtype=np.int32)
    found[request[kept], rank[kept]] = row[kept]
    return found
