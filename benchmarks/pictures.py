"""Figures of docs/which_model.md and docs/loop.md, drawn from the newest saved results of other benchmarks.

python -m benchmarks.pictures
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import plot, results_file
from benchmarks.plot import Panel, Point

_IMAGES = Path(__file__).parent.parent / "docs" / "images"
Result = Mapping[str, Any]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=_IMAGES, help="write the figures here")
    folder = parser.parse_args().folder
    for name, draw in FIGURES.items():
        (folder / f"{name}.svg").write_text(draw(newest(name)))
        print(f"wrote {folder / name}.svg")


def newest(name: str) -> Result:
    """The last result of that name; files begin with their date."""
    found: Result = json.loads(max(results_file.FOLDER.glob(f"????-??-??-{name}.json")).read_text())
    return found


def interleaving(result: Result) -> str:
    """Pages that a decision takes, by the size of the effect."""
    curve, axis = result["curve"], "clicks that the better ranking has more"
    lifts = {point["lift"]: f"{point['lift']:.1%}" for point in curve}
    pages = {
        label: [_point(point["lift"], point[f"{key}_pages"], point[f"{key}_pages_95"], label) for point in curve]
        for label, key in (("A/B test", "ab"), ("A/B test with CUPED", "ab_cuped"), ("interleaving", "interleaving"))
    }
    fewer = {
        label: [_point(point["lift"], point[key], point[f"{key}_95"], label) for point in curve]
        for label, key in (("than an A/B test", "times_fewer"), ("than one with CUPED", "times_fewer_cuped"))
    }
    both = Panel("Pages for 80 % power", axis, "", pages, lifts, log_x=True, log_y=True)
    return plot.draw([both, Panel("How many times fewer with interleaving", axis, "", fewer, lifts, log_x=True)])


def feedback_loop(result: Result) -> str:
    """What the weeks do under every policy: means alone, since intervals over a few seeds would cover the lines."""
    titles = {"satisfied_s": "Satisfied seconds a page", "coverage": "Share of the catalogue that is shown"}
    return plot.draw([_weeks(result, measure, title) for measure, title in titles.items()])


def filter_loop(result: Result) -> str:
    """What the filters let through, and what that costs, week by week."""
    titles = {"bad_seen": "Openings of bad uploads that happen", "regretted_s": "Regretted seconds per upload"}
    return plot.draw([_weeks(result, measure, title, every=3, bounds=True) for measure, title in titles.items()])


def unbiased_learning(result: Result) -> str:
    """Error of learned click rates, and the page that follows from them, by the share of chance in the log."""
    found = {float(epsilon): measured for epsilon, measured in result["by_epsilon"].items()}

    def panel(title: str, what: str, *names: str, y_from: float = 0.0) -> Panel:
        series = {
            name: [
                _point(epsilon, one[f"{what}_{name}"]["mean"], _bounds(one[f"{what}_{name}"]), name)
                for epsilon, one in found.items()
            ]
            for name in names
        }
        ticks = {epsilon: f"{epsilon:g}" for epsilon in found}
        return Panel(title, "ε of the logging policy", "", series, ticks, log_x=True, y_from=y_from)

    error = panel("Error of a video's click rate", "error", "naive", "weighted")
    return plot.draw([error, panel("Click rate of the best five", "page_value", "naive", "weighted", "known", y_from=0.18)])


def _weeks(result: Result, measure: str, title: str, *, every: int = 1, bounds: bool = False) -> Panel:
    series = {
        name: [
            _point(week, one["mean"], _bounds(one) if bounds else None, f"{name}, week {week}")
            for week, one in enumerate(curves[measure], 1)
        ]
        for name, curves in result["curves"].items()
    }
    lowest = min(point.y for points in series.values() for point in points)
    ticks: dict[float, str] = {week: str(week) for week in range(every, result["num_weeks"] + 1, every)}
    return Panel(title, "week", "", series, ticks, y_from=0.9 * lowest)


def _bounds(interval: Mapping[str, float]) -> tuple[float, float]:
    return interval["low"], interval["high"]


def _point(x: float, y: float, bounds: Sequence[float] | None, label: str) -> Point:
    low, high = bounds or (None, None)
    return Point(x, y, low, high, f"{label}: {y:.4g}")


FIGURES: Mapping[str, Callable[[Result], str]] = {
    "interleaving": interleaving,
    "feedback-loop": feedback_loop,
    "filter-loop": filter_loop,
    "unbiased-learning-world-tiny": unbiased_learning,
}
"""By the name of the result, which is the name of the figure."""


if __name__ == "__main__":
    main()
