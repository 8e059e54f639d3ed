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
from collections.abc import Sequence
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
from features.memory_store import MemoryStore
from pipelines.progress import Stage, Stages
from serving import nearest as nearest_videos
from serving.fresh_videos import GrowingRelease
from serving.live import LiveRelease, go_live
from serving.precomputed import Facts, Pages, Shelf, fill, room
from serving.recommender import Decided, Recommender
from serving.releases import load_release

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
    seconds: float
    """Of computing all pages, whatever else the machine did."""
    pages_per_s: float
    online_pages_per_s: float
    """The same recommender over the store's server, as in service, asked for one page at a time."""
    ratio: float
    limit: float
    """What the ratio would be with batches of any size."""
    bytes: int
    log_offset: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def run(
    releases: Path,
    log: OwnLog,
    store_url: str,
    stages: Stages,
    *,
    pointer: str = "live",
    k: int = 20,
    nearest: int = 400,
    batch_size: int = 32,
) -> Result:
    """Make pages for everybody whom the release knows and nobody asked to forget.

    Args:
        releases: root of published releases; the shelf is beside it.
        log: the event log of the space.
        store_url: the store's server, to compare with the service's way.
        stages: for progress.
        pointer: a pointer's name or a release id.
        k: videos of a page.
        nearest: how many videos near to each viewer to keep, for computed pages.
        batch_size: pages decided at once.

    Raises:
        ReleaseRefused, BadInput: the release cannot be opened, or there is none.
    """
    space, release_id = releases.parent, _named(releases, pointer)
    with stages("open") as stage:
        live, offset = _open(releases, release_id, log)
        now = ContinuedClock(max(live.loaded.end_at, log.newest_at()), SystemClock()).now()
        made_at, viewer_ids = SystemClock().now(), _viewers(live, space)
        stage.note = f"release {release_id}, {len(viewer_ids):,} viewers, log up to offset {offset}"
    requests = [Request(f"ahead:{made_at}:{viewer}", viewer, now, HOME, k) for viewer in viewer_ids.tolist()]
    with stages("one at a time") as stage:
        online = _alone_per_s(live, store_url, requests)
        stage.note = f"{online:,.0f} pages a second"
    with stages("pages") as stage:
        found, seconds, rate = _together(live, requests, batch_size, nearest, stage)
        stage.note = f"{rate:,.0f} pages a second"
    with stages("shelf"):
        slates, config = found.slates, configs.fingerprint(live.base.config)
        facts = Facts(release_id, config, slates[0].arm, k, nearest, *_names(slates), made_at, offset)
        pages = _shelve(space, facts, viewer_ids, found)
    complete, ratio = int((pages.records["video_ids"][:, 0] >= 0).sum()), rate / online
    return Result(
        release_id, len(viewer_ids), complete, batch_size, k, round(seconds, 3), round(rate, 1), round(online, 1),
        round(ratio, 2), round(limit(ratio, batch_size), 2), pages.records.nbytes, offset,
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


def _open(releases: Path, release_id: str, log: OwnLog) -> tuple[LiveRelease, int]:
    """The release with everything that the log says, and how far that is."""
    growing = GrowingRelease(go_live(load_release(releases, release_id), MemoryStore()))
    consumer = growing.consumer(log)
    consumer.replay()
    return growing.live, consumer.offset


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
        recommender = _usual(go_live(loaded, store, fill_store=False))
        sample = [requests[place] for place in random.integers(len(requests), size=_WARM_UP + _ALONE)]
        return 1 / statistics.median([_seconds(recommender, [request])[1] for request in sample][_WARM_UP:])
    finally:
        store.close()


def _usual(live: LiveRelease) -> Recommender:
    """What decides everybody's pages."""
    return live.base.build(live.base.config)


@dataclass(frozen=True)
class _Made:
    """What goes onto the shelf, viewer by viewer."""

    slates: list[Slate]
    nearest: list[NDArray[np.int64]]
    """By batch, [B, nearest]; see `serving.nearest.kept`."""


def _together(
    live: LiveRelease, requests: Sequence[Request], batch_size: int, nearest: int, stage: Stage
) -> tuple[_Made, float, float]:
    """Everything that is made, the seconds that took, and pages a second."""
    recommender, catalogue = _usual(live), live.loaded.catalogue
    made, took, total_s = _Made([], []), list[float](), 0.0
    for begin in range(0, len(requests), batch_size):
        batch = requests[begin : begin + batch_size]
        found, seconds = _seconds(recommender, batch)
        made.slates.extend(found.slates)
        made.nearest.append(nearest_videos.kept(found.candidates, catalogue, nearest))
        took.append(seconds / len(batch))
        total_s += seconds
        stage.advance(len(made.slates) / len(requests), f"{len(made.slates):,} pages")
    return made, total_s, 1 / statistics.median(took)


def _seconds(recommender: Recommender, requests: Sequence[Request]) -> tuple[Decided, float]:
    began = time.perf_counter()
    return recommender.decide(requests), time.perf_counter() - began


def _shelve(space: Path, facts: Facts, viewer_ids: NDArray[np.int64], made: _Made) -> Pages:
    """Put the pages onto the shelf, without those of viewers who were forgotten while pages were made."""
    records = room(viewer_ids, facts.k, len(facts.heads), facts.nearest)
    records["nearest"] = np.concatenate(made.nearest)
    for page, slate in zip(records, made.slates, strict=True):
        fill(page, slate, facts)
    return Shelf(space).put(facts, records[~np.isin(viewer_ids, list(tombstones.read(space).forgotten_at))])


def _names(slates: Sequence[Slate]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Heads that every whole page has, and all sources."""
    heads = next((tuple(slate.scores) for slate in slates if not slate.degraded), ())
    return heads, tuple(sorted({name for slate in slates for name in slate.sources}))
