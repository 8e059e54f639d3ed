"""Recall against searches a second, as an SVG: in goes what `benchmarks.indexes` measured, out comes a picture for the docs.

Further right finds more, further up is faster (logarithmic). Knows nothing of what an index is. Colours are readable on light
and dark grounds.
"""

from collections.abc import Mapping
from math import log10
from typing import Any

WIDTH, HEIGHT, MARGIN = 720, 400, 56
LEAST_RECALL = 0.9
_COLOURS = ("#d1495b", "#2e86ab", "#3a9d5d", "#c77d0a", "#8d5fd3", "#0f9b9b", "#b0588d", "#7a7a7a")
_TICKS = (0.9, 0.92, 0.94, 0.96, 0.98, 0.99, 1.0)


def draw(result: Mapping[str, Any]) -> str:
    """The picture of one result; points below `LEAST_RECALL` are left out."""
    recall = next(name for each in result["indexes"].values() for name in each["points"][0] if name.startswith("recall"))
    curves = {
        name: [(point[recall], point["per_s"]) for point in each["points"] if point[recall] >= LEAST_RECALL]
        for name, each in result["indexes"].items()
    }
    rates = [rate for points in curves.values() for _, rate in points]
    low, high = log10(min(rates)) - 0.1, log10(max(rates)) + 0.1

    def place(share: float, rate: float) -> tuple[float, float]:
        across = (share - LEAST_RECALL) / (1 - LEAST_RECALL)
        up = (log10(rate) - low) / (high - low)
        return MARGIN + across * (WIDTH - 3 * MARGIN), HEIGHT - MARGIN - up * (HEIGHT - 2 * MARGIN)

    parts = [_axes(place, 10**low, 10**high), _title(result, recall)]
    parts += [_curve(number, name, [place(*point) for point in points]) for number, (name, points) in enumerate(curves.items())]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">'
    return "\n".join([head, *parts, "</svg>", ""])


def _title(result: Mapping[str, Any], recall: str) -> str:
    text = f"{result['videos']:,} videos, {result['k']} neighbours, one thread: {recall} and searches a second"
    return f'<text x="{MARGIN}" y="24" font-size="14" fill="#777">{text}</text>'


def _axes(place: Any, low: float, high: float) -> str:
    lines = []
    for tick in _TICKS:
        across, bottom = place(tick, low)
        lines.append(f'<path d="M{across:.1f} {bottom:.1f}V{MARGIN}" stroke="#8884"/>')
        lines.append(f'<text x="{across:.1f}" y="{bottom + 18:.1f}" text-anchor="middle" fill="#777">{tick:g}</text>')
    rates = [leading * 10**power for power in range(7) for leading in (1, 2, 5)]
    for rate in (rate for rate in rates if low <= rate <= high):
        left, up = place(LEAST_RECALL, rate)
        lines.append(f'<path d="M{left:.1f} {up:.1f}H{WIDTH - 2 * MARGIN}" stroke="#8884"/>')
        lines.append(f'<text x="{left - 6:.1f}" y="{up + 4:.1f}" text-anchor="end" fill="#777">{rate:,}</text>')
    return "\n".join(lines)


def _curve(number: int, name: str, points: list[tuple[float, float]]) -> str:
    colour, row = _COLOURS[number % len(_COLOURS)], MARGIN + 20 * number
    dots = "".join(f'<circle cx="{across:.1f}" cy="{up:.1f}" r="4"/>' for across, up in points)
    line = " ".join(f"{across:.1f},{up:.1f}" for across, up in points)
    label = f'<text x="{WIDTH - 2 * MARGIN + 16}" y="{row}">{name}</text>'
    return f'<g fill="{colour}">{dots}{label}<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/></g>'
