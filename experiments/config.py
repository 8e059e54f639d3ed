"""What an experiment is, as one TOML file: who gets which arm, and how the result will be judged.

    holdout = 0.01                                   # share of viewers in no experiment, whose pages no model orders or filters
    shadow = "candidate"                             # release that also answers, and that nobody sees
    record = 0.05                                    # share of requests it answers, and whose candidates are written down

    [[experiments]]
    name = "ranker-v2"
    layer = "ranking"                                # experiments of one layer never meet in one viewer
    segment = [0.0, 0.5]                             # part of the layer's traffic
    surfaces = ["home"]                              # where the arms differ; everywhere when absent
    overrides = { "42" = "treatment" }               # viewers who always see an arm and are never counted
    arms = [{ name = "control", weight = 1 }, { name = "treatment", weight = 1, set = ["exploration.epsilon=0.1"] }]

    [experiments.analysis]
    days = 14
    planned_viewers = 40000
    primary = { name = "watch_s" }
    secondary = [{ name = "ctr", numerator = "clicks", denominator = "impressions" }]
    guardrails = [{ name = "page_ms", better = "lower", margin = 0.02 }]

    [[experiments]]
    name = "ranker-v2-or-v3"
    layer = "pages"
    interleaving = "team_draft"                      # no arm per viewer: both arms on every page, a team per slot
    arms = [{ name = "v2" }, { name = "v3", release = "candidate" }]

The first arm is the control. Both the service and the analysis read this file, so the weights that a sample ratio is tested
against are the weights that were served. Knows nothing of hashing or statistics.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

from core import config
from core.errors import BadInput, ConfigError

_RESERVED = ":+"
"""Characters that `assignment.label` joins names with."""


@dataclass(frozen=True)
class ArmConfig:
    """One variant."""

    name: str
    weight: float = 1.0
    """Share of the experiment's viewers, relative to the other arms' weights."""
    set: tuple[str, ...] = ()
    """`section.key=value` overrides of the serving config that make this arm different."""
    release: str = ""
    """Release that this arm serves, an id or a pointer such as `candidate`; the live one when empty."""


@dataclass(frozen=True)
class MetricConfig:
    """Σ numerator / Σ denominator over an arm's viewer-days; without a denominator, the numerator's mean per viewer."""

    name: str
    numerator: str = ""
    """Column; the metric's name when empty."""
    denominator: str = ""
    """Column; each viewer counts once when empty."""
    better: Literal["higher", "lower"] = "higher"
    """Which way is an improvement."""
    margin: float = 0.0
    """Of a guardrail: the relative loss that is tolerated, e.g. 0.02."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads: numerator, and the denominator where there is one."""
        return (self.numerator or self.name, *([self.denominator] if self.denominator else []))


@dataclass(frozen=True)
class AnalysisConfig:
    """How the result is judged, written down before it is seen."""

    primary: MetricConfig = field(default_factory=lambda: MetricConfig("watch_s"))
    """Decides."""
    secondary: tuple[MetricConfig, ...] = ()
    """Explain; corrected for their number (Benjamini–Hochberg)."""
    guardrails: tuple[MetricConfig, ...] = ()
    """Must not get worse by more than their margin."""
    alpha: float = 0.05
    """Accepted chance of a false positive, two-sided."""
    days: int = 14
    """Planned length; whole weeks, because weekdays differ."""
    planned_viewers: int = 10_000
    """Viewers of both arms at the planned end; where the confidence sequence is made tightest."""
    cuped: bool = True
    """Adjust for what viewers did before the experiment, where the log says so."""

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ConfigError(f"alpha must lie between 0 and 1, got {self.alpha}")
        if self.days < 7 or self.days % 7:
            raise ConfigError(f"days must be whole weeks (7, 14, …), got {self.days}: an effect may differ by weekday")
        if self.planned_viewers < 1:
            raise ConfigError(f"planned_viewers must be at least 1, got {self.planned_viewers}")
        _require_distinct("metrics", [metric.name for metric in self.metrics])
        for metric in self.guardrails:
            if not 0 < metric.margin < 1:
                raise ConfigError(f"guardrail '{metric.name}' needs a margin between 0 and 1, e.g. 0.02; got {metric.margin}")

    @property
    def metrics(self) -> tuple[MetricConfig, ...]:
        """All, the primary first."""
        return (self.primary, *self.secondary, *self.guardrails)


@dataclass(frozen=True)
class ExperimentConfig:
    """One experiment."""

    name: str
    arms: tuple[ArmConfig, ...] = (ArmConfig("control"), ArmConfig("treatment"))
    """The first is the control."""
    layer: str = "default"
    """Experiments of different layers are independent; those of one layer must have disjoint segments."""
    segment: tuple[float, float] = (0.0, 1.0)
    """[from, until) of the layer's traffic. Growing it moves nobody who is in already."""
    salt: str = ""
    """Decides who gets which arm; the name when empty. A new salt is a new draw."""
    surfaces: tuple[str, ...] = ()
    """Surfaces on which the arms differ; all when empty. Requests elsewhere are no exposure."""
    overrides: dict[str, str] = field(default_factory=dict)
    """Viewer id → arm, for looking at an arm; never counted."""
    interleaving: Literal["", "team_draft", "balanced"] = ""
    """How the pages of two arms are merged into one for every viewer of the segment; empty: viewers are split instead."""
    analysis: AnalysisConfig = field(default_factory=AnalysisConfig)

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        _require_distinct(f"arms of '{self.name}'", names)
        if not self.name or any(mark in name for mark in _RESERVED for name in (self.name, *names)):
            raise ConfigError(
                f"names of experiments and arms must be without '{_RESERVED[0]}' and '{_RESERVED[1]}': '{self.name}'"
            )
        if len(self.arms) < 2:
            raise ConfigError(f"'{self.name}' has {len(self.arms)} arm; an experiment needs at least two")
        if min(arm.weight for arm in self.arms) <= 0:
            raise ConfigError(f"weights of '{self.name}' must be above 0; remove an arm to stop it")
        if not 0 <= self.segment[0] < self.segment[1] <= 1:
            raise ConfigError(f"segment of '{self.name}' must be [from, until] within 0 and 1, got {list(self.segment)}")
        if self.interleaving and (len(self.arms) != 2 or self.arms[0].weight != self.arms[1].weight):
            raise ConfigError(f"'{self.name}' interleaves its arms: it needs two, without weights, since every page holds both")
        for viewer, arm in self.overrides.items():
            if arm not in names or not viewer.isdigit():
                raise ConfigError(
                    f"override {viewer} = '{arm}' of '{self.name}': wants a viewer id and one of {', '.join(names)}"
                )

    @property
    def arm_names(self) -> tuple[str, ...]:
        """In the file's order, control first."""
        return tuple(arm.name for arm in self.arms)

    @property
    def releases(self) -> tuple[str, ...]:
        """Releases besides the live one that its arms serve."""
        return tuple(dict.fromkeys(arm.release for arm in self.arms if arm.release))

    @property
    def shares(self) -> tuple[float, ...]:
        """Designed share of the experiment's viewers by arm; they sum to 1."""
        total = sum(arm.weight for arm in self.arms)
        return tuple(arm.weight / total for arm in self.arms)


@dataclass(frozen=True)
class ExperimentsConfig:
    """All experiments that run at the same time."""

    experiments: tuple[ExperimentConfig, ...] = ()
    holdout: float = 0.0
    """Share of viewers kept out of every experiment."""
    holdout_set: tuple[str, ...] = (
        "exploration.kind=epsilon_greedy", "exploration.epsilon=1.0", "exploration.pool=100000", "exploration.slots=[]",
        "exploration.daily_cap=0", "most_clickbait=1.0",
    )  # fmt: skip
    """Overrides of the serving config for them: by default every slot goes to any candidate by chance, whatever the ranker
    thinks, and no predicted label hides a video, save in kids mode. Candidates are still what retrieval finds."""
    holdout_salt: str = "holdout"
    """Decides who they are."""
    shadow: str = ""
    """Release, an id or a pointer, that answers recorded requests too, after the page has gone out; none when empty."""
    record: float = 0.01
    """Share of requests whose candidates and scores are written down (`serving.counterfactual`)."""

    def __post_init__(self) -> None:
        if not 0 <= self.holdout < 1:
            raise ConfigError(f"holdout must be at least 0 and below 1, got {self.holdout}")
        if not 0 <= self.record <= 1:
            raise ConfigError(f"record must be between 0 and 1, got {self.record}")
        _require_distinct("experiments", [experiment.name for experiment in self.experiments])
        for layer in {experiment.layer for experiment in self.experiments}:
            inside = sorted((e for e in self.experiments if e.layer == layer), key=lambda e: e.segment)
            for before, after in pairwise(inside):
                if after.segment[0] < before.segment[1]:
                    raise ConfigError(
                        f"'{before.name}' and '{after.name}' overlap in layer '{layer}'; give them other segments"
                    )
        layers = sorted({experiment.layer for experiment in self.experiments if experiment.releases})
        if len(layers) > 1:
            raise ConfigError(f"layers {' and '.join(layers)} both choose releases, and a page comes from one; use one layer")
        merged = sorted({experiment.layer for experiment in self.experiments if experiment.interleaving})
        if len(merged) > 1:
            raise ConfigError(f"layers {' and '.join(merged)} both interleave, and a page is merged once; use one layer")

    @property
    def releases(self) -> tuple[str, ...]:
        """Releases besides the live one that a server of these experiments must hold."""
        arms = [name for experiment in self.experiments for name in experiment.releases]
        return tuple(dict.fromkeys([*arms, *([self.shadow] if self.shadow else [])]))

    def named(self, name: str | None) -> ExperimentConfig:
        """The experiment `name`; the only one when None.

        Raises:
            ConfigError: there is none, or more than one to choose from.
        """
        known = ", ".join(experiment.name for experiment in self.experiments) or "none"
        found = [experiment for experiment in self.experiments if name in (None, experiment.name)]
        if len(found) != 1:
            raise ConfigError(f"name one experiment with --experiment; the file has: {known}")
        return found[0]


def load(path: Path) -> ExperimentsConfig:
    """Read and check a file.

    Raises:
        BadInput: it cannot be read.
        ConfigError: an unknown key, a missing one, or a value that cannot work; says which.
    """
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    try:
        return config.from_dict(ExperimentsConfig, values)
    except TypeError as error:  # a required key, such as a name, is absent
        raise ConfigError(f"{path}: {error}") from error


def _require_distinct(what: str, names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(f"{what} must have different names; repeated: {', '.join(repeated)}")
