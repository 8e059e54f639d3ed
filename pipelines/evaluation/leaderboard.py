"""The result of an evaluation: one row per model, with intervals over viewers, and what was left out and why.

Rows hold per-case values, so that models are compared case by case. All metrics are over the full catalogue (`core.metrics`).
Beside the rows stands what is known of the test itself: leaks, slices, and how like the training period it is.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.table import Table

from core import inference, rng
from data.splits import Leak
from pipelines.evaluation import representative, sightings
from pipelines.evaluation import slices as slicing
from pipelines.evaluation.cases import HeldOut
from pipelines.evaluation.chance import Replay
from pipelines.evaluation.representative import Shift

METRICS = ("hr@10", "ndcg@10", "recall@20", "ndcg@20", "recall@500")
MAIN = "ndcg@10"
GIVEN_RETRIEVED = "ndcg@10_given_retrieved"
BASELINES = ("popularity", "recent_popularity", "markov", "ease", "ials", "item_knn")
Values = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Entry:
    """One model's values per case, and how long it took."""

    model: str
    values: Values
    seconds: float
    """Fitting (with tuning) and ranking every case."""

    def mean(self, metric: str, chosen: NDArray[np.bool_] | None = None) -> float | None:
        """Mean over (chosen) cases, undefined ones left out; None when nothing remains."""
        values = self.values[metric] if chosen is None else self.values[metric][chosen]
        values = values[~np.isnan(values)]
        return float(values.mean()) if len(values) else None


@dataclass(frozen=True)
class About:
    """What is known of the test itself."""

    leaks: tuple[Leak, ...] = ()
    labels: slicing.Labels = field(default_factory=dict)
    """What the cases are sliced by."""
    shifts: tuple[Shift, ...] = ()
    """How the test differs from what came before it."""
    sightings: NDArray[np.int64] | None = None
    """[V] how often each video was watched in training."""
    replay: Replay | None = None
    """What the orders are worth on pages that chance filled."""


@dataclass(frozen=True)
class Leaderboard:
    """Models measured on the same cases."""

    protocol: str
    held_out: HeldOut
    entries: tuple[Entry, ...] = ()
    omitted: Mapping[str, str] = field(default_factory=dict)
    """Model → reason in plain words."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Model → what tuning chose."""
    trials: Mapping[str, int] = field(default_factory=dict)
    """Model → how many settings tuning tried; 1 where absent."""
    about: About = About()
    seed: int = 0

    def entry(self, model: str) -> Entry:
        """The row of one model. Raises KeyError."""
        return {entry.model: entry for entry in self.entries}[model]

    @property
    def best_baseline(self) -> Entry | None:
        """The baseline with the highest NDCG@10."""
        found = [entry for entry in self.entries if entry.model in BASELINES]
        return max(found, key=lambda entry: entry.mean(MAIN) or 0.0, default=None)

    @property
    def best_model(self) -> Entry | None:
        """Whatever is no baseline and has the highest NDCG@10."""
        found = [entry for entry in self.entries if entry.model not in BASELINES]
        return max(found, key=lambda entry: entry.mean(MAIN) or 0.0, default=None)

    def slices(self, min_cases: int = slicing.MIN_CASES) -> slicing.Slices | None:
        """The best model against the best baseline, group by group; None without both."""
        model, baseline = self.best_model, self.best_baseline
        if model is None or baseline is None:
            return None
        values = {entry.model: entry.values[MAIN] for entry in (model, baseline)}
        viewer_ids = self.held_out.cases.viewer_ids
        return slicing.compare(values, viewer_ids, self.about.labels, metric=MAIN, min_cases=min_cases)

    def to_json(self) -> dict[str, Any]:
        """Plain values; a metric without any case is null."""
        slices = self.slices()
        cases = self.held_out.cases
        return {
            "protocol": self.protocol,
            "num_viewers": len(np.unique(cases.viewer_ids)),
            "num_videos": cases.num_videos,
            "num_cases": len(cases),
            "leaderboard": [self._row(entry) for entry in self.entries],
            "omitted": dict(self.omitted),
            "settings": dict(self.settings),
            "against_best_baseline": self.comparisons(),
            "over_retrieval_order": self.over_retrieval_order(),
            "pages_of_chance": None if self.about.replay is None else self.about.replay.summary,
            "leaks": [leak.text for leak in self.about.leaks],
            "representativeness": representative.to_json(self.about.shifts),
            "slices": None if slices is None else slices.to_json(),
        }

    def _row(self, entry: Entry) -> dict[str, Any]:
        warm = self.held_out.cases.warm
        row: dict[str, Any] = {"model": entry.model}
        row |= {metric: entry.mean(metric) for metric in entry.values}
        row["seconds"] = round(entry.seconds, 3)
        row["trials"] = self.trials.get(entry.model, 1)
        for name, chosen in (("warm", warm), ("cold", ~warm)):
            row[name] = {"cases": int(chosen.sum())} | {m: entry.mean(m, chosen) for m in entry.values}
        row["interval"] = {m: self._interval(entry, m) for m in (*METRICS, *sightings.METRICS) if m in entry.values}
        return row

    def comparisons(self) -> list[dict[str, Any]]:
        """Every model against the best baseline on NDCG@10: paired bootstrap over viewers, p corrected by Holm."""
        baseline = self.best_baseline
        others = [entry for entry in self.entries if baseline is not None and entry.model not in BASELINES]
        if baseline is None or not others or not len(self.held_out):
            return []
        viewers = self.held_out.cases.viewer_ids
        found = [
            inference.paired_bootstrap(
                entry.values[MAIN], baseline.values[MAIN], viewers, rng.stream(self.seed, "leaderboard", entry.model)
            )
            for entry in others
        ]
        adjusted = inference.holm([interval.p for interval in found])
        return [
            {
                "model": e.model,
                "baseline": baseline.model,
                "difference": i.mean,
                "low": i.low,
                "high": i.high,
                "p_holm": float(p),
            }
            for e, i, p in zip(others, found, adjusted, strict=True)
        ]

    def over_retrieval_order(self) -> dict[str, float] | None:
        """What the second stage adds to the order of the first: NDCG@10, paired bootstrap over viewers; None without both."""
        found = {entry.model: entry.values[MAIN] for entry in self.entries}
        second, first = found.get("two_stage"), found.get("two_tower")
        if second is None or first is None or not len(self.held_out):
            return None
        random = rng.stream(self.seed, "leaderboard", "over retrieval order")
        gain = inference.paired_bootstrap(second, first, self.held_out.cases.viewer_ids, random)
        return {"difference": gain.mean, "low": gain.low, "high": gain.high, "p": gain.p}

    def sightings_table(self) -> Table:
        """Recall@20 by how often a target was watched in training, for a terminal of 80 columns; without it no rows."""
        table = Table(title="recall@20 by how often the target was seen in training", title_justify="left", box=SIMPLE)
        for name in ("model", *sightings.CLASSES):
            table.add_column(name, justify="left" if name == "model" else "right")
        for entry in [entry for entry in self.entries if sightings.METRICS[0] in entry.values]:
            table.add_row(entry.model, *(_cell(entry.mean(metric), math.inf) for metric in sightings.METRICS))
        return table

    def _interval(self, entry: Entry, metric: str) -> list[float] | None:
        """Over viewers; of the cases in which the metric is defined."""
        values = entry.values[metric]
        known = ~np.isnan(values)
        return (
            _bounds(inference.cluster_interval(values[known], self.held_out.cases.viewer_ids[known])) if known.any() else None
        )

    def to_table(self) -> Table:
        """For a terminal of 80 columns; ± is half of the 95 % interval of ndcg@10 over viewers."""
        table = Table(title=self.protocol, title_justify="left", caption=self._caption(), caption_justify="left")
        table.box, table.padding, table.pad_edge = SIMPLE, (0, 1, 0, 0), False
        for name in ("model", "hr@10", "ndcg@10", "±", *METRICS[2:], "given retr.", "s"):
            table.add_column(name.replace("@", "\n@"), justify="left" if name == "model" else "right", no_wrap=name == "model")
        best = {m: max((entry.mean(m) or 0.0 for entry in self.entries), default=0.0) for m in METRICS}
        for entry in self.entries:
            cells = {m: _cell(entry.mean(m), best[m]) for m in METRICS}
            interval = inference.cluster_interval(entry.values[MAIN], self.held_out.cases.viewer_ids)
            spread = "" if math.isnan(interval.low) else f"[dim]{interval.high - interval.mean:.4f}[/]"
            given = entry.mean(GIVEN_RETRIEVED) if GIVEN_RETRIEVED in entry.values else None
            shown = [cells["hr@10"], cells[MAIN], spread, *(cells[m] for m in METRICS[2:]), _cell(given, math.inf)]
            table.add_row(entry.model, *shown, f"{entry.seconds:.0f}")
        return table

    def _caption(self) -> str | None:
        lines = [f"{model} left out: {reason}" for model, reason in self.omitted.items()]
        lines += [f"leak: {leak.text}" for leak in self.about.leaks]
        lines += [
            f"{s.what} in the test: {s.verdict} ({s.measure} {s.effect:.2f})" for s in self.about.shifts if s.severity > 1
        ]
        lines += [self.about.replay.to_text()] if self.about.replay else []
        return "\n".join(filter(None, lines)) or None


def _bounds(interval: inference.Interval) -> list[float] | None:
    return None if math.isnan(interval.low) else [interval.low, interval.high]


def _cell(value: float | None, best: float) -> str:
    if value is None:
        return ""
    return f"[bold]{value:.4f}[/]" if value >= best > 0 else f"{value:.4f}"
