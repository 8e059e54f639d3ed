"""The gates of one release as one HTML page that needs no network. The page is `report.html`; this file draws."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.clock import stamp
from pipelines import templates
from pipelines.gates.gates import Gate, Verdict

if TYPE_CHECKING:
    from pipelines.gates.result import GatesResult

_PAD = 8.0
_FAMILIES = {
    "models": "Whose models are they?",
    "data": "The data it learned from",
    "quality": "Quality: nDCG@10 on the same test clicks, paired over viewers",
    "choice": "What its order is worth, on pages that chance filled",
    "skew": "Does it start with what the log says?",
    "recall": "Does its index find what is near?",
    "agreement": "Is it like the release that it refreshes?",
    "slices": "For whom it is better or worse",
    "prediction": "Does it foresee what viewers do with what they are shown?",
    "calibration": "Do its probabilities mean what they say?",
    "fairness": "Are groups served alike?",
    "latency": "Time per page",
    "size": "Size",
    "memory": "Memory",
    "shadow": "How different are its pages?",
}
Drawing = dict[str, Any]
_TEMPLATE = Path(__file__).with_name("report.html")


def write(result: "GatesResult", path: Path) -> None:
    """Write the page."""
    families = [
        (title, [(gate, mark(gate)) for gate in result.gates if gate.family == family]) for family, title in _FAMILIES.items()
    ]
    evidence = result.evidence
    templates.write(
        _TEMPLATE,
        path,
        result=result,
        when=stamp(result.created_at),
        counts=[(verdict, sum(gate.verdict is verdict for gate in result.gates)) for verdict in Verdict],
        blocking=[gate.name for gate in result.blocking],
        families=[(title, gates) for title, gates in families if gates],
        slices=forest(evidence["slices"]["slices"]) if evidence["slices"] else None,
        compared=evidence["slices"]["baseline"] if evidence["slices"] else "",
        groups=_groups(evidence["groups"]),
        times=percentiles({"candidate": evidence["page_ms"], "live": evidence["live_page_ms"]}),
        bounds={name: ", ".join(value) if isinstance(value, tuple) else value for name, value in asdict(result.config).items()},
    )


def mark(gate: Gate, width: float = 180.0) -> Drawing | None:
    """Where value, interval and bound lie on one line; None without a value and a bound."""
    if gate.value is None or gate.bound is None:
        return None
    place = _scale([gate.value, gate.bound, *(gate.interval or ())], width)
    low, high = (place(end) for end in gate.interval or (gate.value, gate.value))
    return {"value": place(gate.value), "bound": place(gate.bound), "low": low, "high": high, "width": width}


def forest(slices: Sequence[Mapping[str, Any]], width: float = 320.0) -> Drawing:
    """One row per slice: the difference with its interval, and where zero is."""
    ends = [end for row in slices for end in (row["difference"]["low"], row["difference"]["high"]) if end is not None]
    place = _scale([0.0, *ends], width)
    rows = []
    for row in slices:
        found = row["difference"]
        low, high = (found["mean"] if found[end] is None else found[end] for end in ("low", "high"))
        drawn = {"low": place(low), "dot": place(found["mean"]), "high": place(high)}
        rows.append({**row, **drawn, "told": f"{found['mean']:+.4f} [{low:+.4f}, {high:+.4f}]"})
    return {"rows": rows, "zero": place(0.0), "width": width}


def percentiles(times: Mapping[str, Sequence[float]], width: float = 520.0, height: float = 160.0) -> Drawing:
    """Milliseconds at every percentile, one line per release."""
    known = {name: values for name, values in times.items() if values}
    place = _scale([0.0, *(value for values in known.values() for value in values)], height)
    lines = {}
    for name, values in known.items():
        points = [(width * i / max(len(values) - 1, 1), height - place(value)) for i, value in enumerate(values)]
        lines[name] = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    most = max((values[-1] for values in known.values()), default=0.0)
    return {"lines": lines, "width": width, "height": height, "top": height - place(most), "most": most}


def _scale(values: Sequence[float], width: float) -> Any:
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return lambda value: round(_PAD + (width - 2 * _PAD) * (value - low) / span, 1)


def _groups(disparities: Sequence[Mapping[str, Any]], most: int = 3) -> list[Mapping[str, Any]]:
    """What can be said at all; of the many categories, those with the largest gaps of each attribute."""
    known = sorted((d for d in disparities if d["gap"]["mean"] is not None), key=lambda d: -d["gap"]["mean"])
    kept: list[Mapping[str, Any]] = []
    for found in known:
        alike = [d for d in kept if (d["measure"], d["attribute"]) == (found["measure"], found["attribute"])]
        if len(alike) < most:
            kept.append(found)
    return sorted(kept, key=lambda d: (d["attribute"], d["measure"], -d["gap"]["mean"]))
