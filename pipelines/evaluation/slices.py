"""For whom is a model better? One metric of two models on the same cases, slice by slice.

A slice is a group of cases that share a label: what the viewer is (attributes, activity), what the target is (category, age at
the click) or when it was asked (hour). Slices of targets condition on the answer: they say where a model is good, not what
would happen if only such videos existed. Intervals are over viewers; with many slices some differ by chance, so p values are
corrected by Benjamini & Hochberg over all slices that are large enough. Knows nothing of models.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.table import Table

from core import columns as c
from core import inference
from core.clock import DAY_MS, HOUR_MS
from core.inference import Interval
from data.catalogue import Catalogue, ViewerTable
from pipelines.evaluation.cases import HeldOut

Floats = NDArray[np.float64]
MIN_CASES = 100
Labels = Mapping[str, NDArray[np.str_]]
"""What is sliced by → [N] label of each case."""

_AGE_EDGES_D = (1, 7, 30)
_HOURS = ("00-05", "06-11", "12-17", "18-23")


@dataclass(frozen=True)
class Slice:
    """One group of cases and both models' mean on it."""

    by: str
    value: str
    cases: int
    viewers: int
    model: Interval
    baseline: Interval
    difference: Interval
    """Model − baseline, paired by case."""
    q: float
    """Expected share of false claims when everything up to this q is claimed."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        sizes = {"by": self.by, "value": self.value, "cases": self.cases, "viewers": self.viewers}
        means = {"model": self.model.to_json(), "baseline": self.baseline.to_json(), "difference": self.difference.to_json()}
        return {**sizes, **means, "q": None if math.isnan(self.q) else self.q}


@dataclass(frozen=True)
class Slices:
    """All slices of one comparison."""

    model: str
    baseline: str
    metric: str
    slices: tuple[Slice, ...]
    too_small: tuple[tuple[str, str, int], ...]
    """(by, value, cases) of what has too few cases to say anything."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        small = [{"by": by, "value": value, "cases": cases} for by, value, cases in self.too_small]
        named = {"model": self.model, "baseline": self.baseline, "metric": self.metric}
        return {**named, "slices": [found.to_json() for found in self.slices], "too_small": small}

    def to_table(self) -> Table:
        """For a terminal of 80 columns; bold where the difference is unlikely to be chance (q ≤ .05)."""
        caption = f"{len(self.slices)} slices with enough cases, {len(self.too_small)} left out"
        table = Table(title=f"{self.metric}: {self.model} − {self.baseline}", caption=caption, caption_justify="left")
        table.title_justify, table.box, table.padding, table.pad_edge = "left", SIMPLE, (0, 1, 0, 0), False
        for name in ("by", "slice", "cases", "model", "baseline", "difference", "95 % interval", "q"):
            table.add_column(name, justify="left" if name in ("by", "slice") else "right", no_wrap=name != "slice")
        for last, row in zip((None, *self.slices), self.slices, strict=False):
            difference = f"{row.difference.mean:+.4f}"
            means = (f"{row.model.mean:.4f}", f"{row.baseline.mean:.4f}")
            bounds = f"[{row.difference.low:+.4f}, {row.difference.high:+.4f}]".replace("[", r"\[")
            shown = f"[bold]{difference}[/]" if row.q <= 0.05 else difference
            by = "" if last and last.by == row.by else row.by
            table.add_row(by, row.value, f"{row.cases:,}", *means, shown, bounds, f"{row.q:.3f}")
        return table


def label(held_out: HeldOut, catalogue: Catalogue | None = None, viewers: ViewerTable | None = None) -> Labels:
    """Labels of every case; attributes and targets where the catalogue and the viewers are known.

    With a catalogue, cases have one target and real times (`cases.time_split`).
    """
    found = {"activity": _activity(held_out.cases.histories.counts)}
    if viewers is not None:
        codes = viewers.attributes(held_out.cases.viewer_ids)
        for column, name in enumerate(c.VIEWER_ATTRIBUTES):
            found[name.replace("_", " ")] = np.array(viewers.vocabularies[column].values)[codes[:, column]]
    if catalogue is not None:
        targets, at = held_out.targets.values[held_out.targets.offsets[:-1]], held_out.cases.at
        found["category"] = np.array(catalogue.vocabularies[0].values)[catalogue.category[targets]]
        found["video age"] = _age(at - catalogue.uploaded_at[targets], catalogue.uploaded_at[targets] > 0)
        found["hour (UTC)"] = np.array(_HOURS)[at // HOUR_MS % 24 // 6]
    return {by: labels for by, labels in found.items() if len(np.unique(labels)) > 1}


def compare(
    values: Mapping[str, Floats],
    viewer_ids: NDArray[np.int64],
    labels: Labels,
    *,
    metric: str,
    min_cases: int = MIN_CASES,
) -> Slices:
    """The first of two models against the second. values: model → [N] its metric per case."""
    (model, ours), (baseline, theirs) = values.items()
    groups = [(by, str(value), of == value) for by, of in labels.items() for value in np.unique(of)]
    large = [(by, value, chosen) for by, value, chosen in groups if chosen.sum() >= min_cases]
    small = tuple((by, value, int(chosen.sum())) for by, value, chosen in groups if chosen.sum() < min_cases)
    found = [_measure(by, value, viewer_ids[chosen], ours[chosen], theirs[chosen]) for by, value, chosen in large]
    p = np.array([row.difference.p for row in found])
    tested = ~np.isnan(p)
    q = np.full(len(p), np.nan)
    q[tested] = inference.benjamini_hochberg(p[tested])
    rows = tuple(replace(row, q=float(corrected)) for row, corrected in zip(found, q, strict=True))
    return Slices(model, baseline, metric, rows, small)


def _measure(by: str, value: str, viewer_ids: NDArray[np.int64], ours: Floats, theirs: Floats) -> Slice:
    return Slice(
        by=by,
        value=value,
        cases=len(viewer_ids),
        viewers=len(np.unique(viewer_ids)),
        model=inference.cluster_interval(ours, viewer_ids),
        baseline=inference.cluster_interval(theirs, viewer_ids),
        difference=inference.cluster_interval(ours - theirs, viewer_ids),
        q=math.nan,
    )


def _activity(clicks: NDArray[np.int64]) -> NDArray[np.str_]:
    """New viewers, and the others in two halves by how much they have watched."""
    middle = int(np.median(clicks[clicks > 0])) if (clicks > 0).any() else 0
    light, heavy = f"light (1 to {middle})", f"heavy (from {middle + 1})"
    return np.where(clicks == 0, "new", np.where(clicks <= middle, light, heavy))


def _age(age_ms: NDArray[np.int64], known: NDArray[np.bool_]) -> NDArray[np.str_]:
    names = np.array(["up to 1 day", "up to 7 days", "up to 30 days", "older"])
    return np.where(known, names[np.searchsorted(np.array(_AGE_EDGES_D) * DAY_MS, age_ms)], c.UNKNOWN)
