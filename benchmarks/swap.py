"""Releases swapped and rolled back under a steady load: does a viewer notice?

    python -m benchmarks.swap --rate 40 --seconds 60 [--other RELEASE_DIRECTORY]

One process answers random, open-loop arrivals in four threads while the main thread lets one release after the other take over:
loaded beside the live one, verified, compared with it, swapped in, rolled back to the one kept warm, swapped in again; between
these, releases that are broken are offered. Three releases take turns: the live one of the space, `--other` (of another seed,
say) or else the same towers a month later, and the same towers two months later.

Every page is checked against exact scores computed beforehand from the release that it names: videos of its catalogue, the
affinities that its viewer vectors and its video vectors give, and videos from the two towers that are among the nearest of its
index. A page that took its parts from two releases fails one of these. Load and swaps share the machine's cores; the store is a
dictionary in this process.
"""

import argparse
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results_file
from core import release, rng, settings
from core.clock import DAY_MS
from core.errors import ReleaseRefused
from core.policy import Request, Slate
from features.memory_store import MemoryStore
from pipelines import spaces
from retrieval import index as indexes
from retrieval.config import IndexConfig
from retrieval.encoder import FACTS, VECTORS, Floats, VideoEncoder
from serving import verification
from serving.live import LiveRelease, go_live
from serving.releases import INDEX, ReleaseHolder, load_release, open_files

VIEWERS = 100
_THREADS = 4
_TOLERANCE, _INDEX_TOLERANCE = 1e-4, 1e-2
"""Of an affinity, and of one that an index of 16 bits or a graph went by."""
_PAUSE_S = 2.0
"""Between one take-over and the next."""
_SWAP, _ROLLBACK, _FORWARD, _REFUSAL = "load, verify and swap", "roll back", "swap in again", "refusal"


@dataclass
class Load:
    """What happened to the pages."""

    failed: int = 0
    degraded: int = 0
    mixed: int = 0
    by_release: dict[str, int] = field(default_factory=dict)
    waits: list[tuple[float, float]] = field(default_factory=list)
    """(when due, milliseconds until answered)"""


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--rate", type=int, default=40, help="requests per second")
    parser.add_argument("--seconds", type=int, default=60, help="of load; the first quarter is without swaps")
    parser.add_argument("--space", default=None, help="dataset to serve; the last trained one by default")
    parser.add_argument("--other", type=Path, default=None, help="directory of another release over the same videos")
    arguments = parser.parse_args()
    space = spaces.current(settings.load().var_dir, arguments.space)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(space.releases, Path(folder), arguments)
    print(json.dumps(result, indent=1))
    results_file.keep(f"swap-{space.name}", result, arguments)


def measure(source: Path, root: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Load, swap, describe."""
    good, broken = _releases(source, root, arguments.other)
    release.point(root, "live", good[0])
    holder = ReleaseHolder(root, partial(_build, root), accept=verification.require_agreement, keep_warm=True)
    exact = {release_id: _exact(_build(root, release_id)) for release_id in good}
    one_mib = _memory_mib("VmRSS")
    load, done = Load(), threading.Event()
    client = threading.Thread(target=_ask, args=(holder, exact, load, arguments.rate, arguments.seconds, done))
    client.start()
    time.sleep(arguments.seconds / 4)
    took = _take_turns(holder, root, good, broken, done)
    client.join()
    return {
        "videos": len(holder.live.loaded.catalogue),
        "pages_asked": arguments.rate * arguments.seconds,
        "pages": len(load.waits),
        "failed_pages": load.failed,
        "degraded_pages": load.degraded,
        "mixed_pages": load.mixed,
        "pages_by_release": load.by_release,
        "page_ms": _waits(load, took),
        "seconds": {name: _spread([end - begin for begin, end in spans]) for name, spans in took.items()},
        "affinity_moved": _moved(exact),
        "memory_mib": {"before swaps": one_mib, "peak": _memory_mib("VmHWM"), "at the end, two kept": _memory_mib("VmRSS")},
    }


def _build(root: Path, release_id: str) -> LiveRelease:
    return go_live(load_release(root, release_id, verify=True), MemoryStore())


def _releases(source: Path, root: Path, other: Path | None) -> tuple[list[str], list[str]]:
    """Ids of three releases that work and two that do not, all published under `root`."""
    first = release.load(source, release.resolve(source, "live") or "")
    facts = {name: value for name, value in asdict(first.manifest).items() if name not in ("release_id", "files")}

    def publish(files: Path, change: Callable[[Path], None]) -> str:
        def write(path: Path) -> None:
            shutil.copytree(files, path, dirs_exist_ok=True, ignore=shutil.ignore_patterns(release.MANIFEST))
            change(path)

        return release.publish(root, write, **facts).release_id

    good = [publish(first.path, lambda path: None)]
    good.append(publish(first.path, partial(_later, days=30)) if other is None else publish(other, lambda path: None))
    good.append(publish(first.path, partial(_later, days=60)))
    return good, [publish(first.path, _other_vectors), publish(first.path, lambda path: (path / VECTORS).unlink())]


def _later(path: Path, days: int) -> None:
    """The same towers, every video encoded `days` later."""
    loaded, tower, facts = open_files(path), VideoEncoder.load(path), json.loads((path / FACTS).read_text())
    facts["at"] += days * DAY_MS
    videos, known = loaded.catalogue, len(tower)  # `benchmarks.enlarged` adds videos that the towers have no row for
    old = tower.encode_rows(np.arange(known, dtype=np.int32), videos.uploaded_at[:known], facts["at"])
    new = tower.encode(videos.content[known:], videos.codes[known:], videos.uploaded_at[known:], facts["at"])
    vectors = np.concatenate([old, new])
    np.save(path / VECTORS, vectors)
    indexes.build(vectors, IndexConfig()).save(path / INDEX)
    (path / FACTS).write_text(json.dumps(facts))


def _other_vectors(path: Path) -> None:
    np.save(path / VECTORS, np.roll(np.load(path / VECTORS), 1, axis=0))


def _exact(live: LiveRelease) -> Floats:
    """[VIEWERS, V] the affinity of every video for the viewers who will ask, from the release's own parts."""
    viewer_ids = live.loaded.viewers.viewer_ids[:VIEWERS]
    part = live.features.viewer_part(viewer_ids, np.full(len(viewer_ids), live.loaded.end_at + 1))
    return live.loaded.encoder.encode(part) @ live.loaded.video_VD.T


def _ask(
    holder: ReleaseHolder[LiveRelease], exact: Mapping[str, Floats], load: Load, rate: int, seconds: int, done: threading.Event
) -> None:
    """Visitors arrive at random and wait for nobody."""
    random = rng.stream(1, "arrivals")
    due_s = np.cumsum(random.exponential(1 / rate, rate * seconds))
    visitors = random.integers(0, min(VIEWERS, len(holder.live.loaded.viewers)), len(due_s))
    lock, begin = threading.Lock(), time.monotonic()

    def visit(number: int) -> None:
        visitor, due = int(visitors[number]), begin + float(due_s[number])
        live = holder.live
        viewer_id, at = int(live.loaded.viewers.viewer_ids[visitor]), live.loaded.end_at + 1
        try:
            slate = live.recommender.recommend([Request(f"r{number}", viewer_id, at, k=20)])[0]
            waited_ms = (time.monotonic() - due) * 1e3
            whole = belongs(slate, live, exact[live.loaded.release_id][visitor])
        except Exception:
            with lock:
                load.failed += 1
            return
        with lock:
            load.mixed += not whole
            load.degraded += bool(slate.degraded)
            load.by_release[slate.release_id] = load.by_release.get(slate.release_id, 0) + 1
            load.waits.append((due, waited_ms))

    with ThreadPoolExecutor(_THREADS) as pool:
        for number, due in enumerate(due_s.tolist()):
            time.sleep(max(begin + due - time.monotonic(), 0))
            pool.submit(visit, number)
    done.set()


def belongs(slate: Slate, live: LiveRelease, affinity_V: Floats) -> bool:
    """Whether all of a page is from this release, whose exact affinities for the viewer are given."""
    rows, reach = live.loaded.catalogue.rows(slate.video_ids), live.base.config.num_candidates + live.base.config.seen_margin
    if slate.release_id != live.loaded.release_id or (rows < 0).any():
        return False
    found = rows[[source == "two_tower" for source in slate.sources]]
    farthest = affinity_V[found].min() if len(found) else np.inf
    exact = bool(np.abs(slate.scores["affinity"] - affinity_V[rows]).max() < _TOLERANCE)
    return exact and int((affinity_V > farthest + _INDEX_TOLERANCE).sum()) <= reach


def _take_turns(
    holder: ReleaseHolder[LiveRelease], root: Path, good: list[str], broken: list[str], done: threading.Event
) -> dict[str, list[tuple[float, float]]]:
    """Until the load ends: (began, ended) of everything that was done to the live release."""
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in (_SWAP, _ROLLBACK, _FORWARD, _REFUSAL)}

    def timed(name: str, act: Callable[[], object]) -> None:
        began = time.monotonic()
        act()
        took[name].append((began, time.monotonic()))
        done.wait(_PAUSE_S)

    def to(release_id: str) -> LiveRelease:
        release.point(root, "live", release_id)
        return holder.reload()

    def refused(release_id: str) -> None:
        before = holder.live
        try:
            to(release_id)
            raise RuntimeError(f"the broken release {release_id} was taken")
        except ReleaseRefused:
            assert holder.live is before
            release.point(root, "live", before.loaded.release_id)

    turn = 0
    while not done.is_set():
        before, turn = holder.release_id, turn + 1
        timed(_SWAP, partial(to, good[turn % len(good)]))
        timed(_ROLLBACK, holder.rollback)
        assert holder.release_id == before
        timed(_FORWARD, partial(to, good[turn % len(good)]))
        timed(_REFUSAL, partial(refused, broken[turn % len(broken)]))
    return took


def _waits(load: Load, took: Mapping[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """Milliseconds of pages that came due while nothing, a load, or a refusal was going on; of instant swaps, within .1 s."""
    due, ms = np.array(load.waits).T
    during = {
        name: np.any([(due >= begin - 0.05) & (due <= max(end, begin + 0.1)) for begin, end in spans], axis=0)
        for name, spans in took.items()
        if spans
    }
    steady = ~np.any(list(during.values()), axis=0)
    return {
        name: {"pages": int(chosen.sum())} | {f"p{q}": round(float(np.percentile(ms[chosen], q)), 2) for q in (50, 95, 99, 100)}
        for name, chosen in {"steady": steady, **during}.items()
        if chosen.any()
    }


def _spread(values: list[float]) -> dict[str, float]:
    if not values:
        return {"times": 0}
    return {"times": len(values), "median": round(float(np.median(values)), 5), "most": round(max(values), 5)}


def _moved(exact: Mapping[str, Floats]) -> dict[str, float]:
    """Share of (viewer, video) pairs whose affinity differs between two of the releases by more than pages are checked to."""
    names = list(exact)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    return {f"{a} {b}": round(float((np.abs(exact[a] - exact[b]) > _TOLERANCE).mean()), 4) for a, b in pairs}


def _memory_mib(name: str) -> int:
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(name))
    return int(line.split()[1]) // 1024


if __name__ == "__main__":
    main()
