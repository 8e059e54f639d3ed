"""What does a page save, and lose, whose nearest videos were found hours ago?

    python -m benchmarks.nearest --space var/world-demo
    python -m benchmarks.nearest --space var/world-demo-1000000 --cost-only

Cost: processor time of one page at a time, with and without a search, asked in turn. Loss: pages of the day after the log ends,
for viewers who did something in the last hours of it; their nearest videos are found from what the log knew before those hours
(`pipelines.reader`), all else is of its end. Judged by the truth: the satisfied seconds that the world expects of each page,
beside pages from a fresh search and pages of the other sources alone. Nothing is trained, nothing is left to chance.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks import results_file
from core import columns as c
from core import inference, release, rng
from core.clock import DAY_MS, HOUR_MS
from core.errors import BadInput
from core.policy import Request, Slate
from data import versioning
from data.world.world import World
from features import offline
from features.memory_store import MemoryStore
from pipelines import presets
from pipelines.lab import measures
from pipelines.reader import OfflineReader
from pipelines.spaces import Space
from serving import nearest
from serving.config import ServingConfig
from serving.live import LiveRelease, go_live
from serving.precomputed import NOT_DONE
from serving.recommender import Recommender
from serving.releases import LoadedRelease, load_release

HOURS = (1, 6, 24, 72)
BATCH = 32
KEPT = 400
"""Of each viewer, as `upnext batch` does."""


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--space", type=Path, default=Path("var/world-demo"))
    parser.add_argument("--rate", type=float, default=4.0, help="how many times as many pages as on an ordinary day")
    parser.add_argument("--pages", type=int, default=1_000, help="pages that are timed, of each kind")
    parser.add_argument("--cost-only", action="store_true", help="for a space without a world")
    arguments = parser.parse_args()
    space = Space(arguments.space)
    live_id = release.resolve(space.releases, "live")
    if live_id is None:
        raise BadInput(f"no release of '{space.name}' is live; run `upnext train` first")
    loaded = load_release(space.releases, live_id)
    live = go_live(loaded, MemoryStore(), config=_greedy(loaded))
    with threadpool_limits(1):
        found: dict[str, Any] = {"videos": len(loaded.catalogue), "cpu_ms": _cost(live, arguments.pages)}
    print(found["cpu_ms"])
    if not arguments.cost_only:
        found["ages"] = Loss.of(space, live, arguments.rate).table()
    results_file.keep(f"nearest-{space.name}", found, arguments)


def _greedy(loaded: LoadedRelease) -> ServingConfig:
    return replace(loaded.config, exploration=replace(loaded.config.exploration, epsilon=0.0))


def _cost(live: LiveRelease, num: int) -> dict[str, float]:
    """Median milliseconds of processor time per page, by where the nearest videos come from."""
    recommender, known = live.base.usual, live.loaded.viewers.viewer_ids
    chosen = rng.stream(1, "pages").choice(known, size=num)
    plain = [Request(f"{place}", viewer, live.loaded.end_at, k=20) for place, viewer in enumerate(chosen.tolist())]
    asked = _knowing(plain, _found(recommender, live, plain))
    took: dict[str, list[float]] = {"searched": [], "known": []}
    for requests in zip(plain, asked, strict=True):
        for name, request in zip(took, requests, strict=True):
            began = time.thread_time()
            recommender.recommend([request])
            took[name].append((time.thread_time() - began) * 1e3)
    return {name: round(float(np.median(each[num // 10 :])), 3) for name, each in took.items()}


def _found(recommender: Recommender, live: LiveRelease, requests: Sequence[Request]) -> NDArray[np.int64]:
    """[requests, KEPT] ids, as `upnext batch --nearest` would keep them."""
    batches = [requests[begin : begin + BATCH] for begin in range(0, len(requests), BATCH)]
    return np.concatenate([nearest.kept(recommender.retrieve(b), live.loaded.catalogue, KEPT) for b in batches])


def _knowing(requests: Sequence[Request], known: NDArray[np.int64]) -> list[Request]:
    return [replace(request, nearest=ids[ids >= 0], search=False) for request, ids in zip(requests, known, strict=True)]


@dataclass(frozen=True)
class Loss:
    """A release, its log, and the world that the log is of."""

    live: LiveRelease
    events: pl.DataFrame
    world: World
    requests: Sequence[Request]
    """Pages of the day after the log's end, asked for at its end."""

    @staticmethod
    def of(space: Space, live: LiveRelease, rate: float) -> "Loss":
        """Raises BadInput when the snapshot is gone."""
        loaded = live.loaded
        events = versioning.open_snapshot(space.snapshots, loaded.manifest.snapshot if loaded.manifest else "").events
        world = World(presets.recorded(loaded.lineage["run"]).world)
        world.remember(events)
        end = int(events[c.RECEIVED_AT].max())  # type: ignore[arg-type]
        asked = world.sessions(end, end + DAY_MS, rate, label="nearest")
        return Loss(live, events, world, [replace(request, at=end) for request in asked])

    def table(self) -> list[dict[str, Any]]:
        """One row per age."""
        rows = []
        for hours in HOURS:
            rows.append(self._row(hours))
            print(rows[-1])
        return rows

    def _row(self, hours: int) -> dict[str, Any]:
        recommender, requests = self.live.base.usual, self._active(hours)
        fresh, old = _found(recommender, self.live, requests), self._as_of(hours, requests)
        pages = {
            "searched": _pages(recommender, requests),
            "known": _pages(recommender, _knowing(requests, old)),
            "other_sources": _pages(_without_search(recommender), requests),
        }
        viewers = [request.viewer_id for request in requests]
        values = {name: measures.page_values(self.world, requests, slates) for name, slates in pages.items()}
        lost = inference.cluster_interval(values["known"] - values["searched"], viewers)
        return {
            "hours": hours,
            "pages": len(requests),
            "of_all_viewers": round(len(requests) / len(self.requests), 4),
            "nearest_still": round(_shared(fresh, old), 4),
            "page_still": round(_shared(_ids(pages["searched"]), _ids(pages["known"])), 4),
            "seconds": {name: round(float(value.mean()), 2) for name, value in values.items()},
            "known_minus_searched_s": lost.to_json(),
        }

    def _active(self, hours: int) -> list[Request]:
        """Pages of viewers who did something in the last hours of the log."""
        did = self.events.filter(~pl.col(c.KIND).is_in(NOT_DONE))
        end = self.requests[0].at
        lately = set(did.filter(pl.col(c.EVENT_AT) > end - hours * HOUR_MS)[c.VIEWER_ID].unique().to_list())
        return [request for request in self.requests if request.viewer_id in lately]

    def _as_of(self, hours: int, requests: Sequence[Request]) -> NDArray[np.int64]:
        """What the batch would have found so many hours ago."""
        loaded = self.live.loaded
        earlier = [replace(request, at=request.at - hours * HOUR_MS) for request in requests]
        viewer_ids, at = np.array([r.viewer_id for r in earlier]), np.array([r.at for r in earlier])
        features = offline.build(
            self.events, loaded.catalogue, loaded.viewers, viewer_ids=viewer_ids, at=at,
            video_rows=np.zeros(len(at), dtype=np.int32), with_seen=True, definitions=loaded.definitions,
        )  # fmt: skip
        reader = OfflineReader(features, viewer_ids, at)
        recommender = loaded.recommender(reader, videos=loaded.activity(self.events), config=self.live.base.config)
        return _found(recommender, self.live, earlier)


def _pages(recommender: Recommender, requests: Sequence[Request]) -> list[Slate]:
    return [s for begin in range(0, len(requests), BATCH) for s in recommender.recommend(requests[begin : begin + BATCH])]


def _without_search(recommender: Recommender) -> Recommender:
    return Recommender(replace(recommender.parts, sources=recommender.parts.sources[1:]))


def _ids(slates: Sequence[Slate]) -> NDArray[np.int64]:
    width = max(len(slate.video_ids) for slate in slates)
    return np.array([np.pad(slate.video_ids, (0, width - len(slate.video_ids)), constant_values=-1) for slate in slates])


def _shared(these: NDArray[np.int64], those: NDArray[np.int64]) -> float:
    """Mean share of each row of `these` that is in the same row of `those`."""
    found = [np.isin(a[a >= 0], b[b >= 0]).mean() for a, b in zip(these, those, strict=True) if (a >= 0).any()]
    return float(np.mean(found))


if __name__ == "__main__":
    main()
