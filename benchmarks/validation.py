"""How long does checking ten million events take, and how often do quiet days raise an alarm?

    python -m benchmarks.validation                 # speed: the world's log repeated until it has --rows events
    python -m benchmarks.validation --alarms 5      # also: five quiet worlds of six weeks
    python -m benchmarks.validation --patience 600  # waits for moments when nobody else uses the machine

Speed: rules, references and order of all events; then also the comparison of the last week with an accepted profile of what
came before it. Reading the files is not part of it. Alarms: every day and every week after the third week is new data once. An
alarm on it is false, because nothing in these worlds breaks (though demand for topics moves slowly). Then two faults, each on
the last day: watch seconds in milliseconds, and half of the events lost.
"""

import os
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

import polars as pl

from benchmarks import quiet, results_file
from core import columns as c
from core.clock import DAY_MS
from data import expectations, profile, validation
from data.dataset import Dataset
from data.severity import FAIL, OK
from data.world import config, simulate
from data.world.config import Fault, FaultKind, WorldConfig

_DAYS, _FIRST = 42, 21


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--patience", type=float, default=0.0, help="seconds to wait for a quiet machine, all repeats together")
    parser.add_argument("--alarms", type=int, default=0, help="quiet worlds to look for false alarms in")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"polars_threads": pl.thread_pool_size()}
    if arguments.rows:
        result["speed"] = speed(arguments.rows, arguments.repeats, arguments.patience)
    if arguments.alarms:
        result["alarms"] = alarms(range(1, arguments.alarms + 1))
    for name, found in result.items():
        print(f"{name}: {found}")
    results_file.keep("validation", result, arguments)


def speed(num_rows: int, repeats: int, patience_s: float) -> dict[str, Any]:
    """Seconds of each of `repeats`, on the clock and of all cores together; the latter does not depend on who else is busy."""
    dataset = _repeated(_world(replace(config.demo(), days=28)), num_rows)
    accepted = profile.build(dataset.until(dataset.end_at - 7 * DAY_MS))
    found: dict[str, Any] = {"rows": len(dataset.events), "load_average": round(os.getloadavg()[0], 1)}
    for name, known in (("rules", None), ("rules and comparison", accepted)):
        check = partial(_checked, dataset, known)
        found[name] = [one.to_json() for one in quiet.timed(check, tries=repeats, patience_s=patience_s / 2)]
    return found


def _checked(dataset: Dataset, accepted: profile.Profile | None) -> None:
    validation.check(dataset, accepted=accepted).require()


def alarms(seeds: range) -> dict[str, Any]:
    """False alarms by window and by expectation, and what the faults raise."""
    found: dict[str, Any] = {}
    for step in (1, 7):
        windows: Counter[str] = Counter()
        for seed in seeds:
            dataset = quiet_world(seed)
            for day in range(_FIRST, _DAYS - step + 1, step):
                windows.update(_window(dataset, day, step))
        found[f"windows of {step} days"] = dict(windows)
    broken = Fault(FaultKind.UNIT_CHANGE, from_day=_DAYS - 1, until_day=_DAYS)
    found["seconds become milliseconds"] = dict(_window(_world(replace(_quiet(1), faults=(broken,))), _DAYS - 1, 1))
    found["half of a day lost"] = dict(_window(half_lost(quiet_world(1)), _DAYS - 1, 1))
    return found


def _window(dataset: Dataset, day: int, days: int) -> Counter[str]:
    """Outcomes of `days` days from `day` of the world on against everything before."""
    start = dataset.events[c.RECEIVED_AT][0] // DAY_MS
    accepted = profile.build(dataset.until((start + day) * DAY_MS))
    outcomes = expectations.compare(accepted, dataset.until((start + day + days) * DAY_MS))
    counts = Counter(f"{outcome.group} {outcome.severity}" for outcome in outcomes)
    counts.update(f"{o.severity}: {o.what.partition(' on ')[0]}" for o in outcomes if o.severity != OK)
    counts["windows"] = 1
    counts["windows with any warning"] = int(any(outcome.severity != OK for outcome in outcomes))
    counts["windows with a failure"] = int(any(outcome.severity == FAIL for outcome in outcomes))
    return counts


def quiet_world(seed: int) -> Dataset:
    """Six weeks of 2,000 viewers in which nothing breaks."""
    return _world(_quiet(seed))


def _quiet(seed: int) -> WorldConfig:
    return replace(config.lab(), seed=seed, days=_DAYS, impressions=240_000)


def _world(wanted: WorldConfig) -> Dataset:
    return simulate.generate(wanted)


def half_lost(dataset: Dataset) -> Dataset:
    """The same with half of the last day's events gone, all but the very last one."""
    last = dataset.end_at // DAY_MS * DAY_MS
    kept = (pl.col(c.RECEIVED_AT) < last) | (pl.col(c.EVENT_ID).hash(0) % 2 == 0) | (pl.col(c.RECEIVED_AT) == dataset.end_at)
    return replace(dataset, events=dataset.events.filter(kept))


def _repeated(dataset: Dataset, num_rows: int) -> Dataset:
    """The same log again and again under other ids, in the order of the log."""
    copies = -(-num_rows // len(dataset.events))
    parts = [
        dataset.events.with_columns(pl.format(f"{{}}#{copy}", name).alias(name) for name in (c.EVENT_ID, c.REQUEST_ID))
        for copy in range(copies)
    ]
    events = pl.concat(parts).head(num_rows).sort(c.RECEIVED_AT, c.EVENT_ID)
    return replace(dataset, events=events)


if __name__ == "__main__":
    main()
