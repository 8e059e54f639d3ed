"""How fast do new videos find viewers, with and without slots that are left to chance?

    python -m benchmarks.new_videos --videos 40 --days 4

The latest uploads of a world are taken out of its live release, which then goes into service without them. They come back as
uploads in the log (`serving.fresh_videos`), the world's viewers visit, and what they do is applied after every hour. Each way
to explore sees the same visits, and the viewers' luck depends on the request alone. Reported by day, since the uploads: the
share of new videos that were shown ten times, that were clicked, their clicks per impression, and what all pages were truly
worth.

The towers and the ranker's code tables had learned from the few clicks on these videos before they were taken out.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks import results_file
from benchmarks.enlarged import write_without
from core import columns as c
from core import config as configs
from core import events as ev
from core import release, settings
from core.clock import DAY_MS, HOUR_MS
from core.policy import Request
from data import versioning
from data.catalogue import Catalogue
from data.dataset import Dataset, conform
from data.world import journal
from data.world.config import WorldConfig
from data.world.world import World
from features.memory_store import MemoryStore
from pipelines import spaces
from pipelines.gates.questions import snapshot_of
from pipelines.lab import measures as lab_measures
from pipelines.spaces import Space
from serving.config import ExplorationConfig
from serving.fresh_videos import GrowingRelease
from serving.impressions import to_table
from serving.live import go_live
from serving.releases import load_release, open_files

WAYS = {
    "nothing left to chance": ExplorationConfig(epsilon=0.0),
    "every slot with 5 %": ExplorationConfig(epsilon=0.05),
    "the last slot always": ExplorationConfig(epsilon=1.0, slots=(9,)),
}
_SHOWN = 10


@dataclass
class Audience:
    """What has happened to the new videos so far."""

    shown: dict[int, int]
    clicked: dict[int, int]
    worth: list[NDArray[np.float64]] = field(default_factory=list)
    """True value of every page."""


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--videos", type=int, default=40, help="how many of the latest uploads")
    parser.add_argument("--days", type=int, default=4, help="how long viewers come afterwards")
    parser.add_argument("--rate", type=float, default=2.0, help="times as many visits as is natural")
    parser.add_argument("--space", default=None, help="a world; the last trained one by default")
    arguments = parser.parse_args()
    space = spaces.current(settings.load().var_dir, arguments.space)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(space, Path(folder), arguments)
    print(json.dumps(result, indent=1))
    results_file.keep(f"new-videos-{space.name}", result, arguments)


def measure(space: Space, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Take out, put back, watch; once for each way to explore."""
    loaded = load_release(space.releases, release.resolve(space.releases, "live") or "")
    dataset = versioning.open_snapshot(space.snapshots, snapshot_of(loaded))
    world_config = configs.from_dict(WorldConfig, json.loads(space.world.read_text()))
    new = latest(loaded.catalogue, arguments.videos, loaded.end_at)
    write_without(loaded, new, folder)
    curves = {}
    for name, exploration in WAYS.items():
        config = replace(loaded.config, exploration=exploration)
        service = GrowingRelease(go_live(open_files(folder), MemoryStore(), config=config))
        curves[name] = _watch(service, world_config, dataset, loaded.catalogue.frame[new], arguments)
    return {"videos": len(loaded.catalogue), "new": len(new), "by_day": curves}


def latest(catalogue: Catalogue, num: int, at: int) -> NDArray[np.int64]:
    """Rows of the latest uploads before `at` without which every channel, category and language still has a video."""
    left = [np.bincount(codes) for codes in catalogue.codes.T]
    found: list[int] = []
    for row in np.argsort(-catalogue.uploaded_at, kind="stable").tolist():
        codes = catalogue.codes[row]
        if len(found) < num and catalogue.uploaded_at[row] <= at and all(n[v] > 1 for n, v in zip(left, codes, strict=True)):
            found.append(row)
            for counts, code in zip(left, codes, strict=True):
                counts[code] -= 1
    return np.sort(found)


def _watch(
    service: GrowingRelease, config: WorldConfig, dataset: Dataset, new: pl.DataFrame, arguments: argparse.Namespace
) -> list[dict[str, float]]:
    """Days of visits, and after each what the new videos have come to."""
    world, begin = World(config), dataset.end_at + 1
    world.remember(dataset.events)
    uploads = journal.uploads(new).with_columns(pl.lit(begin).alias(c.RECEIVED_AT))
    service.apply(conform(uploads, c.EVENTS).to_arrow().cast(c.EVENTS))
    ids = new[c.VIDEO_ID].to_list()
    audience, curve = Audience(dict.fromkeys(ids, 0), dict.fromkeys(ids, 0)), []
    for day in range(arguments.days):
        since = begin + day * DAY_MS
        for requests in _hours(world, since, since + DAY_MS, arguments.rate):
            slates = service.recommend(requests)
            audience.worth.append(lab_measures.page_values(world, requests, slates))
            shown = to_table(requests, slates, requests[-1].at)
            happened = pa.concat_tables([shown, world.respond(slates, requests)])
            service.apply(happened.sort_by([(c.RECEIVED_AT, "ascending")]))
            _count(audience.shown, happened, ev.IMPRESSION)
            _count(audience.clicked, happened, ev.CLICK)
        curve.append({"day": day + 1, **_so_far(audience)})
    return curve


def _hours(world: World, begin: int, end: int, rate: float) -> Iterator[list[Request]]:
    """The visits of every hour that has any."""
    for _, visits in groupby(world.sessions(begin, end, rate, "new videos"), lambda request: request.at // HOUR_MS):
        yield list(visits)


def _count(counts: dict[int, int], events: pa.Table, kind: str) -> None:
    for video_id in events.filter(pc.equal(events[c.KIND], kind))[c.VIDEO_ID].to_pylist():
        if video_id in counts:
            counts[video_id] += 1


def _so_far(audience: Audience) -> dict[str, float]:
    shown, clicked = np.array(list(audience.shown.values())), np.array(list(audience.clicked.values()))
    worth = np.concatenate(audience.worth)
    return {
        "pages": len(worth),
        "impressions": int(shown.sum()),
        "clicks": int(clicked.sum()),
        f"share_shown_{_SHOWN}_times": round(float((shown >= _SHOWN).mean()), 4),
        "share_clicked": round(float((clicked > 0).mean()), 4),
        "clicks_per_impression": round(float(clicked.sum() / max(shown.sum(), 1)), 4),
        "satisfied_s_per_page": round(float(worth.mean()), 2),
    }


if __name__ == "__main__":
    main()
