"""Releases swapped and rolled back in the running service under a steady load: does a viewer notice?

    python -m benchmarks.swap --rate 20 --seconds 60 [--other RELEASE_DIRECTORY] [--videos 1900000]

Starts the service over a copy of the live release and sends random, open-loop arrivals over HTTP. The first half of the time
nothing else happens: the control. In the second half one release after the other takes over through the admin routes: loaded
beside the live one, verified, compared with it, swapped in, rolled back to the one kept warm, swapped in again; between these,
releases that are broken are offered. Three releases take turns: the live one, `--other` (of another seed, say) or else the
same towers a month later, and the same towers two months later. With `--videos`, the release that serves is made larger first
(`benchmarks.enlarged`): 1.9 million videos have tables of 2 GB, and three such releases want 20 GB of memory in all. So they
are made by a process of its own, which gives its memory back, and a broken one shares what is not broken with the first.

Afterwards pages, 3,000 at most, are checked against exact scores of the release that each names, of its viewer at its instant:
videos of its catalogue, the affinities that its viewer vector and its video vectors give, and videos from the two towers that
are among the nearest of its index. A page that took its parts from two releases fails one of these. Load and service share the
cores.
"""

import json
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import load, own_service, results_file
from benchmarks.enlarged import enlarge
from benchmarks.load import Answer, Visit
from benchmarks.own_service import Site
from core import columns as c
from core import release, rng, settings
from core.clock import DAY_MS
from core.ids import to_id, to_ids
from data.catalogue import ViewerTable
from features.memory_store import MemoryStore
from pipelines import spaces
from pipelines.spaces import Space
from retrieval import index as indexes
from retrieval.config import IndexConfig
from retrieval.encoder import FACTS, VECTORS, Floats, VideoEncoder
from serving.live import LiveRelease, go_live
from serving.releases import INDEX, VIEWERS, load_release, open_files

NUM_VIEWERS, CHECKED = 100, 3_000
_TOLERANCE, _INDEX_TOLERANCE = 1e-4, 1e-2
"""Of an affinity, and of one that an index of 16 bits or a graph went by."""
PAUSE_S = 5.0
"""Between one change of the live release and the next."""
SWAP, _ROLLBACK, _FORWARD, _REFUSAL = "load, verify and swap", "roll back", "swap in again", "refusal"
Spans = Mapping[str, list[tuple[float, float]]]
"""What was done → (began, ended), seconds since the load began."""


@dataclass
class Releases:
    """Ids of those that take turns, under the root of the service's copy."""

    good: list[str]
    broken: list[str]


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--rate", type=int, default=20, help="requests per second")
    parser.add_argument("--seconds", type=int, default=60, help="of load; the first half is without swaps")
    parser.add_argument("--space", default=None, help="dataset to serve; the last trained one by default")
    parser.add_argument("--other", type=Path, default=None, help="directory of another release over the same videos")
    parser.add_argument("--videos", type=int, default=None, help="make the release this large first")
    arguments = parser.parse_args()
    space = served(arguments.space, arguments.videos)
    result = measure(space, arguments.rate, arguments.seconds, arguments.other)
    print(json.dumps(result, indent=1))
    results_file.keep(f"swap-{space.name}", result, arguments)


def served(name: str | None, num_videos: int | None) -> Space:
    """The dataset of a name, or the last trained one; made larger on demand."""
    var_dir = settings.load().var_dir
    space = spaces.current(var_dir, name)
    return enlarge(var_dir, space, num_videos) if num_videos else space


def measure(space: Space, rate: int, seconds: int, other: Path | None = None, pause_s: float = PAUSE_S) -> dict[str, Any]:
    """Load, swap, check, describe."""
    offered = Releases([], [])

    def prepare(copy: Space) -> None:
        nonlocal offered
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            offered = pool.submit(_publish, copy.releases, other).result()

    with own_service.running(space, prepare) as site:
        one_mib, visits, told = site.memory_mib(), _visits(site, rate, seconds), site.get("/ops/tables/summary")
        answers: list[Answer] = []
        began = time.monotonic()
        client = threading.Thread(target=lambda: answers.extend(load.run(site.port, visits)))
        client.start()
        time.sleep(seconds / 2)
        took = _take_turns(site, offered, client, began, pause_s)
        client.join()
        memory_mib = {"before swaps": one_mib, "peak": site.memory_mib("VmHWM"), "at the end, two kept": site.memory_mib()}
        pages = [json.loads(answer.body) for answer in answers if answer.status == 200]
        checked = rng.stream(1, "checked pages").permutation(len(pages))[:CHECKED]
        mixed = _mixed(site.space.releases, offered.good, [pages[number] for number in checked])
    waits = _waits(answers, took)
    return {
        "videos": told["index"]["vectors"],
        "table_bytes": sum(table["bytes"] for table in told["tables"]),
        "pages_asked": len(visits),
        "failed_pages": len(visits) - len(pages),
        "degraded_pages": sum(page["degraded"] for page in pages),
        "checked_pages": len(checked),
        "mixed_pages": mixed,
        "pages_by_release": Counter(page["release"] for page in pages),
        "page_ms": waits,
        "p99_against_control": round(waits["with swaps"]["p99"] / waits["control"]["p99"], 3),
        "seconds": {name: _spread([end - begin for begin, end in spans]) for name, spans in took.items()},
        "memory_mib": memory_mib,
    }


def _publish(root: Path, other: Path | None) -> Releases:
    """Releases that work, and two that do not, beside the live one."""
    first = release.load(root, release.resolve(root, "live") or "")
    facts = {name: value for name, value in asdict(first.manifest).items() if name not in ("release_id", "files")}

    def publish(files: Path, change: Callable[[Path], None], copy: Callable[[str, str], object] = shutil.copy2) -> str:
        def write(path: Path) -> None:
            unwanted = shutil.ignore_patterns(release.MANIFEST)
            shutil.copytree(files, path, dirs_exist_ok=True, ignore=unwanted, copy_function=copy)
            change(path)

        return release.publish(root, write, **facts).release_id

    second = publish(first.path, partial(_later, days=30)) if other is None else publish(other, lambda path: None)
    good = [first.release_id, second, publish(first.path, partial(_later, days=60))]
    changes = (_other_vectors, lambda path: (path / VECTORS).unlink())
    return Releases(good, [publish(first.path, change, os.link) for change in changes])


def _later(path: Path, days: int) -> None:
    """The same towers, every video encoded `days` later."""
    loaded, tower, facts = open_files(path, trusted=True), VideoEncoder.load(path), json.loads((path / FACTS).read_text())
    facts["at"] += days * DAY_MS
    videos, known = loaded.catalogue, len(tower)  # `benchmarks.enlarged` adds videos that the towers have no row for
    old = tower.encode_rows(np.arange(known, dtype=np.int32), videos.uploaded_at[:known], facts["at"])
    new = tower.encode(videos.content[known:], videos.codes[known:], videos.uploaded_at[known:], facts["at"])
    vectors = np.concatenate([old, new])
    np.save(path / VECTORS, vectors)
    indexes.build(vectors, IndexConfig()).save(path / INDEX)
    (path / FACTS).write_text(json.dumps(facts))


def _other_vectors(path: Path) -> None:
    rolled = np.roll(np.load(path / VECTORS), 1, axis=0)
    (path / VECTORS).unlink()  # this name of the first release's file
    np.save(path / VECTORS, rolled)


def _visits(site: Site, rate: int, seconds: int) -> list[Visit]:
    """Viewers of the release who arrive at random and wait for nobody. Nobody sees the pages, so no state changes."""
    live = release.resolve(site.space.releases, "live") or ""
    viewers = ViewerTable.load(site.space.releases / live / VIEWERS).frame[c.EXTERNAL_ID][:NUM_VIEWERS].to_list()
    random = rng.stream(1, "arrivals")
    due_s, chosen = np.cumsum(random.exponential(1 / rate, rate * seconds)), random.integers(0, len(viewers), rate * seconds)
    path = "/recommend?k=20&explain=true&preview=true&viewer_id="
    return [Visit(due, f"{path}{viewers[viewer]}") for due, viewer in zip(due_s.tolist(), chosen.tolist(), strict=True)]


def _mixed(root: Path, good: Sequence[str], pages: Sequence[Mapping[str, Any]]) -> int:
    """How many pages are not wholly of the release that they name; one release at a time is in memory."""
    found = sum(page["release"] not in good for page in pages)
    for release_id in good:
        lives = {release_id: go_live(load_release(root, release_id, trusted=True), MemoryStore())}
        found += sum(not belongs(page, lives) for page in pages if page["release"] == release_id)
    return found


def belongs(page: Mapping[str, Any], lives: Mapping[str, LiveRelease]) -> bool:
    """Whether all of an explained page is from the release that it names."""
    live, videos = lives.get(page["release"]), page["videos"]
    if live is None or not videos:
        return False
    rows = live.loaded.catalogue.rows(to_ids(video["video_id"] for video in videos))
    if (rows < 0).any():
        return False
    if page["degraded"] and "affinity" not in videos[0]["explain"]["scores"]:
        return True  # made without vectors: there is nothing to tell releases apart by
    affinity_V = _exact(live, to_id(page["viewer_id"]), page["at"])
    said = np.array([video["explain"]["scores"]["affinity"] for video in videos])
    found = rows[[video["explain"]["source"] == "two_tower" for video in videos]]
    farthest = affinity_V[found].min() if len(found) else np.inf
    reach = live.base.config.num_candidates + live.base.config.seen_margin
    exact = bool(np.abs(said - affinity_V[rows]).max() < _TOLERANCE)
    return exact and int((affinity_V > farthest + _INDEX_TOLERANCE).sum()) <= reach


def _exact(live: LiveRelease, viewer_id: int, at: int) -> Floats:
    """[V] the affinity of every video for a viewer at an instant."""
    part = live.features.viewer_part(np.array([viewer_id]), np.array([at]))
    return (live.loaded.encoder.encode(part) @ live.loaded.video_VD.T)[0]


def _take_turns(site: Site, offered: Releases, client: threading.Thread, began: float, pause_s: float) -> Spans:
    """Until the load ends: all that is done to the live release."""
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in (SWAP, _ROLLBACK, _FORWARD, _REFUSAL)}
    root = site.space.releases

    def act(name: str, action: str, wanted: int, release_id: str | None = None) -> None:
        if release_id is not None:
            release.point(root, "live", release_id)
        begun = time.monotonic() - began
        status, said = site.ask("POST", f"/admin/{action}")
        took[name].append((begun, time.monotonic() - began))
        if status != wanted:
            raise RuntimeError(f"{name} was answered {status}: {said}")
        client.join(pause_s)

    turn = 0
    while client.is_alive():
        turn += 1
        wanted = offered.good[turn % len(offered.good)]
        act(SWAP, "reload", 200, wanted)
        act(_ROLLBACK, "rollback", 200)
        act(_FORWARD, "reload", 200, wanted)
        act(_REFUSAL, "reload", 409, offered.broken[turn % len(offered.broken)])
        release.point(root, "live", wanted)
    return took


def _waits(answers: Sequence[Answer], took: Spans) -> dict[str, Any]:
    """Milliseconds of pages that came due before the first swap, since then, and during each kind of change (within .1 s)."""
    due = np.array([answer.visit.due_s for answer in answers])
    ms = np.array([answer.waited_ms for answer in answers])
    first = min(begin for spans in took.values() for begin, _ in spans)
    chosen = {"control": due < first, "with swaps": due >= first}
    for name, spans in took.items():
        chosen[name] = np.any([(due >= begin - 0.05) & (due <= max(end, begin + 0.1)) for begin, end in spans], axis=0)
    return {
        name: {"pages": int(here.sum())} | {f"p{q}": round(float(np.percentile(ms[here], q)), 2) for q in (50, 95, 99, 100)}
        for name, here in chosen.items()
        if here.any()
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"times": len(values), "median": round(float(np.median(values)), 4), "most": round(max(values), 4)}


if __name__ == "__main__":
    main()
