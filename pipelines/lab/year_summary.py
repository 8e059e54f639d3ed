"""What a year adds up to: true satisfaction by arm and week, differences paired by seed, what faults took, what was done.

mean_s       mean over weeks of the true satisfied seconds of a page that a person asked for
against      `system` minus another arm, weeks and seeds paired; bounds are a t interval over seeds, null with one seed
faults       the same means over the weeks in which a fault is felt: its own and the next one (what is trained on it
             serves then), of a release the two after its training
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.lab import year_gates
from pipelines.lab.config import WEEK_DAYS
from pipelines.lab.report import told
from pipelines.lab.state import Shelf
from pipelines.lab.summary import over_seeds
from pipelines.lab.year_config import OF_A_RELEASE, SYSTEM, YearConfig, YearFault

KINDS = {
    "release": "releases that served everybody",
    "refused": "releases that a gate refused",
    "halt": "canaries that were ended",
    "waits": "weeks in which training waited",
    "alarm": "alarms",
    "rollback": "rollbacks",
}
_MOST_WEEKS_FELT = 4


def summarise(shelf: Shelf, config: YearConfig, arms: Sequence[str], seeds: Sequence[int], weeks: int) -> dict[str, Any]:
    """The result: see the module."""
    runs = [
        {"arm": arm, "seed": seed, **shelf.record(seed, arm, week)}
        for arm in arms
        for seed in seeds
        for week in range(1, weeks + 1)
    ]
    shape = len(seeds), weeks
    values = {arm: np.array([run["satisfied_s"] for run in runs if run["arm"] == arm]).reshape(shape) for arm in arms}
    events = [{"arm": run["arm"], "seed": run["seed"], **event} for run in runs for event in run.pop("events")]
    result: dict[str, Any] = {
        "names": list(arms),
        "seeds": list(seeds),
        "judged": list(year_gates.FAMILIES),
        "num_weeks": weeks,
        "mean_s": {arm: over_seeds(value_SW.mean(axis=1)).to_json() for arm, value_SW in values.items()},
        "against": _against(values),
        "faults": [_felt(fault, values, weeks) for fault in _in_order(config) if felt(fault)[0] <= weeks],
        "counts": {
            arm: {kind: sum(event["kind"] == kind for event in events if event["arm"] == arm) for kind in KINDS} for arm in arms
        },
        "curves": {arm: [over_seeds(week_S).to_json() for week_S in value_SW.T] for arm, value_SW in values.items()},
        "events": events,
        "runs": [{name: part for name, part in run.items() if name != "standing"} for run in runs],
    }
    return {**result, "lead": _lead(result)}


def felt(fault: YearFault) -> tuple[int, int]:
    """First and last week in which a fault is felt, counted from 1."""
    if fault.kind in OF_A_RELEASE:
        return fault.week + 1, fault.week + 2
    weeks = math.ceil((fault.day + fault.days) / WEEK_DAYS)
    return fault.week, fault.week + min(weeks, _MOST_WEEKS_FELT)


def _in_order(config: YearConfig) -> list[YearFault]:
    return sorted(config.faults, key=lambda fault: (fault.week, fault.day))


def _against(values: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
    if SYSTEM not in values:
        return {}
    others = {arm: values[SYSTEM] - value_SW for arm, value_SW in values.items() if arm != SYSTEM}
    return {
        arm: {
            "difference_s": over_seeds(difference_SW.mean(axis=1)).to_json(),
            "relative": float(difference_SW.mean() / values[arm].mean()),
            "better_weeks": int((difference_SW.mean(axis=0) > 0).sum()),
        }
        for arm, difference_SW in others.items()
    }


def _felt(fault: YearFault, values: dict[str, NDArray[np.float64]], weeks: int) -> dict[str, Any]:
    first, last = felt(fault)
    chosen = slice(first - 1, min(last, weeks))
    means = {arm: float(value_SW[:, chosen].mean()) for arm, value_SW in values.items()}
    return {
        "kind": str(fault.kind), "week": fault.week, "day": fault.day, "days": fault.days, "share": fault.share,
        "felt": [first, min(last, weeks)], "mean_s": means,
    }  # fmt: skip


def _lead(result: dict[str, Any]) -> list[str]:
    weeks, seeds = result["num_weeks"], len(result["seeds"])
    means = ", ".join(f"{arm} {told(value)}" for arm, value in result["mean_s"].items())
    bounds = "" if seeds > 1 else "; one seed says nothing about luck"
    sentences = [f"{weeks} weeks, {seeds} seed{'s' if seeds > 1 else ''}. True satisfied seconds per page: {means}{bounds}."]
    for arm, found in result["against"].items():
        sentences.append(
            f"{SYSTEM} against {arm}: {told(found['difference_s'], '+')} seconds a page ({found['relative']:+.1%}), "
            f"better in {found['better_weeks']} of {weeks} weeks."
        )
    for arm, counts in result["counts"].items():
        done = ", ".join(f"{count} {KINDS[kind]}" for kind, count in counts.items() if count)
        sentences.append(f"{arm}: {done or 'nothing was changed'}.")
    return sentences
