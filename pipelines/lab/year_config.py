"""What a simulated year is made of: its world, its three ways to run a recommender, and what goes wrong in which week.

    system     every week: data checks → train until a day before now → gates on that day → canary → promotion; every day: the
               monitor looks and acts
    blind      every week: train, serve it; nobody looks
    frozen     the first release for the whole year; uploads join its catalogue as `serving.fresh_videos` lets them

Faults of the world (`data.world.config.FaultKind`) happen to all three alike. Two kinds are of a release and happen to whoever
trains in that week: `BAD_TRAINING` books the training clicks to other viewers, `BAD_SERVING` is a sound model whose store
answers with somebody else's features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from core import config as configs
from core.errors import BadInput, ConfigError
from data.world.config import Fault, FaultKind
from experiments.canary import CanaryConfig, StepConfig
from experiments.config import MetricConfig
from pipelines.gates.gates import GatesConfig
from pipelines.lab import config as lab_config
from pipelines.lab.config import WEEK_DAYS, LabConfig

SYSTEM, BLIND, FROZEN = "system", "blind", "frozen"
ARMS = (SYSTEM, BLIND, FROZEN)
BAD_TRAINING, BAD_SERVING = "bad_training", "bad_serving"
OF_A_RELEASE = (BAD_TRAINING, BAD_SERVING)


@dataclass(frozen=True)
class YearFault:
    """Something that goes wrong."""

    kind: str
    """A FaultKind, or one of `OF_A_RELEASE`."""
    week: int
    """Week in which it begins, from 1; of a release, the week at whose end it is trained."""
    day: int = 0
    """Day of that week, from 0."""
    days: int = WEEK_DAYS
    """How long it lasts; a release is broken until another one serves."""
    share: float = 1.0
    """See `data.world.config.Fault`."""

    def __post_init__(self) -> None:
        if self.kind not in {*FaultKind, *OF_A_RELEASE}:
            raise ConfigError(f"no such fault: '{self.kind}'; known: {', '.join([*FaultKind, *OF_A_RELEASE])}")
        if self.week < 1 or not 0 <= self.day < WEEK_DAYS or self.days < 1:
            raise ConfigError("a fault begins in week 1 or later, on day 0 to 6, and lasts a day at least")


@dataclass(frozen=True)
class YearConfig:
    """Everything that decides what a year is like, but for how many weeks and seeds are lived."""

    lab: LabConfig
    """World, models, and how training looks back."""
    faults: tuple[YearFault, ...] = ()
    """In any order."""
    gates: GatesConfig = field(default_factory=GatesConfig)
    """Bounds; which gates are asked: `pipelines.lab.year_gates`. Baselines would be tuned anew every week, latency would
    differ between machines, slices, fairness and shadow need more viewers than there are."""
    canary: CanaryConfig = field(default_factory=lambda: CanaryConfig(steps=(StepConfig(0.5, 2, 40),)))
    """Share and days of its only step, and what may not get worse; see `pipelines.lab.year_canary`."""
    log_days: int = 56
    """Days of log that are kept whole, and that training looks back on; clicks and follows are kept for ever."""
    ranker_days: int = 21
    """Days of it, the last ones, that the ranker learns from; the features of its first day look a month further back."""

    def __post_init__(self) -> None:
        if not 0 < self.ranker_days <= self.log_days:
            raise ConfigError(f"the ranker learns from {self.ranker_days} days, the log keeps {self.log_days}")
        if len(self.canary.steps) != 1 or self.canary.steps[0].days >= WEEK_DAYS:
            raise ConfigError("the canary of a year has one step of less than a week")
        if self.lab.run.world.faults:
            raise ConfigError("faults of a year go into its own list, so that they can be told week by week")

    @property
    def world(self) -> LabConfig:
        """The laboratory whose world has the year's faults."""
        first = self.lab.history_days
        found = tuple(
            Fault(fault.kind, begin, begin + fault.days, fault.share)
            for fault in self.faults
            if fault.kind not in OF_A_RELEASE
            for begin in (first + WEEK_DAYS * (fault.week - 1) + fault.day,)
        )
        run = self.lab.run
        return replace(self.lab, run=replace(run, world=replace(run.world, faults=found)))

    @property
    def a_day_earlier(self) -> LabConfig:
        """The same laboratory with weeks that end a day before they do, for training that leaves the last day to the gates."""
        return replace(self.world, history_days=self.lab.history_days - 1)

    def broken(self, kind: str, week: int) -> bool:
        """Whether the release trained at the end of a week has this fault."""
        return any(fault.kind == kind and fault.week == week for fault in self.faults)


def year() -> YearConfig:
    """52 weeks of about 1,100 pages."""
    whole, days = lab_config.lab(), 14 + 52 * WEEK_DAYS
    world = replace(
        whole.run.world,
        name="world-year",
        num_viewers=1_000,
        num_videos=4_000,
        num_channels=120,
        days=days,
        impressions=1_500 * days,
    )
    faults = (
        YearFault(BAD_SERVING, week=3),
        YearFault(BAD_TRAINING, week=6),
        YearFault(FaultKind.UNIT_CHANGE, week=9, day=1, days=6),
        YearFault(FaultKind.SEASONAL_SHIFT, week=12, days=10),
        YearFault(FaultKind.TASTE_FLIP, week=15, day=2, days=38 * WEEK_DAYS, share=0.5),
        YearFault(FaultKind.NULL_FEATURE, week=18, day=1, days=6),
        YearFault(BAD_SERVING, week=21),
        YearFault(FaultKind.BOT_TRAFFIC, week=25, day=1, days=4, share=0.01),
        YearFault(BAD_TRAINING, week=30),
        YearFault(FaultKind.UNIT_CHANGE, week=35, day=3, days=4),
        YearFault(BAD_SERVING, week=40),
        YearFault(FaultKind.NULL_FEATURE, week=45, day=1, days=6),
        YearFault(FaultKind.SEASONAL_SHIFT, week=50, days=14),
    )
    # Wider than in production: so small a log calibrates no better than this.
    gates = GatesConfig(max_ece=0.1, ece_margin=0.05, watch_bias=1.0, min_rows=300)
    # Seconds are what is wanted, and noisy; clicks are seen sooner, but fewer of them on longer videos is no harm.
    watched = MetricConfig("watched", "watch_s", "impressions", margin=0.05)
    ctr = MetricConfig("ctr", "clicks", "impressions", margin=0.2)
    canary = CanaryConfig(steps=(StepConfig(0.5, 2, 40),), guardrails=(ctr, watched), planned_viewers=300, max_days=4)
    return YearConfig(replace(whole, run=replace(whole.run, world=world), sample=0), faults, gates, canary=canary)


def tiny() -> YearConfig:
    """Seconds a week, for tests: too small to say anything."""
    whole = lab_config.tiny()
    world = replace(whole.run.world, name="world-year-tiny", days=42, impressions=16_000)
    faults = (YearFault(FaultKind.UNIT_CHANGE, week=2, days=3), YearFault(BAD_SERVING, week=1), YearFault(BAD_TRAINING, week=3))
    ctr = MetricConfig("ctr", "clicks", "impressions", margin=0.5)
    canary = CanaryConfig(steps=(StepConfig(0.4, 1, 5),), guardrails=(ctr,), max_days=3)
    gates = GatesConfig(max_ece=0.5, ece_margin=0.5, watch_bias=3.0)
    return YearConfig(replace(whole, run=replace(whole.run, world=world), sample=0), faults, gates, canary=canary)


PRESETS = {"year": year, "tiny": tiny}


def configure(preset: str, overrides: Sequence[str]) -> YearConfig:
    """A preset with `section.key=value` overrides.

    Raises:
        ConfigError: no such preset, or an unknown key.
    """
    return configs.preset(PRESETS, preset, overrides)


def arms(names: Sequence[str]) -> list[str]:
    """Ways to run a recommender, checked.

    Raises:
        BadInput: an unknown one.
    """
    for name in names:
        if name not in ARMS:
            raise BadInput(f"there is no arm '{name}'; known: {', '.join(ARMS)}")
    return list(dict.fromkeys(names))
