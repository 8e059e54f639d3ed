"""A run is a function that returns its complete config: `tiny()` in seconds, `demo()` in minutes, `full()` in hours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

from core import config
from core.errors import ConfigError, ReleaseRefused
from data.world import config as worlds
from ranking import config as ranking
from ranking.config import RankerConfig
from retrieval.config import IndexConfig, TwoTowerConfig
from serving.config import ServingConfig

Section = TypeVar("Section")


@dataclass(frozen=True)
class SplitConfig:
    """Where in time training ends and testing begins."""

    test_fraction: float = 0.1
    """Share of clicks, the latest, that nothing is trained on."""
    ranker_fraction: float = 0.2
    """Share of clicks before those whose rows train the ranker; towers see them only afterwards."""


@dataclass(frozen=True)
class ListConfig:
    """How lists of candidates are drawn."""

    negatives: int = 31
    """Drawn uniformly from what retrieval returned: a list is a sample of what the ranker will be asked to order."""
    depth: int = 500
    """How many videos retrieval returns. A click on anything further down becomes no list: where only the clicked video may lie
    beyond `depth`, a low affinity would give it away."""
    max_lists: int = 30_000
    """Clicks that become lists, drawn uniformly when there are more."""


@dataclass(frozen=True)
class EvaluationConfig:
    """How the leaderboard is measured."""

    max_cases: int = 3_000
    """Test clicks, drawn uniformly when there are more."""
    max_validation: int = 1_000
    """Clicks before those on which each baseline's settings are chosen."""
    ease_videos: int = 4_000
    """EASE inverts a dense matrix of this size at most."""


@dataclass(frozen=True)
class FilesConfig:
    """Towers for two bare files, where a viewer is a history and nothing else."""

    ordered: TwoTowerConfig = field(default_factory=TwoTowerConfig.sequence)
    unordered: TwoTowerConfig = field(default_factory=TwoTowerConfig.set_of_videos)
    """For a file that has neither times nor positions."""
    ranker: RankerConfig = field(default_factory=lambda: RankerConfig(max_epochs=15))
    continue_epochs: int = 2
    """Over the whole file, after what the ranker learns from was held back."""
    continue_rate: float = 0.2
    """Share of the layers' learning rate that these epochs begin with."""
    decided: int = 500
    """How many of the candidates, best first, the ranker puts in order; the rest stay behind them."""
    decided_of_sets: int = 60
    """The same for a file without order, where a viewer has many targets: over all 500 the ranker learns to sort the middle."""
    max_lists: int = 100_000
    """Interactions that become lists, of which those are kept whose video is among the candidates that the ranker decides."""


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides what a training run produces."""

    name: str
    seed: int = 1
    world: worlds.WorldConfig = field(default_factory=worlds.demo)
    split: SplitConfig = field(default_factory=SplitConfig)
    towers: TwoTowerConfig = field(default_factory=TwoTowerConfig)
    continue_epochs: int = 2
    """Epochs over all training clicks after the ranker's window was held back."""
    index: IndexConfig = field(default_factory=IndexConfig)
    files: FilesConfig = field(default_factory=FilesConfig)
    lists: ListConfig = field(default_factory=ListConfig)
    ranker: RankerConfig = field(default_factory=RankerConfig)
    serving: ServingConfig = field(default_factory=ServingConfig)
    labels: bool = False
    """Whether videos get p(clickbait) and p(kids): two features more for the ranker, and what filters go by; docs/labels.md."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    max_broken: float = 0.05
    """Share of broken rows above which loading a log stops."""
    snapshot: str = ""
    """Id of the space's snapshot to learn from, whatever source and live log hold by now; empty: from what they hold."""

    def continued_towers(self) -> TwoTowerConfig:
        """The towers' plan for going on to the end of training."""
        return replace(self.towers, epochs=self.continue_epochs)


def tiny() -> RunConfig:
    """Seconds: tests and a first look."""
    sets = replace(TwoTowerConfig.set_of_videos(), dim=32)
    files = FilesConfig(ordered=TwoTowerConfig.tiny(), unordered=sets, ranker=ranking.tiny())
    return RunConfig("tiny", world=worlds.tiny(), towers=TwoTowerConfig.tiny(), files=files, ranker=ranking.tiny())


def demo() -> RunConfig:
    """Minutes on two cores: the demo, and logs up to a few million events."""
    return RunConfig("demo", world=worlds.demo(), towers=TwoTowerConfig.demo(), ranker=ranking.demo())


def full() -> RunConfig:
    """Hours: a million viewers and a million videos."""
    return RunConfig("full", world=worlds.full(), towers=TwoTowerConfig.full(), ranker=ranking.full())


PRESETS = {"tiny": tiny, "demo": demo, "full": full}


def configure(preset: str, overrides: Sequence[str]) -> RunConfig:
    """A preset with `section.key=value` overrides.

    Raises:
        ConfigError: no such preset, or an unknown key.
    """
    return config.preset(PRESETS, preset, overrides)


def recorded(run: Mapping[str, Any]) -> RunConfig:
    """The config that a release was trained with, from its lineage; settings that have since been removed are left out.

    Raises:
        ReleaseRefused: a value that its models depend on is no longer possible.
    """
    kept = {name: value for name, value in run.items() if name != "files"}  # no release is made from bare files
    try:
        return config.from_dict(RunConfig, config.known(RunConfig, kept))
    except ConfigError as error:
        raise ReleaseRefused(f"the release is of an older version of upnext: {error}; train again") from error


def reseeded(section: Section, seed: int) -> Section:
    """A config with `seed` in every section that has one, except the world: what is learned from stays the same."""
    changed: dict[str, Any] = {}
    for spec in fields(section):  # type: ignore[arg-type]
        value = getattr(section, spec.name)
        if spec.name == "seed":
            changed[spec.name] = seed
        elif is_dataclass(value) and not isinstance(value, worlds.WorldConfig):
            changed[spec.name] = reseeded(value, seed)
    return replace(section, **changed)  # type: ignore[type-var]
