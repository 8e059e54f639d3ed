"""Home pages of all viewers ahead of time, onto the shelf that `upnext serve --hybrid` reads.

The same recommender as in service, over the release's states brought up to date from the log, asked for many viewers at once.
Per page that saves the fixed cost of every stage (a call, a session, a matrix too small for the processor, a round trip to the
store), not its arithmetic:

    cost(B) = fixed / B + arithmetic,    so the gain over one at a time is at most  1 + fixed / arithmetic

`Result.limit` is that bound, from the costs at B = 1 and at the batch's size. Viewers who have seen equally much go together:
retrieval must look for as many extra videos as the one who has seen most. Rates are of the median batch and the median page:
what else the machine does now and then does not count.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import config as configs
from core import release, rng
from core.clock import ContinuedClock, SystemClock
from core.errors import BadInput
from core.policy import HOME, Request, Slate
from data import tombstones
from data.logs import OwnLog
from features.cluster_store import open_store
from features.layered_store import LayeredStore
from pipelines.page_makers import Made, PageMaker, Task
from pipelines.progress import Stage, Stages
from serving.live import LiveRelease, go_live
from serving.precomputed import Facts, Pages, Shelf, fill, room
from serving.recommender import Recommender

_WARM_UP, _ALONE = 50, 200
"""Pages computed one at a time, to compare with."""


@dataclass(frozen=True)
class Result:
    """What was made, and what it cost."""

    release_id: str
    viewers: int
    pages: int
    """Complete ones; the others are computed when they are asked for."""
    batch_size: int
    k: int
    workers: int
    seconds: float
    """Of computing all pages, with what it took to start the workers, whatever else the machine did."""
    pages_per_s: float
    """Of all workers, in that time."""
    online_pages_per_s: float
    """The same recommender over the store's server, as in service, asked for one page at a time."""
    ratio: float
    """Rate of one worker, of the median batch, against it: what batching gains."""
    limit: float
    """What the ratio would be with batches of any size."""
    bytes: int
    log_offset: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def run(
    releases: Path,
    open_log: Callable[[], OwnLog],
    store_url: str,
    stages: Stages,
    *,
    pointer: str = "live",
    k: int = 24,
    nearest: int = 400,
    batch_size: int = 32,
    workers: int = 1,
) -> Result:
    """Make pages for everybody whom the release knows and nobody asked to forget.

    Args:
        releases: root of published releases; the shelf is beside it.
        open_log: opens the event log of the space; see `page_makers.Task`.
        store_url: the store's server, to compare with the service's way.
        stages: for progress.
        pointer: a pointer's name or a release id.
        k: videos of a page.
        nearest: how many videos near to each viewer to keep, for computed pages.
        batch_size: pages decided at once.
        workers: processes that decide beside each other.

    Raises:
        ReleaseRefused, BadInput: the release cannot be opened, or there is none.
    """
    space, release_id = releases.parent, _named(releases, pointer)
    with stages("open") as stage:
        maker = PageMaker(Task(releases, release_id, open_log, nearest, batch_size))
        live, made_at = maker.live, SystemClock().now()
        viewer_ids = _viewers(live, space)
        now = ContinuedClock(max(live.loaded.end_at, maker.newest_at), SystemClock()).now()
        stage.note = f"release {release_id}, {len(viewer_ids):,} viewers, log up to offset {maker.log_offset}"
    requests = [Request(f"ahead:{made_at}:{viewer}", viewer, now, HOME, k) for viewer in viewer_ids.tolist()]
    with stages("one at a time") as stage:
        online = _alone_per_s(live, store_url, requests)
        stage.note = f"{online:,.0f} pages a second"
    with stages("pages") as stage:
        began = time.perf_counter()
        made = _made(maker, requests, workers, stage)
        seconds = time.perf_counter() - began
        each_s = statistics.median(each for piece in made for each in piece.seconds_each)
        stage.note = f"{len(requests) / seconds:,.0f} pages a second"
    with stages("shelf"):
        slates = [slate for piece in made for slate in piece.slates]
        known, offset = np.concatenate([piece.nearest_BN for piece in made]), min(piece.log_offset for piece in made)
        config = configs.fingerprint(live.base.config)
        facts = Facts(release_id, config, slates[0].arm, k, nearest, *_names(slates), made_at, offset)
        pages = _shelve(space, facts, viewer_ids, slates, known)
    complete, ratio = int((pages.records["video_ids"][:, 0] >= 0).sum()), 1 / each_s / online
    return Result(
        release_id, len(viewer_ids), complete, batch_size, k, workers, round(seconds, 3), round(len(requests) / seconds, 1),
        round(online, 1), round(ratio, 2), round(limit(ratio, batch_size), 2), pages.records.nbytes, offset,
    )  # fmt: skip


def limit(ratio: float, batch_size: int) -> float:
    """Gain over one at a time of an endless batch, from the gain of one of a given size: cost(B) = fixed / B + arithmetic."""
    if batch_size == 1:
        return ratio
    arithmetic = (1 / ratio - 1 / batch_size) / (1 - 1 / batch_size)
    return 1 / arithmetic if arithmetic > 0 else float("inf")


def _named(releases: Path, pointer: str) -> str:
    found = release.named(releases, pointer)
    if found is None:
        raise BadInput(f"no release in {releases} is {pointer}; run `upnext train` first")
    return found


def _viewers(live: LiveRelease, space: Path) -> NDArray[np.int64]:
    """Whom to make pages for: those who have seen equally much side by side."""
    known = live.loaded.viewers.viewer_ids
    wanted = known[~np.isin(known, list(tombstones.read(space).forgotten_at))]
    if not len(wanted):
        raise BadInput("the release knows no viewers, so there are no pages to make")
    seen = [len(state.clicks) for state in live.store.read(wanted.tolist())]
    return wanted[np.argsort(seen, kind="stable")]


def _alone_per_s(live: LiveRelease, store_url: str, requests: Sequence[Request]) -> float:
    """Pages a second in service: asked for one at a time, after some that warm up, over states beside a store's server."""
    loaded, random = live.loaded, rng.stream(0, "pages one at a time")
    store = LayeredStore(loaded.viewer_states(), open_store(store_url, f"batch:{requests[0].at}", timeout_s=5.0))
    try:
        recommender = go_live(loaded, store, fill_store=False).base.usual
        sample = [requests[place] for place in random.integers(len(requests), size=_WARM_UP + _ALONE)]
        return 1 / statistics.median([_seconds(recommender, request) for request in sample][_WARM_UP:])
    finally:
        store.close()


def _made(maker: PageMaker, requests: Sequence[Request], workers: int, stage: Stage) -> list[Made]:
    """Everything that is made, in order."""
    pieces, done = list[Made](), 0
    for piece in maker.make_all(requests, workers):
        pieces.append(piece)
        done += len(piece.slates)
        stage.advance(done / len(requests), f"{done:,} pages")
    return pieces


def _seconds(recommender: Recommender, request: Request) -> float:
    began = time.perf_counter()
    recommender.decide([request])
    return time.perf_counter() - began


def _shelve(
    space: Path, facts: Facts, viewer_ids: NDArray[np.int64], slates: Sequence[Slate], nearest: NDArray[np.int64]
) -> Pages:
    """Put the pages onto the shelf, without those of viewers who were forgotten while pages were made."""
    records = room(viewer_ids, facts.k, len(facts.heads), facts.nearest)
    records["nearest"] = nearest
    for page, slate in zip(records, slates, strict=True):
        fill(page, slate, facts)
    return Shelf(space).put(facts, records[~np.isin(viewer_ids, list(tombstones.read(space).forgotten_at))])


def _names(slates: Sequence[Slate]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Heads that every whole page has, and all sources."""
    heads = next((tuple(slate.scores) for slate in slates if not slate.degraded), ())
    return heads, tuple(sorted({name for slate in slates for name in slate.sources}))
