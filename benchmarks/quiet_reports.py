"""How often does the daily report call a day on which nothing was done to the world a day with drift, and by what part of it?

    python -m benchmarks.quiet_reports --worlds 6 --days 60

Worlds are those of the drills' quiet days, with seeds of their own. Each day is compared as `upnext monitor report` does it, at
midnight, with the 14 days that end a day before: signals, declared features by segment, whether their values are given and in
range, contents of the shown videos. A feature that is distributed otherwise is an alarm on its second day. An alarm that goes
on for several days is counted on each of them, and once as begun.
"""

import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context

import numpy as np
import polars as pl

from benchmarks import results_file
from core.clock import HOUR_MS
from data.world.simulate import generate
from monitoring import data_drift, watch
from monitoring import observations as o
from monitoring import signals as sg
from pipelines.watching import contents, drills, monitor


def world(seed: int, days: int) -> tuple[list[set[str]], int]:
    """What was an alarm on each of the days, by name, nothing on most; and days whose moved features alarmed nobody."""
    config = drills.DrillConfig().world(seed, watch.WARM_UP_DAYS + days)
    dataset = generate(config)
    rows = o.observe(dataset.events, dataset.viewers, dataset.videos)
    first = config.start_at // HOUR_MS
    tallies = sg.tally(rows, first, first + 24 * config.days)
    ends = [first + 24 * (day + 1) for day in range(config.days)]
    whole = [rows.filter(pl.col(o.HOUR).is_between(end - 24, end, closed="left")) for end in ends]
    parts = [monitor.sampled_day(part, at) for at, part in enumerate(whole)]
    values = monitor.feature_values(dataset, pl.concat(parts))
    bounds = np.cumsum([0, *(len(part) for part in parts)])
    found: list[set[str]] = []
    before: list[data_drift.FeatureDrift] = []
    single = 0
    for day in range(watch.WARM_UP_DAYS - 1, config.days):
        chosen = [*range(day - watch.REFERENCE_DAYS - 1, day - 1), day]
        of_days = np.concatenate([np.arange(bounds[at], bounds[at + 1]) for at in chosen])
        compared = [parts[at] for at in chosen]
        features = monitor.compare_values({name: column[of_days] for name, column in values.items()}, compared)
        today = monitor.remarkable(features)
        standing = monitor.lasting(today, before)
        single, before = single + (len(standing) < len(today)), today
        moved = {f"{one.feature} in {one.segment}" for one in standing}
        shown = contents.compare(dataset.videos, compared)
        moved |= {"contents"} if shown is not None and shown.moved else set()
        look = watch.against(tallies, ends[day], data_drift.reference_ends(ends[day], watch.REFERENCE_DAYS))
        found.append(moved | ({f"signals: {look.diagnosis.cause}"} if look.diagnosis else set()))
    return found[1:], single


def timed(seed: int, days: int) -> tuple[list[set[str]], int, float]:
    """The same with its seconds of processor time."""
    began = time.process_time()
    return *world(seed, days), time.process_time() - began


def begun(days: list[set[str]]) -> int:
    """Days with something that was not there the day before."""
    return sum(bool(today - before) for before, today in zip([set(), *days], days, strict=False))


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--worlds", type=int, default=6)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--first-seed", type=int, default=3_000)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.worlds)
    worlds, moved, cpu_s = [], 0, 0.0
    with ProcessPoolExecutor(arguments.workers, get_context("spawn")) as pool:
        for seed, (found, single, seconds) in zip(seeds, pool.map(timed, seeds, repeat(arguments.days)), strict=True):
            worlds.append(found)
            moved, cpu_s = moved + single, cpu_s + seconds
            print(f"world {seed}: alarms on {sum(map(bool, found))} of {arguments.days} days", file=sys.stderr)
    days = arguments.worlds * arguments.days
    alarms = sum(map(begun, worlds))
    report = {
        "days": days,
        "alarms_begun": alarms,
        "alarm_days": sum(bool(day) for found in worlds for day in found),
        "days_with_a_feature_moved_for_a_day": moved,
        "per_100_days": drills.poisson_rate(alarms, days / 100).to_json(),
        "cpu_s": round(cpu_s),
        "what": dict(Counter(name for found in worlds for day in found for name in day).most_common()),
    }
    results_file.keep("quiet-reports", report, arguments)
    print(report)


if __name__ == "__main__":
    main()
