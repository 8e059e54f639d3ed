"""A small plot as SVG text: one mark per measured point with its interval, lines between points of a series.

Readable in light and dark, and without anything fetched: for docs/images.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT, _LEFT, _TOP, _PANEL_GAP = 360, 250, 52, 34, 24
_COLOURS = ("#2a7de1", "#d9534f", "#2e9e6b", "#b07cc6", "#c98a1b", "#6b7785", "#1aa6b7", "#d0679d")
_STYLE = (
    "text{font:11px system-ui,sans-serif;fill:#333}.axis{stroke:#999;fill:none}.title{font-weight:600}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.axis{stroke:#777}}"
)

Place = Callable[[float], float]


@dataclass(frozen=True)
class Point:
    """One measurement."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    label: str = ""


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    x: str
    y: str
    series: Mapping[str, Sequence[Point]]
    ticks: Mapping[float, str]
    """Where the x axis is labelled."""
    log_x: bool = False
    log_y: bool = False
    y_from: float = 0.0
    """Where a linear y axis begins, unless a point lies below."""
    joined: bool = True
    """Whether lines join the points of a series; not where x only names them."""


def draw(panels: Sequence[Panel]) -> str:
    """All panels side by side, with one legend below. Series of one name have one colour."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.series))
    colours = {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(names)}
    wide = len(panels) * (_LEFT + _WIDTH + _PANEL_GAP)
    parts = [_panel(panel, colours, index * (_LEFT + _WIDTH + _PANEL_GAP) + _LEFT) for index, panel in enumerate(panels)]
    x, y = _LEFT, _TOP + _HEIGHT + 58
    for name in names:
        if x + 7 * len(name) + 30 > wide:
            x, y = _LEFT, y + 18
        parts.append(
            f'<path d="M{x - 4} {y - 8}h8v8h-8z" fill="{colours[name]}"/><text x="{x + 9}" y="{y}">{escape(name)}</text>'
        )
        x += 7 * len(name) + 30
    size = f'viewBox="0 0 {wide} {y + 12}" width="{wide}" height="{y + 12}"'
    label = escape("; ".join(panel.title for panel in panels))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{label}"><style>{_STYLE}</style>'
    return "\n".join([head, *parts, "</svg>\n"])


def _panel(panel: Panel, colours: Mapping[str, str], left: float) -> str:
    points = [point for series in panel.series.values() for point in series]
    to_x, to_y = (math.log if log else float for log in (panel.log_x, panel.log_y))
    from_y = math.exp if panel.log_y else float
    xs, bottom = [to_x(point.x) for point in points], _TOP + _HEIGHT
    highs = [point.y if point.high is None else point.high for point in points]
    lows = [point.y if point.low is None else point.low for point in points]
    y_from, y_to = to_y(min(lows) if panel.log_y else min(panel.y_from, *lows)), to_y(max(highs))
    pad = 0.04 * (max(xs) - min(xs) or 1.0)
    x_from, x_to = min(xs) - pad, max(xs) + pad

    def place_x(x: float) -> float:
        return left + (to_x(x) - x_from) / (x_to - x_from) * _WIDTH

    def place_y(y: float) -> float:
        return bottom - (to_y(y) - y_from) / (y_to - y_from or 1.0) * _HEIGHT

    parts = [
        f'<text class="title" x="{left}" y="16">{escape(panel.title)}</text>',
        f'<path class="axis" d="M{left} {_TOP}V{bottom}H{left + _WIDTH}"/>',
        f'<text x="{left + _WIDTH / 2}" y="{bottom + 34}" text-anchor="middle">{escape(panel.x)}</text>',
        f'<text x="{left}" y="{_TOP - 5}">{escape(panel.y)}</text>',
    ]
    parts += [
        f'<text x="{place_x(x):.1f}" y="{bottom + 16}" text-anchor="middle">{escape(text)}</text>'
        for x, text in panel.ticks.items()
        if x_from <= to_x(x) <= x_to
    ]
    for share in range(5):
        y = from_y(y_from + share / 4 * (y_to - y_from))
        parts.append(f'<text x="{left - 6}" y="{place_y(y) + 4:.1f}" text-anchor="end">{_number(y)}</text>')
    for name, series in panel.series.items():
        parts += _series(series, colours[name], place_x, place_y, panel.joined)
    return "\n".join(parts)


def _number(y: float) -> str:
    return f"{y:,.0f}" if abs(y) >= 1_000 else f"{y:.3g}"


def _series(series: Sequence[Point], colour: str, place_x: Place, place_y: Place, joined: bool) -> list[str]:
    corners = " ".join(f"{place_x(point.x):.1f},{place_y(point.y):.1f}" for point in series)
    parts = [f'<polyline points="{corners}" fill="none" stroke="{colour}" stroke-width="1.6"/>'] if joined else []
    for point in series:
        x, y = place_x(point.x), place_y(point.y)
        if point.low is not None and point.high is not None:
            ends = f'y1="{place_y(point.low):.1f}" y2="{place_y(point.high):.1f}"'
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" {ends} stroke="{colour}"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"><title>{escape(point.label)}</title></circle>')
    return parts
