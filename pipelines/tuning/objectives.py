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
from retrieval.config import SOLVED
from retrieval.tunable import tunables


@dataclass(frozen=True)
class Target:
    """A model of ours: which part of the config decides it, and what is searched."""

    section: str
    space: Space
    epochs: str | None = None
    """The key that says how long it trains; None for what is solved for."""


TRAINED_TOWERS: Space = {
    "learning_rate": Range(3e-4, 1e-2, log=True),
    "temperature": Range(0.03, 0.2, log=True),
    "dim": (32, 64, 128),
    "id_dropout": Range(0.0, 0.3, points=3),
}
SOLVED_TOWERS: Space = {
    "dim": (128, 256, 512),
    "solved.alpha": Range(4.0, 32.0, log=True, points=3),
    "solved.l2": Range(0.002, 0.05, log=True),
    "solved.ridge": Range(3.0, 300.0, log=True, points=3),
    "solved.mix": Range(0.0, 2.8, points=3),
}
RANKER: Space = {
    "learning_rate": Range(5e-4, 1e-2, log=True),
    "weight_decay": Range(1e-6, 1e-3, log=True),
    "cross_layers": (1, 2, 3),
}
OURS = ("two_tower", "ranker")
"""Our models that can be tuned."""


def target(model: str, config: RunConfig, *, ordered: bool) -> Target:
    """One of `OURS` for a file with or without order: what is searched follows the kind of towers that it asks for."""
    if model == "ranker":
        return Target("files.ranker", RANKER, "max_epochs")
    plan, section = (config.files.ordered, "files.ordered") if ordered else (config.files.unordered, "files.unordered")
    return Target(section, SOLVED_TOWERS) if plan.viewer == SOLVED else Target(section, TRAINED_TOWERS, "epochs")


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
        if self.model in OURS:
            return None
        log, limit = self.log, self.config.evaluation.ease_videos
        known = tunables(timed=log.timed, ordered=log.interactions.ordered, max_ease_videos=limit)
        if self.model not in known or not known[self.model].space:
            names = [*OURS, *(name for name, tunable in known.items() if tunable.space)]
            raise BadInput(f"there is no model '{self.model}' to tune on this file; known: {', '.join(names)}")
        return BaselineObjective(known[self.model], self.inside[0].interactions, self.inside[1])

    @property
    def space(self) -> Space:
        """What is searched where nothing else is asked for."""
        return self.target.space if self.baseline is None else self.baseline.tunable.space

    @cached_property
    def target(self) -> Target:
        """What decides a model of ours on this file."""
        return target(self.model, self.config, ordered=self.log.interactions.ordered)

    @property
    def rungs(self) -> Rungs | None:
        """How long asha trains the model; None where it has no epochs."""
        if self.model not in OURS or self.target.epochs is None:
            return None
        section: Any = self.config
        for name in self.target.section.split("."):
            section = getattr(section, name)
        return Rungs(most=getattr(section, self.target.epochs))

    def flags(self, settings: Settings) -> list[str]:
        """The settings as `section.key=value`, for `--set`; none for a baseline, which no config decides."""
        if self.model not in OURS:
            return []
        return [f"{self.target.section}.{name}={json.dumps(value)}" for name, value in settings.items()]

    def __call__(self, settings: Settings, epochs: int | None) -> float:
        """See Objective."""
        if self.baseline is not None:
            return self.baseline(settings, epochs)
        from pipelines.evaluation import bare_files  # torch: seconds to import

        if epochs is not None and self.target.epochs is not None:
            settings = {**settings, self.target.epochs: epochs}
        log, validation = self.inside
        config = configs.override(self.config, self.flags(settings))
        if self.model == "two_tower":
            return float(measure(bare_files.first_stage(log, config), validation)[MAIN].mean())
        return float(measure(bare_files.two_stages(log, config, Stages()).models["two_stage"], validation)[MAIN].mean())
