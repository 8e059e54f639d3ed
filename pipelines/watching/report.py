"""One day's monitoring report as one HTML page that needs no network. The page is `report.html`; this file draws."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.clock import stamp
from monitoring.data_drift import FeatureDrift
from monitoring.feedback import Exposure
from monitoring.signals import EVERYONE
from pipelines import templates
from pipelines.watching.monitor import DayReport

_WIDTH, _HEIGHT, _GAP = 168.0, 44.0, 1.0
_EXPOSURES = {
    "gini": "concentration of impressions over shown videos",
    "top_share": "impressions on the top hundredth",
    "alikeness": "how alike pages of different viewers are",
    "variety": "categories per ten impressions",
    "exploration": "impressions decided by chance",
    "holdout_gap": "click rate of learned minus chance slots",
}
Drawing = dict[str, Any]
_TEMPLATE = Path(__file__).with_name("report.html")


def write(report: DayReport, path: Path) -> None:
    """Write the page."""
    standing = {(one.feature, one.segment) for one in report.standing}
    everyone = [one for one in report.features if one.segment == EVERYONE]
    shown = sorted({*everyone, *report.drifted}, key=lambda one: -one.psi / max(one.limit, 1e-9))
    templates.write(
        _TEMPLATE,
        path,
        found=report.to_json(),
        alert=report.alert,
        since=None if report.alert is None else stamp(report.alert.since_at),
        features=[(one, histogram(one), (one.feature, one.segment) in standing) for one in shown],
        exposures=[(name, text, spark(report.exposures, name)) for name, text in _EXPOSURES.items()],
    )


def histogram(feature: FeatureDrift) -> Drawing:
    """Pairs of bars per bin: the reference's share, then today's."""
    most, slot = max(*feature.expected, *feature.actual, 1e-9), _WIDTH / len(feature.labels)
    bars = []
    for at, (label, before, now) in enumerate(zip(feature.labels, feature.expected, feature.actual, strict=True)):
        heights = [_HEIGHT * share / most for share in (before, now)]
        bars.append({"x": at * slot, "heights": heights, "text": f"{label}: {before:.1%} before, {now:.1%} today"})
    return {"bars": bars, "width": _WIDTH, "height": _HEIGHT, "bar": max((slot - 2 * _GAP) / 2, 0.5)}


def spark(days: Sequence[Exposure], measure: str) -> Drawing | None:
    """A line over the days, today's value last; None where a day has none."""
    values = [getattr(day, measure) for day in days]
    if any(value != value for value in values):
        return None
    low, span = min(values), (max(values) - min(values)) or 1.0
    step = _WIDTH / max(len(values) - 1, 1)
    points = [(at * step, _HEIGHT - _HEIGHT * (value - low) / span) for at, value in enumerate(values)]
    return {
        "points": " ".join(f"{x:.1f},{y:.1f}" for x, y in points),
        "last": points[-1],
        "value": values[-1],
        "usual": sum(values[:-1]) / max(len(values) - 1, 1),
        "width": _WIDTH,
        "height": _HEIGHT,
    }
