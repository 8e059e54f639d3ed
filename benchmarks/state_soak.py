"""Do the online states of viewers stay bounded? Millions of events through features and store, and what both hold meanwhile.

    python -m benchmarks.state_soak                     # 5 million events
    python -m benchmarks.state_soak --curve curve.svg   # and the curve as a picture

Viewers come and go: `--present` of them are active at a time, and over the run `--viewers` were; a few never leave and do far
more than the rest. Batches go the way of the service's consumer, `features.online.OnlineFeatures.apply` into a store server of
its own. In service a viewer's state expires after 180 days; here after `--ttl` seconds of the clock on the wall, so that a run
of minutes sees viewers expire. Time of the log runs through `--days` days, so that window tiles end as well.

Reports memory and keys of the store and memory of this process along the way, and how long the longest lists and hashes became
against their bounds.
"""

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app import fakes
from benchmarks import results_file
from core import columns as c
from core import events as ev
from core import rng, settings
from core.clock import DAY_MS
from data.catalogue import Catalogue, ViewerTable
from data.redis_nodes import Client, connect
from features import redis_server
from features.definitions import REMEMBERED_WATCHES, Definitions, default_definitions
from features.kinds import SEEN_LIMIT
from features.online import OnlineFeatures
from features.redis_store import RedisStore
from features.video_state import VideoState

_BEGIN_AT = 1_780_000_000_000
_PAGE = 20
"""Events of a viewer that come together."""
_KEEN = 20
"""Viewers who never leave; they do a twentieth of everything."""
_MIX = {ev.IMPRESSION: 0.6, ev.CLICK: 0.2, ev.WATCH: 0.17, ev.LIKE: 0.03}
_MIB = 2**20


@dataclass(frozen=True)
class Plan:
    """What comes."""

    events: int
    batch: int
    viewers: int
    present: int
    days: int
    sample_every: int
    """Batches between samples."""


def batches(plan: Plan, video_ids: NDArray[np.int64]) -> Iterator[pl.DataFrame]:
    """The events, in log order."""
    kinds, shares = list(_MIX), list(_MIX.values())
    for number in range(plan.events // plan.batch):
        random, done = rng.stream(0, "state soak", number), number * plan.batch / plan.events
        pages = plan.batch // _PAGE
        arrived = int(done * (plan.viewers - plan.present))
        viewer = _KEEN + arrived + random.integers(0, plan.present, pages)
        viewer = np.where(random.random(pages) < 0.05, random.integers(0, _KEEN, pages), viewer)
        at = _BEGIN_AT + int(done * plan.days * DAY_MS) + np.arange(plan.batch)
        kind = np.array(kinds)[random.choice(len(kinds), plan.batch, p=shares)]
        yield pl.DataFrame(
            {
                c.EVENT_ID: [f"{number}-{i}" for i in range(plan.batch)],
                c.KIND: kind,
                c.EVENT_AT: at,
                c.RECEIVED_AT: at,
                c.VIEWER_ID: np.repeat(viewer, _PAGE),
                c.VIDEO_ID: random.choice(video_ids, plan.batch),
                c.VALUE: random.exponential(120.0, plan.batch),
            }
        )


def held(client: Client, began_s: float) -> dict[str, float]:
    """What the store and this process hold now."""
    memory, counts = client.info("memory"), client.info("stats")
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "at_s": round(time.monotonic() - began_s, 1),
        "store_mib": round(memory["used_memory"] / _MIB, 1),
        "store_resident_mib": round(memory["used_memory_rss"] / _MIB, 1),
        "process_resident_mib": round(int(status["VmRSS"].split()[0]) / 1024, 1),
        "keys": client.dbsize(),
        "expired_keys": counts["expired_keys"],
    }


def bounds(client: Client, definitions: Definitions, most: int = 20_000) -> dict[str, Any]:
    """The longest structure of each kind among some keys, the keen viewers' included, and how long it may be."""
    longest, immortal, read = {"n": 0, "c": 0, "w": 0}, 0, 0
    keen = [key for viewer in range(_KEEN) for key in client.keys(f"soak:{{{viewer}}}:*")]
    for key in [*keen, *(key for key, _ in zip(client.scan_iter(count=1_000), range(most), strict=False))]:
        kind = key.decode().rpartition(":")[2]
        length = client.hlen(key) if kind == "n" else client.llen(key)
        longest[kind], immortal, read = max(longest[kind], length), immortal + (client.ttl(key) == -1), read + 1
    allowed = {"n": sum(spec.tiles for spec in definitions.viewer_sums), "c": SEEN_LIMIT, "w": REMEMBERED_WATCHES}
    names = {"n": "counters", "c": "clicks", "w": "watches"}
    return {"keys_read": read, "without_expiry": immortal} | {
        names[kind]: {"longest": longest[kind], "bound": allowed[kind]} for kind in names
    }


def soak(plan: Plan, url: str, ttl_s: int) -> dict[str, Any]:
    """All of it."""
    catalogue = Catalogue.of(fakes.videos(_BEGIN_AT))
    definitions = default_definitions()
    client, store = connect(url, 60.0), RedisStore(url, "soak", ttl_s=ttl_s, write_timeout_s=60.0)
    state = VideoState.empty(catalogue, definitions)
    online = OnlineFeatures(definitions, catalogue, ViewerTable.of(fakes.viewers()), store, state)
    began_s, samples = time.monotonic(), []
    for number, batch in enumerate(batches(plan, catalogue.video_ids), start=1):
        online.apply(batch.to_arrow())
        if number % plan.sample_every == 0 or number == 1:
            samples.append({"events": number * plan.batch, **held(client, began_s)})
            print(samples[-1], flush=True)
    half = samples[len(samples) // 2 :]
    slope = np.polyfit(
        [one["events"] / 1e6 for one in half], [[one["store_mib"], one["process_resident_mib"]] for one in half], 1
    )
    return {
        "samples": samples,
        "events_per_s": round(plan.events / samples[-1]["at_s"]),
        "second_half_mib_per_million_events": dict(zip(("store", "process"), np.round(slope[0], 2).tolist(), strict=True)),
        "bounds": bounds(client, definitions),
    }


def draw(samples: list[dict[str, float]], path: Path) -> None:
    """Memory of store and process over the events, as SVG."""
    width, height, left = 640, 260, 52
    most = 1.15 * max(max(one["store_mib"], one["process_resident_mib"]) for one in samples)
    step = 10 ** math.floor(math.log10(most)) / 2
    marks = []

    def height_of(mib: float) -> float:
        return height - 30 - (height - 40) * mib / most

    for tick in np.arange(0, most, step).tolist():
        y = height_of(tick)
        marks.append(
            f'<path d="M{left} {y:.1f}H{width}" stroke="#8886"/><text x="{left - 8}" y="{y + 4:.1f}">{tick:.0f}</text>'
        )
    for name, colour in (("store_mib", "#1a66c9"), ("process_resident_mib", "#d6263f")):
        places = [(left + (width - left) * one["events"] / samples[-1]["events"], height_of(one[name])) for one in samples]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        marks.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    legend = (
        f'<text x="{width}" y="{height - 8}">MiB of the store (blue) and the process (red) over '
        f"{samples[-1]['events'] / 1e6:g} million events</text>"
    )
    style = "<style>text{font:12px system-ui,sans-serif;fill:#777;text-anchor:end}</style>"
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width + 4} {height}" width="{width + 4}">'
        f"{style}{''.join(marks)}{legend}</svg>\n"
    )


def main() -> None:
    """Run the benchmark from the command line."""
    parser: argparse.ArgumentParser = results_file.parser(__doc__)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--viewers", type=int, default=400_000, help="viewers over the whole run")
    parser.add_argument("--present", type=int, default=40_000, help="viewers who are active at a time")
    parser.add_argument("--days", type=int, default=90, help="days of the log that pass")
    parser.add_argument("--ttl", type=int, default=30, help="seconds after which a state that nobody touched expires")
    parser.add_argument("--curve", type=Path, default=None, help="write the curve here as SVG")
    arguments = parser.parse_args()
    plan = Plan(arguments.events, 20_000, arguments.viewers, arguments.present, arguments.days, sample_every=5)
    with redis_server.running(settings.load()) as url:
        result = soak(plan, url, arguments.ttl)
    print(result["second_half_mib_per_million_events"], result["bounds"])
    if arguments.curve is not None:
        draw(result["samples"], arguments.curve)
    results_file.keep("state-soak", result, arguments)


if __name__ == "__main__":
    main()
