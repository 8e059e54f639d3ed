"""When does a difference in new data mean something? The limits of the data checks, against chance and against faults.

    python -m benchmarks.data_checks --plot docs/images

chance  Two groups of viewers of one quiet world, the same days of both: nothing differs, so every alarm is a false one.
        Compared are the textbook's limits of PSI, .1 and .25, and those of `data.expectations`, on the same 15 measures.
fault   The second group's watches are longer by a factor. Noticed: the share of groups in which the checks say so.
volume  Impressions of two weeks against what four weeks before them let expect; on the last day half of all events are lost.

Groups are drawn anew in each of several worlds; ± is a 95 % t interval over worlds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks import plot, results_file, validation
from benchmarks.plot import Panel, Point
from core import columns as c
from core import events as ev
from core import rng
from core.clock import DAY_MS
from core.inference import t_interval
from data import expectations, profile
from data.dataset import Dataset
from data.expectations import Outcome
from data.profile import Histogram
from data.severity import OK

GROUPS = (25, 50, 100, 250, 500, 1000)
FACTORS = (1.1, 1.2, 1.3, 1.4, 1.6, 2.0)
_FAULTY_GROUPS = (25, 100, 1000)
_WATCHED = "seconds of a watch"
_TEXTBOOK, _TEXTBOOK_ACTS, _OURS = "PSI above .1", "PSI above .25", "PSI above .1 and above chance (here)"
_KNOWN_DAYS = 28


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--worlds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=20, help="of groups, per size and world")
    parser.add_argument("--plot", type=Path, default=None, help="write data-checks.svg and data-volume.svg into this folder")
    arguments = parser.parse_args()
    found = []
    for seed in range(1, arguments.worlds + 1):
        found.append(one_world(validation.quiet_world(seed), seed, arguments.pairs))
        print(f"world {seed}: {found[-1]}", flush=True)
    result = {**over_worlds(found), "volume": volume(validation.half_lost(validation.quiet_world(1)))}
    if arguments.plot is not None:
        (arguments.plot / "data-checks.svg").write_text(checks_figure(result))
        (arguments.plot / "data-volume.svg").write_text(volume_figure(result["volume"]))
    results_file.keep("data-checks", result, arguments)


def one_world(dataset: Dataset, seed: int, num_pairs: int) -> dict[str, dict[str, dict[float, float]]]:
    """False alarms by limit and size of the groups, and faults noticed by size and factor: shares."""
    false: dict[str, dict[float, float]] = {name: {} for name in (_TEXTBOOK, _TEXTBOOK_ACTS, _OURS)}
    noticed: dict[str, dict[float, float]] = {f"{size:,} viewers each": {} for size in _FAULTY_GROUPS}
    for size in GROUPS:
        random = rng.stream(seed, "groups", size)
        sides = list(pairs(dataset, size, num_pairs, random))
        alike = [outcome for side in sides for outcome in shifted(side.known, side.alike)]
        for name, of in alarm_shares(alike).items():
            false[name][size] = of
        if size in _FAULTY_GROUPS:
            noticed[f"{size:,} viewers each"] = {factor: noticed_share(sides, factor) for factor in FACTORS}
    return {"false alarms": false, "noticed": noticed}


@dataclass(frozen=True)
class Pair:
    """Two groups of viewers; nobody is in both."""

    known: dict[str, Histogram]
    alike: dict[str, Histogram]
    """Of the other group, in the same bins."""
    other: Dataset


def pairs(dataset: Dataset, size: int, num_pairs: int, random: np.random.Generator) -> Iterator[Pair]:
    """Groups of `size` viewers each."""
    viewers = dataset.viewers[c.VIEWER_ID].to_numpy()
    for _ in range(num_pairs):
        drawn = random.permutation(viewers)[: 2 * size]
        known, other = profile.histograms(_of(dataset, drawn[:size])), _of(dataset, drawn[size:])
        yield Pair(known, profile.histograms(other, known), other)


def shifted(known: Mapping[str, Histogram], found: Mapping[str, Histogram]) -> list[Outcome]:
    """The distributions that both groups have, compared; empty fields are left out."""
    return [outcome for outcome in expectations.shifts(known, found) if outcome.group == "shift"]


def alarm_shares(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Share of the comparisons beyond each limit."""
    beyond = {
        _TEXTBOOK: [one.observed > 0.1 for one in outcomes],
        _TEXTBOOK_ACTS: [one.observed > 0.25 for one in outcomes],
        _OURS: [one.severity != OK for one in outcomes],
    }
    return {name: float(np.mean(which)) for name, which in beyond.items()}


def noticed_share(sides: Sequence[Pair], factor: float) -> float:
    """In how many pairs watches that are longer by a factor raise an alarm about them."""
    longer = pl.when(pl.col(c.KIND) == ev.WATCH).then(pl.col(c.VALUE) * factor).otherwise(c.VALUE).alias(c.VALUE)
    said = []
    for side in sides:
        broken = replace(side.other, events=side.other.events.with_columns(longer))
        found = side.alike | profile.histograms(broken, {_WATCHED: side.known[_WATCHED]})
        said += [one.severity != OK for one in shifted(side.known, found) if one.what == _WATCHED]
    return float(np.mean(said))


def volume(dataset: Dataset) -> dict[str, dict[str, float]]:
    """Day → impressions that came, what was expected, and between which limits nothing is said."""
    start = int(dataset.events[c.RECEIVED_AT][0]) // DAY_MS
    accepted = profile.build(dataset.until((start + _KNOWN_DAYS) * DAY_MS))
    of_impressions = [
        outcome for outcome in expectations.compare(accepted, dataset) if outcome.what.startswith(f"{ev.IMPRESSION} events on ")
    ]
    names = ("observed", "expected", "low", "high", "severity")
    return {one.what.rpartition(" ")[2]: {name: getattr(one, name) for name in names} for one in of_impressions}


def over_worlds(found: Sequence[Mapping[str, Mapping[str, Mapping[float, float]]]]) -> dict[str, Any]:
    """Means with intervals."""
    return {
        what: {
            name: {x: t_interval([one[what][name][x] for one in found]).to_json() for x in curve}
            for name, curve in curves.items()
        }
        for what, curves in found[0].items()
    }


def checks_figure(result: Mapping[str, Any]) -> str:
    """False alarms by number of viewers, and faults noticed by their size."""
    sizes, factors = {float(size): f"{size:,}" for size in GROUPS}, {factor: f"× {factor:g}" for factor in FACTORS}
    alarms = Panel(
        "Alarms though nothing differs", "viewers in each group", "share", _curves(result, "false alarms"), sizes, log_x=True
    )
    faults = Panel("Longer watches that are noticed", "factor", "share", _curves(result, "noticed"), factors, log_x=True)
    return plot.draw([alarms, faults])


def volume_figure(days: Mapping[str, Mapping[str, Any]]) -> str:
    """What came each day, against what was expected."""
    expected = [Point(at, day["expected"], day["low"], day["high"], name) for at, (name, day) in enumerate(days.items())]
    came = [Point(at, day["observed"], label=f"{name}: {day['severity']}") for at, (name, day) in enumerate(days.items())]
    ticks = {float(at): name[5:] for at, name in enumerate(days) if at % 3 == 1}
    series = {"expected, and the limits of a warning": expected, "came": came}
    return plot.draw([Panel("Impressions a day; on the last one half are lost", "day", "", series, ticks)])


def _of(dataset: Dataset, viewers: NDArray[np.int64]) -> Dataset:
    return replace(dataset, events=dataset.events.filter(pl.col(c.VIEWER_ID).is_in(viewers.tolist())))


def _curves(result: Mapping[str, Any], what: str) -> dict[str, list[Point]]:
    return {
        name: [
            Point(float(x), one["mean"], max(one["low"], 0.0), min(one["high"], 1.0), f"{name}, {x}")
            for x, one in curve.items()
        ]
        for name, curve in result[what].items()
    }


if __name__ == "__main__":
    main()
