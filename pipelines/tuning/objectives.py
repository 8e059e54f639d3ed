"""What a search may tune inside a training file, and how one setting is judged there.

`cases.inside` splits the file: a model learns from the first part and is judged by NDCG@10 on the second. Knows nothing of how
settings are proposed.
"""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from core import config as configs
from core.errors import BadInput
from core.space import Range, Settings, Space
from pipelines.evaluation import cases
from pipelines.evaluation.cases import HeldOut
from pipelines.evaluation.evaluate import BaselineObjective, measure
from pipelines.evaluation.held_out import FileLog, read_log
from pipelines.evaluation.leaderboard import MAIN
from pipelines.presets import RunConfig
from pipelines.progress import Stages
from pipelines.tuning.search import Rungs
from retrieval.tunable import tunables


@dataclass(frozen=True)
class Target:
    """A model of ours: which part of the config decides it, and what to measure."""

    section: str
    """`{order}` stands for ordered or unordered, whichever the file is."""
    measured: str
    """The row of the leaderboard."""
    epochs: str
    """The key that says how long it trains."""
    space: Space


TARGETS = {
    "two_tower": Target(
        section="files.{order}",
        measured="two_tower",
        epochs="epochs",
        space={
            "learning_rate": Range(3e-4, 1e-2, log=True),
            "temperature": Range(0.03, 0.2, log=True),
            "dim": (32, 64, 128),
            "id_dropout": Range(0.0, 0.3, points=3),
        },
    ),
    "ranker": Target(
        section="ranker",
        measured="two_stage",
        epochs="max_epochs",
        space={
            "learning_rate": Range(5e-4, 1e-2, log=True),
            "weight_decay": Range(1e-6, 1e-3, log=True),
            "cross_layers": (1, 2, 3),
        },
    ),
}
"""Our models that can be tuned, by name."""


@dataclass
class FileObjective:
    """NDCG@10 of a model on validation cases inside a file: an `Objective` (search.py) that can be sent to workers."""

    interactions: Path
    item_vectors: Path | None
    model: str
    config: RunConfig

    @cached_property
    def log(self) -> FileLog:
        """The training file."""
        return read_log(self.interactions, self.item_vectors)

    @cached_property
    def inside(self) -> tuple[FileLog, HeldOut]:
        """What is learned from and what settings are judged on."""
        limit = self.config.evaluation.max_validation
        train, validation = cases.inside(self.log.interactions, timed=self.log.timed, max_cases=limit, seed=self.config.seed)
        return replace(self.log, interactions=train), validation

    @cached_property
    def baseline(self) -> BaselineObjective | None:
        """The objective, where the model is a baseline; None where it is ours.

        Raises:
            BadInput: no such model, or the file lacks what it needs.
        """
        if self.model in TARGETS:
            return None
        log, limit = self.log, self.config.evaluation.ease_videos
        known = tunables(timed=log.timed, ordered=log.interactions.ordered, max_ease_videos=limit)
        if self.model not in known or not known[self.model].space:
            names = [*TARGETS, *(name for name, tunable in known.items() if tunable.space)]
            raise BadInput(f"there is no model '{self.model}' to tune on this file; known: {', '.join(names)}")
        return BaselineObjective(known[self.model], self.inside[0].interactions, self.inside[1])

    @property
    def space(self) -> Space:
        """What is searched where nothing else is asked for."""
        return TARGETS[self.model].space if self.baseline is None else self.baseline.tunable.space

    @property
    def rungs(self) -> Rungs | None:
        """How long asha trains the model; None where it has no epochs."""
        if self.model not in TARGETS:
            return None
        section: Any = self.config
        for name in self._section.split("."):
            section = getattr(section, name)
        return Rungs(most=getattr(section, TARGETS[self.model].epochs))

    def flags(self, settings: Settings) -> list[str]:
        """The settings as `section.key=value`, for `--set`; none for a baseline, which no config decides."""
        if self.model not in TARGETS:
            return []
        return [f"{self._section}.{name}={json.dumps(value)}" for name, value in settings.items()]

    def __call__(self, settings: Settings, epochs: int | None) -> float:
        """See Objective."""
        if self.baseline is not None:
            return self.baseline(settings, epochs)
        from pipelines.evaluation.bare_files import two_stages  # torch: seconds to import

        target = TARGETS[self.model]
        if epochs is not None:
            settings = {**settings, target.epochs: epochs}
        log, validation = self.inside
        fitted = two_stages(log, configs.override(self.config, self.flags(settings)), Stages())
        return float(measure(fitted.models[target.measured], validation)[MAIN].mean())

    @property
    def _section(self) -> str:
        return TARGETS[self.model].section.format(order="ordered" if self.log.interactions.ordered else "unordered")
