"""One training run is one draw: the same training with other seeds, and what remains of the differences.

Per metric: a t interval over seeds (would another seed do as well?), and the difference to the best baseline with an interval
over seeds *and* viewers (`inference.two_way_interval`), its p values corrected over all models and metrics by Benjamini &
Hochberg. Baselines have no seed: those of the first run stand for all.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.table import Table

from core import inference
from core.errors import BadInput
from core.inference import Interval
from pipelines.evaluation import bare_files, held_out
from pipelines.evaluation.evaluate import FittedModels
from pipelines.evaluation.leaderboard import BASELINES, METRICS, Entry, Leaderboard
from pipelines.presets import RunConfig, reseeded
from pipelines.progress import Stages

_SEEDED = "{model} seed {seed}"


@dataclass(frozen=True)
class Row:
    """One model on one metric."""

    model: str
    metric: str
    per_seed: tuple[float, ...]
    over_seeds: Interval
    """Of the mean; t with S − 1 degrees of freedom."""
    against: Interval
    """Difference to the best baseline, for other seeds and other viewers."""
    q: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        q = None if math.isnan(self.q) else self.q
        named = {"model": self.model, "metric": self.metric, "per_seed": list(self.per_seed)}
        return {**named, "over_seeds": self.over_seeds.to_json(), "against_baseline": self.against.to_json(), "q": q}


@dataclass(frozen=True)
class Repeated:
    """What repeating a run shows."""

    seeds: tuple[int, ...]
    baseline: str
    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"seeds": list(self.seeds), "baseline": self.baseline, "rows": [row.to_json() for row in self.rows]}

    def to_table(self) -> Table:
        """For a terminal of 80 columns; bold where the difference is unlikely to be chance (q ≤ .05)."""
        table = Table(title=f"{len(self.seeds)} seeds, against {self.baseline}", title_justify="left")
        table.box, table.padding, table.pad_edge = SIMPLE, (0, 1, 0, 0), False
        for name in ("model", "metric", "mean", "± seeds", "difference", "95 % interval", "q"):
            table.add_column(name, justify="left" if name in ("model", "metric") else "right", no_wrap=True)
        for row in self.rows:
            shown = f"[bold]{row.against.mean:+.4f}[/]" if row.q <= 0.05 else f"{row.against.mean:+.4f}"
            bounds = rf"\[{row.against.low:+.4f}, {row.against.high:+.4f}]"
            spread = row.over_seeds.high - row.over_seeds.mean
            mean = f"{row.over_seeds.mean:.4f}"
            table.add_row(row.model, row.metric, mean, f"{spread:.4f}", shown, bounds, f"{row.q:.3f}")
        return table


def evaluate_files(
    interactions: Path, asked: Path, vectors: Path | None, config: RunConfig, seeds: Sequence[int], stages: Stages
) -> tuple[Leaderboard, Repeated]:
    """`bare_files.evaluate`, with both stages fitted once per seed before the held-out file is opened."""

    def more(log: held_out.FileLog, baselines: FittedModels) -> FittedModels:
        fitted = FittedModels()
        for seed in seeds:
            found = bare_files.two_stages(log, reseeded(config, seed), stages, baselines.settings)
            names = {model: _SEEDED.format(model=model, seed=seed) for model in found.models}
            models = {names[model]: value for model, value in found.models.items()}
            fitted |= FittedModels(models, {names[model]: took for model, took in found.seconds.items()})
        return fitted

    limit = config.evaluation.ease_videos
    board = held_out.evaluate_files(
        interactions, asked, vectors, more=more, max_ease_videos=limit, seed=config.seed, stages=stages
    )
    return combine([_of_seed(board, seed) for seed in seeds], seeds)


def repeat(run: Callable[[RunConfig], Leaderboard], config: RunConfig, seeds: Sequence[int]) -> tuple[Leaderboard, Repeated]:
    """A whole training run once per seed. All boards must hold the same cases."""
    return combine([run(reseeded(config, seed)) for seed in seeds], seeds)


def combine(boards: Sequence[Leaderboard], seeds: Sequence[int]) -> tuple[Leaderboard, Repeated]:
    """One leaderboard whose trained models are means over the seeds, case by case; and what the seeds say.

    Raises:
        BadInput: fewer than two boards, other cases on one of them, or no baseline.
    """
    first = boards[0]
    asked = [(board.held_out.cases.viewer_ids, board.held_out.cases.at) for board in boards]
    if len(boards) < 2 or not all(
        np.array_equal(one, other) for pair in asked for one, other in zip(asked[0], pair, strict=True)
    ):
        raise BadInput("seeds are compared over at least two runs on the same cases")
    baseline = first.best_baseline
    if baseline is None:
        raise BadInput("there is no baseline to compare the seeds with")
    trained = [entry.model for entry in first.entries if entry.model not in BASELINES]
    runs = {model: [board.entry(model) for board in boards] for model in trained}
    averaged = tuple(_average(runs[entry.model]) if entry.model in runs else entry for entry in first.entries)
    rows = [_row(runs[model], baseline, metric, first.held_out.cases.viewer_ids) for model in trained for metric in METRICS]
    corrected = inference.benjamini_hochberg([row.against.p for row in rows])
    rows = [replace(row, q=float(q)) for row, q in zip(rows, corrected, strict=True)]
    return replace(first, entries=averaged), Repeated(tuple(seeds), baseline.model, tuple(rows))


def _of_seed(board: Leaderboard, seed: int) -> Leaderboard:
    """The baselines and one seed's models, under their plain names."""
    suffix = _SEEDED.format(model="", seed=seed)
    plain = [replace(e, model=e.model.removesuffix(suffix)) for e in board.entries if e.model.endswith(suffix)]
    return replace(board, entries=(*(e for e in board.entries if e.model in BASELINES), *plain))


def _average(entries: Sequence[Entry]) -> Entry:
    values = {metric: np.mean([entry.values[metric] for entry in entries], axis=0) for metric in METRICS}
    for metric in entries[0].values.keys() - values.keys():
        stacked = np.stack([entry.values[metric] for entry in entries])
        known = ~np.isnan(stacked)
        total = np.where(known, stacked, 0.0).sum(axis=0)
        values[metric] = np.divide(total, known.sum(axis=0), out=np.full(len(total), np.nan), where=known.any(axis=0))
    return Entry(entries[0].model, values, float(np.mean([entry.seconds for entry in entries])))


def _row(entries: Sequence[Entry], baseline: Entry, metric: str, viewer_ids: np.ndarray) -> Row:
    values_SN = np.stack([entry.values[metric] for entry in entries])
    means = values_SN.mean(axis=1)
    against = inference.two_way_interval(values_SN - baseline.values[metric], viewer_ids)
    return Row(entries[0].model, metric, tuple(means.tolist()), inference.t_interval(means), against, float("nan"))
