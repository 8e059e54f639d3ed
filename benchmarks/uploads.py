"""From an upload in the event log to a candidate: how long does it take, and what does it cost?

    python -m benchmarks.uploads --uploads 40

Puts the live release of a space into service with a real event log of its own and a consumer thread, appends copies of its own
videos as uploads, and waits until each is in the index. Reports seconds until then, milliseconds to grow by a batch, and a
search of the main index alone and with the newer vectors beside it. The store is a dictionary in this process.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from benchmarks import results_file
from core import columns as c
from core import release, rng, settings
from core.event_log import SqliteEventLog
from data.dataset import conform
from data.world import journal
from features.memory_store import MemoryStore
from pipelines import spaces
from serving.fresh_videos import GrowingRelease
from serving.live import go_live
from serving.releases import load_release

_POLL_S = 0.001
_SEARCHES, _NEAREST = 200, 500


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--uploads", type=int, default=40, help="one after the other; then as many in one batch")
    parser.add_argument("--space", default=None, help="dataset to serve; the last trained one by default")
    arguments = parser.parse_args()
    space = spaces.current(settings.load().var_dir, arguments.space)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(space.releases, Path(folder), arguments)
    print(json.dumps(result, indent=1))
    results_file.keep(f"uploads-{space.name}", result, arguments)


def measure(releases: Path, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Upload, wait, describe."""
    loaded = load_release(releases, release.resolve(releases, "live") or "")
    growing, num = GrowingRelease(go_live(loaded, MemoryStore())), arguments.uploads
    log = SqliteEventLog(folder / "events.db")
    events = _uploads(loaded.catalogue.frame, 2 * num, loaded.end_at)
    consumer = growing.consumer(log)
    consumer.start()
    try:
        until_candidate_s = []
        for i in range(num):
            began = time.monotonic()
            log.append(events.slice(i, 1))
            consumer.notify()
            while len(growing.live.loaded.index) < len(loaded.index) + i + 1:
                time.sleep(_POLL_S)
            until_candidate_s.append(time.monotonic() - began)
    finally:
        consumer.close()
        log.close()
    began = time.perf_counter()
    growing.apply(events.slice(num))
    batch_ms = (time.perf_counter() - began) * 1e3
    grown = growing.live.loaded
    queries = grown.video_VD[rng.stream(1, "queries").integers(0, len(grown.video_VD), _SEARCHES)]
    return {
        "videos": len(loaded.catalogue),
        "uploads": len(grown.catalogue) - len(loaded.catalogue),
        "seconds_until_candidate": {
            "median": round(float(np.median(until_candidate_s)), 4), "most": round(max(until_candidate_s), 4)
        },
        "batch": {"uploads": num, "ms": round(batch_ms, 1)},
        "search_ms": {
            "main index": _median_ms(lambda query: loaded.index.search(query, _NEAREST), queries),
            "with newer vectors": _median_ms(lambda query: grown.index.search(query, _NEAREST), queries),
        },
    }  # fmt: skip


def _uploads(videos: pl.DataFrame, num: int, at: int) -> pa.Table:
    """Copies of random videos under ids above all others."""
    chosen = rng.stream(1, "uploads").integers(0, len(videos), num)
    newest = int(videos[c.VIDEO_ID].max()) + 1  # type: ignore[arg-type]
    ids = pl.Series(c.VIDEO_ID, newest + np.arange(num))
    copies = videos[chosen].with_columns(ids, ids.cast(pl.String).alias(c.EXTERNAL_ID), pl.lit(at).alias(c.UPLOADED_AT))
    events = journal.uploads(copies).with_columns(pl.lit(at).alias(c.RECEIVED_AT))
    return conform(events, c.EVENTS).to_arrow().cast(c.EVENTS)


def _median_ms(search: Callable[[np.ndarray], object], queries: np.ndarray) -> float:
    took = []
    for query in queries:
        began = time.perf_counter()
        search(query[None])
        took.append((time.perf_counter() - began) * 1e3)
    return round(float(np.median(took)), 3)


if __name__ == "__main__":
    main()
