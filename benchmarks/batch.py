"""Where does batching stop to pay, and what do pages made ahead of time save?

    UPNEXT_VAR=var python -m benchmarks.batch --pages 512

First, milliseconds of processor time per page by size of the batch, for viewers who have seen equally much, on one thread as in
service. Then freshness against cost, from the training log: if pages were made every so many hours for everybody active in the
week before, how many home pages could have been shown as made, how old were they, and what would all pages together have cost,
against computing each when it is asked for? One page at a time costs what a batch of one does, one made ahead the least of all
sizes, finding one on the shelf next to nothing.
"""

import time
from typing import Any

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from benchmarks import results_file
from core import columns as c
from core import events as ev
from core import release, rng, settings
from core.clock import DAY_MS, HOUR_MS
from core.policy import HOME, Request
from data import versioning
from features.memory_store import MemoryStore
from pipelines import spaces
from serving.live import LiveRelease, go_live
from serving.precomputed import NOT_DONE
from serving.releases import load_release

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
SHELF_MS = 0.2
HOURS = (1, 3, 6, 12, 24)
DAYS = 7


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--pages", type=int, default=512, help="pages per size of a batch")
    parser.add_argument("--space", default=None, help="dataset; the last trained one by default")
    arguments = parser.parse_args()
    space = spaces.current(settings.load().var_dir, arguments.space)
    release_id = release.resolve(space.releases, "live") or ""
    live = go_live(load_release(space.releases, release_id), MemoryStore())
    with threadpool_limits(1):  # work of further threads would not count, and waiting for them would
        cost = _cost(live, arguments.pages)
    events = versioning.open_snapshot(space.snapshots, live.loaded.manifest.snapshot if live.loaded.manifest else "").events
    kept = [_freshness(events, hours, cost[1], min(cost.values())) for hours in HOURS]
    results_file.keep(f"batch-{space.name}", {"cpu_ms_per_page": cost, "freshness": kept}, arguments)


def _cost(live: LiveRelease, num: int) -> dict[int, float]:
    known = live.loaded.viewers.viewer_ids
    seen = np.argsort([len(state.clicks) for state in live.store.read(known.tolist())], kind="stable")
    begins = rng.stream(1, "batches").integers(max(len(known) - max(SIZES), 1), size=max(num // max(SIZES), 1))
    viewers = [int(known[seen[place]]) for begin in begins for place in range(begin, min(begin + max(SIZES), len(known)))]
    requests = [Request(f"{viewer}", viewer, live.loaded.end_at, HOME, 20) for viewer in viewers]
    live.recommender.recommend(requests[:32])
    return {size: _cpu_ms(live, requests, size) for size in SIZES}


def _cpu_ms(live: LiveRelease, requests: list[Request], size: int) -> float:
    took = []
    for begin in range(0, len(requests) - size + 1, size):
        began = time.thread_time()
        live.recommender.recommend(requests[begin : begin + size])
        took.append((time.thread_time() - began) * 1e3 / size)
    return round(float(np.median(took)), 3)


def _freshness(events: pl.DataFrame, hours: int, alone_ms: float, together_ms: float) -> dict[str, Any]:
    """Of the home pages of the log's last days, had pages been made every `hours`."""
    period, end = hours * HOUR_MS, int(events[c.EVENT_AT].max())  # type: ignore[arg-type]
    begin = (end - DAYS * DAY_MS) // period * period
    shown = events.filter((pl.col(c.KIND) == ev.IMPRESSION) & (pl.col(c.SURFACE) == HOME) & (pl.col(c.EVENT_AT) >= begin))
    pages = shown.group_by(c.REQUEST_ID, c.VIEWER_ID).agg(pl.col(c.EVENT_AT).min()).sort(c.EVENT_AT)
    acts = events.filter(~pl.col(c.KIND).is_in(NOT_DONE))
    acts = acts.select(c.VIEWER_ID, pl.col(c.EVENT_AT).alias("acted_at")).sort("acted_at")
    last = pages.join_asof(
        acts, left_on=c.EVENT_AT, right_on="acted_at", by=c.VIEWER_ID, allow_exact_matches=False, check_sortedness=False
    )
    made_at = pl.col(c.EVENT_AT) // period * period
    known = last.with_columns(
        made_at.alias("made_at"), (made_at - pl.col("acted_at") <= DAYS * DAY_MS).fill_null(False).alias("active")
    )
    valid = known.filter((pl.col("acted_at") < pl.col("made_at")) & pl.col("active"))
    made = sum(_active(acts, at) for at in range(begin, end + 1, period))
    hit = len(valid) / max(len(known), 1)
    hybrid_ms = (made * together_ms + len(valid) * SHELF_MS + (len(known) - len(valid)) * alone_ms) / max(len(known), 1)
    age_h = (valid[c.EVENT_AT] - valid["made_at"]).mean()
    return {
        "every_h": hours, "pages_asked": len(known), "pages_made": made, "shown_as_made": round(hit, 4),
        "mean_age_h": None if age_h is None else round(float(age_h) / HOUR_MS, 2),  # type: ignore[arg-type]
        "cpu_ms_per_page": round(hybrid_ms, 3), "computed_cpu_ms_per_page": alone_ms,
        "cpu_ms_when_asked": round((hit * SHELF_MS + (1 - hit) * alone_ms), 3),
    }  # fmt: skip


def _active(acts: pl.DataFrame, at: int) -> int:
    """Viewers who did something in the week before."""
    return acts.filter(pl.col("acted_at").is_between(at - DAYS * DAY_MS, at, closed="left"))[c.VIEWER_ID].n_unique()


if __name__ == "__main__":
    main()
