"""A simulated year as one HTML page that needs no network: a line per arm, faults as bands, what was done as marks.

The page is `year_report.html`; this file draws.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines import templates
from pipelines.lab.config import WEEK_DAYS
from pipelines.lab.report import told
from pipelines.lab.year_config import OF_A_RELEASE
from pipelines.lab.year_summary import KINDS

_TEMPLATE = Path(__file__).with_name("year_report.html")
_LEFT, _WIDTH, _TOP, _HEIGHT, _ROW = 46.0, 1_040.0, 16.0, 300.0, 30.0
_TICK_WEEKS = 4
Drawing = dict[str, Any]


def write(result: Mapping[str, Any], path: Path) -> None:
    """Write the page of a summary (`year_summary.summarise`)."""
    seed = result["seeds"][0]
    templates.write(_TEMPLATE, path, result=result, kinds=KINDS, drawing=drawing(result), told=told, first_seed=seed)


def drawing(result: Mapping[str, Any]) -> Drawing:
    """Everything of the timeline in coordinates of its picture."""
    weeks, means = result["num_weeks"], [value["mean"] for curve in result["curves"].values() for value in curve]
    low, high = min(means), max(means)
    span = (high - low) or 1.0

    def x(week: float) -> float:
        return _LEFT + (week - 1) / max(weeks, 1) * _WIDTH

    def y(value: float) -> float:
        return _TOP + _HEIGHT * (1 - (value - low) / span)

    lines = {arm: _points(curve, x, y) for arm, curve in result["curves"].items()}
    rows = [(arm, kind) for arm in result["names"] for kind in KINDS if result["counts"][arm][kind]]
    return {
        "lines": lines,
        "ticks": [{"y": y(value), "text": f"{value:.0f}"} for value in (low, low + span / 2, high)],
        "weeks": [{"x": x(week), "text": week} for week in range(1, weeks + 1, _TICK_WEEKS)],
        "bands": [_band(fault, at, x, weeks) for at, fault in enumerate(result["faults"])],
        "rows": [_row(arm, kind, at, result, x) for at, (arm, kind) in enumerate(rows)],
        "top": _TOP,
        "bottom": _TOP + _HEIGHT,
        "left": _LEFT,
        "width": _LEFT + _WIDTH + 8,
        "height": _TOP + _HEIGHT + 34 + _ROW * (len(rows) + 1),
    }


def _points(curve: Sequence[Mapping[str, Any]], x: Any, y: Any) -> str:
    """A line through the middles of the weeks."""
    return " ".join(f"{x(week + 0.5):.1f},{y(value['mean']):.1f}" for week, value in enumerate(curve, start=1))


def _band(fault: Mapping[str, Any], number: int, x: Any, weeks: int) -> Drawing:
    """From when to when a fault is there; that of a release from when it could serve."""
    begin = fault["week"] + (1.0 if fault["kind"] in OF_A_RELEASE else fault["day"] / WEEK_DAYS)
    length = 1.0 if fault["kind"] in OF_A_RELEASE else fault["days"] / WEEK_DAYS
    left, right = x(min(begin, weeks + 1)), x(min(begin + length, weeks + 1))
    return {"x": left, "width": max(right - left, 2.0), "number": number + 1, "text": f"{fault['kind']}, week {fault['week']}"}


def _row(arm: str, kind: str, at: int, result: Mapping[str, Any], x: Any) -> Drawing:
    """The marks of one kind of one arm, of the first seed."""
    found = [
        event for event in result["events"] if (event["arm"], event["kind"], event["seed"]) == (arm, kind, result["seeds"][0])
    ]
    marks = [
        {
            "x": x(event["week"] + event["day"] / WEEK_DAYS),
            "text": f"week {event['week']}, day {event['day'] + 1}: {event['text']}",
        }
        for event in found
    ]
    return {"arm": arm, "kind": kind, "y": _TOP + _HEIGHT + 34 + _ROW * (at + 1), "marks": marks}
