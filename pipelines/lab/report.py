"""Laboratory results as one HTML page that needs no network: sliders replay saved weeks, lines carry their intervals.

The page is `report.html`; everything it shows is JSON inside it.
"""

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TEMPLATE = Path(__file__).with_name("report.html")


def write(result: Mapping[str, Any], title: str, path: Path) -> None:
    """Write the page.

    Args:
        result: `names`, `measures` (text by name), `num_weeks`, `curves[name][measure]` with one interval per week, `lead`
            (sentences), and for a replay `seeds` and `runs` with `policy`, `seed`, `week`, `picture`.
        title: of the page.
        path: of the file.
    """
    # A closing tag inside a title must not end the script that holds it.
    data = json.dumps(result, allow_nan=False).replace("</", "<\\/")
    page = _TEMPLATE.read_text(encoding="utf-8").replace("{{title}}", html.escape(title)).replace("{{data}}", data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def told(value: Mapping[str, float | None], sign: str = "") -> str:
    """An interval (`core.inference.Interval.to_json`) as text: mean [low, high], the mean alone where there are no bounds."""
    shown = {name: f"{value[name]:{sign}.3g}" for name in ("mean", "low", "high") if value[name] is not None}
    return f"{shown['mean']} [{shown['low']}, {shown['high']}]" if "low" in shown else shown["mean"]
