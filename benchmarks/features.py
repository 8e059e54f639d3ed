"""How fast are features made and read, and in how much memory?

    python -m benchmarks.features --space world-demo

rows    training rows a minute: impressions of the log, each with every declared feature (the shelved ones too) of the moment
        before its page, point in time, from one process; several times, and the run that others disturbed least is the figure
tasks   what one task of `upnext pipeline run` takes, on logs made by repeating the space's with other viewers: seconds, and the
        highest resident memory of a process of its own, by how many events it reads at a time
reads   what a page reads: the state of its viewer from a store server in one round trip, and the features of 500 videos, which
        are gathered in this process; then also the numbers computed from them. Once with the release's states in the store,
        once as the service keeps them, with only what is new in the store. The store is a server of its own, or that of
        REDIS_URL, which may be a cluster (redis+cluster://…)
"""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks import quiet, results_file
from benchmarks.training_memory import enlarge
from core import columns as c
from core import events as ev
from core import release, rng, settings
from core.errors import BadInput
from data import versioning
from data.catalogue import Catalogue, ViewerTable
from data.dataset import Dataset
from features import offline, redis_server
from features.cluster_store import open_store
from features.definitions import default_definitions
from features.layered_store import LayeredStore
from features.store import OnlineStore
from features.video_matrix import VideoMatrix
from pipelines import spaces
from pipelines.orchestration import rows as training_rows
from pipelines.spaces import Space
from serving.live import go_live
from serving.releases import LoadedRelease, load_release

_BATCH, _CANDIDATES, _WARM_UP = 8_192, 500, 50
_TABLES = ("events", "viewers", "videos")


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--space", default=None, help="the last trained one when absent")
    parser.add_argument("--rows", type=int, default=500_000, help="training rows at most; 0 leaves them out")
    parser.add_argument("--tries", type=int, default=1, help="runs of the rows")
    parser.add_argument("--patience", type=float, default=0.0, help="seconds to wait for a quiet machine, all tries together")
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_500_000, 6_000_000], help="events of the logs of tasks")
    parser.add_argument("--pages", type=int, default=2_000, help="pages that are read for; 0 leaves them out")
    arguments = parser.parse_args()
    space = spaces.current(settings.load().var_dir, arguments.space)
    found: dict[str, Any] = {}
    if arguments.rows:
        found["rows"] = rows(space, arguments.rows, arguments.tries, arguments.patience)
    if arguments.sizes:
        found["tasks"] = tasks(space, arguments.sizes)
    if arguments.pages:
        found["reads"] = reads(space, arguments.pages)
    for name, part in found.items():
        print(f"{name}: {part}")
    results_file.keep("features", {"load_average": round(os.getloadavg()[0], 1), **found}, arguments)


def rows(space: Space, most: int, tries: int, patience_s: float) -> dict[str, Any]:
    """Rows a minute, on the clock and of the processor."""
    dataset = versioning.open_snapshot(space.snapshots, versioning.list_snapshots(space.snapshots)[-1].snapshot_id)
    catalogue, declared = Catalogue.of(dataset.videos), default_definitions(shelved=True)
    viewers, shown = ViewerTable.of(dataset.viewers), dataset.events.filter(pl.col(c.KIND) == ev.IMPRESSION).tail(most)
    viewer_ids, at, videos = (shown[name].to_numpy() for name in (c.VIEWER_ID, c.RECEIVED_AT, c.VIDEO_ID))

    def make() -> None:
        video_rows = catalogue.rows(videos)
        built = offline.build(
            dataset.events, catalogue, viewers, viewer_ids=viewer_ids, at=at, video_rows=video_rows, definitions=declared
        )
        for begin in range(0, len(shown), _BATCH):
            built.batch(np.arange(begin, min(begin + _BATCH, len(shown))))

    timings = quiet.timed(make, tries=tries, patience_s=patience_s)
    best = quiet.quietest(timings)
    return {
        "events": len(dataset.events),
        "rows": len(shown),
        "features": len(list(declared)),
        **best.to_json(),
        "rows_per_minute": round(60 * len(shown) / best.wall_s),
        "rows_per_cpu_minute": round(60 * len(shown) / best.cpu_s),
        "all_tries": [timing.to_json() for timing in timings],
    }


def tasks(space: Space, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Of the last third of each log's clicks, with every event in memory and with blocks of half a million."""
    found = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            snapshot_id, span, num_events = _alone(_frozen, space.snapshots, size, Path(folder))
            for most in (num_events, training_rows.MOST_EVENTS, 500_000):
                part = _alone(_task, Path(folder), snapshot_id, span, most)
                found.append({"events": num_events, "events_at_a_time": min(most, num_events), **part})
                print(found[-1], flush=True)
    return found


def _alone(work: Callable[..., Any], *given: Any) -> Any:
    """What `work` returns in a process of its own: memory that another has used once would count as its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, given)


def _frozen(snapshots: Path, num_events: int, folder: Path) -> tuple[str, tuple[int, int], int]:
    """A snapshot of a log of so many events, the span of its last third, and how many events it has."""
    enlarge(snapshots, num_events, folder)
    dataset = Dataset("enlarged", *(pl.read_parquet(folder / f"{name}.parquet") for name in _TABLES))
    span = training_rows.spans(dataset.events, dataset.end_at + 1, 3)[-1]
    return versioning.snapshot(dataset, folder / "snapshots", "").snapshot_id, span, len(dataset.events)


def _task(folder: Path, snapshot_id: str, span: tuple[int, int], most: int) -> dict[str, Any]:
    root = folder / "snapshots"
    before_gb, began, began_cpu = _peak_gb(), time.perf_counter(), time.process_time()
    viewers, videos = versioning.catalogues(root, snapshot_id)
    events = versioning.scan(root, snapshot_id, before=span[1])
    part = training_rows.build(events, Catalogue.of(videos), ViewerTable.of(viewers), span, most)
    return {
        "clicks": len(part),
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_s": round(time.process_time() - began_cpu, 1),
        "before_gb": before_gb,
        "peak_gb": _peak_gb(),
    }


def _peak_gb() -> float:
    """Of this process since it began; `getrusage` would count what the process held that started it."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return round(int(status["VmHWM"].split()[0]) * 1024 / 1e9, 2)


def reads(space: Space, pages: int) -> dict[str, Any]:
    """Milliseconds on the clock of what a page reads, one page at a time."""
    live_id = release.resolve(space.releases, "live")
    if live_id is None:
        raise BadInput(f"nothing is live in '{space.name}'; run `upnext train` first")
    found: dict[str, Any] = {}
    with redis_server.running(settings.load()) as url:
        for name in ("states in the store", "as in service"):
            loaded, store = load_release(space.releases, live_id), open_store(url, f"reads:{name}", timeout_s=5.0)
            if name == "as in service":
                found[name] = _pages(loaded, LayeredStore(loaded.viewer_states(), store), pages)
            else:
                store.load(loaded.viewer_states())
                found[name] = _pages(loaded, store, pages)
            store.clear()
            store.close()
    return {"videos": len(loaded.catalogue), "candidates": _CANDIDATES, "pages": pages, **found}


def _pages(loaded: LoadedRelease, store: OnlineStore, pages: int) -> dict[str, dict[str, float]]:
    """Of random viewers and videos, a second apart from the end of the log on."""
    random, features = rng.stream(1, "reads"), go_live(loaded, store, fill_store=False).features
    gathered = VideoMatrix(loaded.definitions, loaded.catalogue, loaded.video_state)
    viewers = random.choice(loaded.viewers.viewer_ids, _WARM_UP + pages)
    # A video is computed when it is first asked for, and then kept: these pages come to a service that has run for a while.
    every, first = np.arange(len(loaded.catalogue), dtype=np.int32)[None], np.array([loaded.end_at])
    gathered.read(every, first)
    features.assemble(features.viewer_part(viewers[:1], first), every, first)
    took: dict[str, list[float]] = {"state": [], "gather": [], "both": [], "all numbers": []}
    for number, viewer_id in enumerate(viewers.tolist()):
        at = np.array([loaded.end_at + 1_000 * number])
        video_1K = random.integers(0, len(loaded.catalogue), (1, _CANDIDATES), dtype=np.int32)
        marks = [time.perf_counter()]
        store.read([viewer_id])
        marks.append(time.perf_counter())
        gathered.read(video_1K, at)
        marks.append(time.perf_counter())
        part = features.viewer_part(np.array([viewer_id]), at)
        features.assemble(part, video_1K, at)
        marks.append(time.perf_counter())
        for name, seconds in zip(took, (*np.diff(marks[:3]), marks[2] - marks[0], marks[3] - marks[2]), strict=True):
            took[name].append(1e3 * float(seconds))
    return {name: {f"p{q}_ms": round(float(np.percentile(ms[_WARM_UP:], q)), 3) for q in (50, 95)} for name, ms in took.items()}


if __name__ == "__main__":
    main()
