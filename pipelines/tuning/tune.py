"""Tune one model on one training file, by one or several search methods over the same space, and say what each cost.

Baselines are searched the same way whenever they are fitted (`evaluate.fit_baselines`); here they can be searched longer.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from core import config as configs
from core.errors import BadInput
from core.space import Space
from pipelines.evaluation.leaderboard import MAIN
from pipelines.progress import Stages
from pipelines.tuning.objectives import FileObjective
from pipelines.tuning.search import Found, Method, Rungs, Search, Trial


@dataclass(frozen=True)
class Tuned:
    """What each method found for one model."""

    model: str
    found: Mapping[Method, Found]
    flags: Sequence[str] = field(default_factory=list)
    """Of the best settings."""

    @property
    def best(self) -> Trial:
        """The best trial of all methods."""
        return max((found.best for found in self.found.values()), key=lambda trial: trial.score)

    @property
    def common_value(self) -> float:
        """The highest value that every method reached."""
        return min(found.best.score for found in self.found.values())

    def to_json(self) -> dict[str, Any]:
        """Plain values; a setting that gave no value is null."""
        return {
            "model": self.model,
            "metric": MAIN,
            "best": _plain(self.best),
            "set": list(self.flags),
            "common_value": _finite(self.common_value),
            "methods": [
                {
                    "method": method,
                    "best": _plain(found.best),
                    "seconds": sum(t.seconds for t in found.trials),
                    "seconds_to_common_value": found.cost_to_reach(self.common_value),
                    "trials": [_plain(t) for t in found.trials],
                }
                for method, found in self.found.items()
            ],
        }

    def to_table(self) -> Table:
        """For a terminal: one row per method."""
        head = ("method", "trials", f"best {MAIN}", "seconds", f"seconds to {self.common_value:.4f}", "settings")
        table = Table(*head, title=f"{self.model}, validation inside the file", title_justify="left", box=SIMPLE)
        for method, found in self.found.items():
            seconds = sum(t.seconds for t in found.trials), found.cost_to_reach(self.common_value) or 0.0
            settings = [f"{n} {v:.4g}" if isinstance(v, float) else f"{n} {v}" for n, v in found.best.settings.items()]
            cells = (str(len(found.trials)), f"{found.best.score:.4f}", *(f"{s:.1f}" for s in seconds))
            table.add_row(method, *cells, ", ".join(settings))
        return table


def tune(
    objective: FileObjective,
    methods: Sequence[Method],
    journals: Path,
    *,
    trials: int | None = None,
    space: Space | None = None,
    workers: int = 1,
    stages: Stages,
) -> Tuned:
    """Search with each method; a search that was interrupted goes on from its journal, a finished one is only read.

    Raises:
        BadInput: the model or the method is unknown or they do not fit each other.
    """
    with stages("read") as stage:
        chosen, rungs = space or objective.space, objective.rungs
        stage.note = f"{len(objective.inside[0].interactions):,} interactions, {len(objective.inside[1]):,} validation cases"
    if "asha" in methods and rungs is None:
        raise BadInput(f"'{objective.model}' is not trained in epochs, which asha saves on; choose grid, random or tpe")
    searches = {
        method: Search(chosen, method, trials, objective.config.seed, rungs or Rungs(), workers=workers) for method in methods
    }
    found: dict[Method, Found] = {}
    for method, search in searches.items():
        journal = journals / f"{_fingerprint(objective, search)}.jsonl"
        with stages(method) as stage:
            found[method] = replace(search, journal=journal).run(objective, stage.advance)
            stage.note = f"{len(found[method].trials)} trials, best {found[method].best.score:.4f}"
    tuned = Tuned(objective.model, found)
    return replace(tuned, flags=objective.flags(tuned.best.settings))


def _fingerprint(objective: FileObjective, search: Search) -> str:
    """Names everything a trial's value depends on, so that a journal is never continued by another search."""
    files = [path for path in (objective.interactions, objective.item_vectors) if path is not None]
    stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    config = configs.fingerprint(objective.config)
    parts = (objective.model, config, stats, search.method, search.seed, sorted(search.space.items()), search.rungs)
    return f"{objective.model}-{search.method}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"


def _plain(trial: Trial) -> dict[str, Any]:
    value = _finite(trial.value)
    return {"settings": dict(trial.settings), "value": value, "seconds": round(trial.seconds, 3), "epochs": trial.epochs}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
