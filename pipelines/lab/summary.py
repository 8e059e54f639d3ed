"""What the weeks add up to: every measure over seeds with intervals, and the bill of exploration in plain words.

    cost     what chance takes from a page: the greedy page of the same release, minus the page shown
    earned   what the log of chance was good for: the greedy page of this policy's release, minus that of the policy `none`
    net      satisfied seconds per page, minus those of `none`

cost and earned are measured on the sampled pages, net on all. Viewers of two policies have different pasts, and what they
remember (fatigue, follows, watched videos) is part of the difference. Differences are paired by seed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.inference import Interval, t_interval
from pipelines.lab.report import told
from pipelines.lab.state import Shelf

BASE = "none"
MEASURES = {
    "satisfied_s": "true satisfied seconds per page",
    "regret_s": "satisfied seconds per page that the best possible page has more",
    "greedy_s": "satisfied seconds of the page that the same release shows without chance",
    "chance_cost_s": "satisfied seconds that chance takes from a page",
    "coverage": "share of available videos shown at least once",
    "gini": "inequality of impressions over available videos, 0 even to 1",
    "top_share": "share of impressions on the hundredth of videos shown most",
    "creators": "share of channels with at least a tenth of an equal share of impressions",
    "topic_entropy": "bits: spread of the topics shown to one viewer",
    "new_found": "share of last week's uploads that were found: three clicks by now",
    "good_new_found": "the same among their truly best quarter",
}
_SPREAD = ("gini", "coverage", "creators", "topic_entropy", "good_new_found")


def summarise(shelf: Shelf, arms: Sequence[str], seeds: Sequence[int], weeks: int) -> dict[str, Any]:
    """The result: intervals by policy and measure, the bill, sentences, and every saved week for the replay."""
    runs = [
        {"policy": arm, "seed": seed, **shelf.record(seed, arm, week)}
        for arm in arms
        for seed in seeds
        for week in range(1, weeks + 1)
    ]
    shape = (len(seeds), weeks)
    values = {
        arm: {m: np.array([r["measures"][m] for r in runs if r["policy"] == arm]).reshape(shape) for m in MEASURES}
        for arm in arms
    }
    result = {
        "names": list(arms),
        "seeds": list(seeds),
        "num_weeks": weeks,
        "measures": MEASURES,
        "curves": {
            arm: {m: [over_seeds(x).to_json() for x in value_SW.T] for m, value_SW in found.items()}
            for arm, found in values.items()
        },
        "bill": {arm: _bill(values[arm], values[BASE]) for arm in arms if BASE in values},
        "seconds_per_week": {
            name: float(np.mean([run["seconds"][name] for run in runs])) for name in ("serve", "whole", "cpu")
        },
        "runs": runs,
    }
    return {**result, "lead": _lead(result)}


def over_seeds(values_S: NDArray[np.float64]) -> Interval:
    """Mean and 95 % t interval; no bounds from a single seed."""
    return t_interval(values_S) if len(values_S) > 1 else Interval(float(values_S[0]), float("nan"), float("nan"))


def _bill(mine: dict[str, NDArray[np.float64]], none: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
    """Paired by seed: `last` is the last week, `growth` this policy's own change since the first, the rest means over all."""

    def against(measure: str) -> NDArray[np.float64]:
        return mine[measure] - none[measure]

    lines = {
        "cost_s": mine["chance_cost_s"].mean(axis=1),
        "earned_first_s": against("greedy_s")[:, 0],
        "earned_last_s": against("greedy_s")[:, -1],
        "net_s": against("satisfied_s").mean(axis=1),
        "net_last_s": against("satisfied_s")[:, -1],
        **{f"{m}_last": against(m)[:, -1] for m in _SPREAD},
        **{f"{m}_growth": mine[m][:, -1] - mine[m][:, 0] for m in _SPREAD},
    }
    return {name: over_seeds(values).to_json() for name, values in lines.items()}


def _lead(result: dict[str, Any]) -> list[str]:
    """What each policy costs and earns, and what it does to videos, channels and topics."""
    weeks, seeds = result["num_weeks"], len(result["seeds"])
    sentences = [
        f"{weeks} weeks, {seeds} seeds. True satisfied seconds per page [95 % interval over seeds]; differences are from "
        f"'{BASE}', paired by seed."
    ]
    for name, bill in result["bill"].items():
        if name == BASE:
            sentences.append(f"{name}: from week 1 to week {weeks}, {_listed(bill, 'growth')}.")
            continue
        earned, net = told(bill["earned_last_s"], "+"), told(bill["net_s"], "+")
        sentences.append(
            f"{name}: chance costs {told(bill['cost_s'])} a page; in week {weeks} its model's page without chance is worth "
            f"{earned} more; net over all weeks {net}: {_visible(bill['net_s'])}. In week {weeks}, {_listed(bill, 'last')}."
        )
    return sentences


def _listed(bill: dict[str, Any], suffix: str) -> str:
    """The lines of the bill that end so."""
    return ", ".join(f"{measure} {told(bill[f'{measure}_{suffix}'], '+')}" for measure in _SPREAD)


def _visible(value: dict[str, float | None]) -> str:
    low, high = value["low"], value["high"]
    if low is None or high is None:
        return "one seed says nothing about luck"
    return "a gain" if low > 0 else "a loss" if high < 0 else "no difference visible"
