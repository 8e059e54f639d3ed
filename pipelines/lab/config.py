"""What a laboratory run is made of, as one frozen config: its world, its models, and the policies that compete.

The world goes on for `world.days`: viewers change their tastes and channels upload all the time. The first `history_days` are a
log by the old policy; every policy starts from the same release trained on it. Then weeks follow, up to the world's end: a run
may stop early and be continued later without starting anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from core import config as configs
from core.clock import DAY_MS
from core.errors import ConfigError
from data.world.config import WorldConfig
from pipelines.presets import ListConfig, RunConfig
from ranking.config import RankerConfig, RerankConfig
from retrieval.config import TwoTowerConfig
from serving.config import ExplorationConfig, ServingConfig, SourceQuotas

WEEK_DAYS = 7


@dataclass(frozen=True)
class Arm:
    """One way to serve and to learn from what was served."""

    name: str
    epsilon: float = 0.0
    """Probability that a slot is drawn from the explorer's pool."""
    thompson: Literal["", "beta", "topics", "linear", "served"] = ""
    """Order by samples of what each video's click rate may be, as `pipelines.lab.spreads` has it: per video, per topic, or
    linear over video vectors; or as `serving.thompson` has it."""
    holdout: float = 0.0
    """Share of pages filled by chance alone; above 0, models learn from these pages only."""
    corrected: bool = False
    """The ranker sees rows drawn in proportion to 1 / propensity."""


ARMS = {
    arm.name: arm
    for arm in (
        Arm("none"),
        Arm("epsilon", epsilon=0.1),
        Arm("thompson", thompson="beta"),
        Arm("holdout", holdout=0.1),
        Arm("ips", epsilon=0.1, corrected=True),
        Arm("topics", thompson="topics"),
        Arm("linear", thompson="linear"),
        Arm("served", thompson="served"),
    )
}


@dataclass(frozen=True)
class LabConfig:
    """Everything that decides what a run produces, but for how many weeks, seeds and policies it has."""

    run: RunConfig
    history_days: int = 14
    """Days of the log that everybody starts from."""
    remember_days: int = 35
    """Days of log that training looks back on for features."""
    click_days: int = 14
    """Days of clicks that the towers learn from, each week anew; a week is the ranker's."""
    sample: int = 200
    """Pages a week on which the best possible and the greedy page are computed, too."""
    shortlist: int = 30
    """Candidates that Thompson sampling orders: the best by utility."""
    thompson_epsilon: float = 0.02
    """Share of slots under Thompson sampling that are drawn evenly."""
    prior_shows: float = 20.0
    """Impressions that the prior of a video's click rate is worth."""
    max_weight: float = 10.0
    """Most that a row counts for the corrected arm, where 1 is a row of propensity 1."""
    found_clicks: int = 3
    """Clicks from which on a new video was found."""
    audience_share: float = 0.1
    """A channel lives while it gets at least this share of an equal share of impressions."""

    def __post_init__(self) -> None:
        if self.run.world.days < self.history_days + WEEK_DAYS:
            raise ConfigError(f"a world of {self.run.world.days} days has no week after {self.history_days} days of history")

    @property
    def max_weeks(self) -> int:
        """Weeks until the world ends."""
        return (self.run.world.days - self.history_days) // WEEK_DAYS

    def starts_at(self, week: int) -> int:
        """First instant of a week, counted from 1."""
        return self.run.world.start_at + (self.history_days + WEEK_DAYS * (week - 1)) * DAY_MS

    def of_seed(self, seed: int) -> RunConfig:
        """The run of one seed: another world, other draws everywhere."""
        world = replace(self.run.world, seed=self.run.world.seed + seed)
        towers, ranker = replace(self.run.towers, seed=seed), replace(self.run.ranker, seed=seed)
        return replace(self.run, seed=seed, world=world, towers=towers, ranker=ranker)


def _serving() -> ServingConfig:
    """No re-ranking, so that nothing but the policies holds the loop back; exploration is each arm's own."""
    return ServingConfig(
        num_candidates=150,
        quotas=SourceQuotas(two_tower=90, cowatch=20, trending=20, fresh=20),
        seen_margin=100,
        refresh_s=3_600.0,
        exploration=ExplorationConfig(epsilon=0.0, pool=100),
        rerank=RerankConfig(diversity=0.0, channel_cap=0),
    )


def lab() -> LabConfig:
    """Five policies, three seeds and eight weeks in minutes."""
    world = WorldConfig(
        name="world-loop",
        num_viewers=2_000,
        num_videos=4_000,
        num_channels=200,
        impressions=350_000,
        days=98,
        backlog_share=0.3,
        joining_share=0.0,
        drifting_share=0.5,
    )
    ranker = RankerConfig(
        video_dim=8, code_dim=4, cross_layers=1, cross_rank=16, hidden=(64, 32), head_hidden=16, max_epochs=2, min_positives=20
    )
    run = RunConfig(
        "loop",
        world=world,
        towers=TwoTowerConfig(dim=32, hidden=(64,), batch_size=512, uniform_negatives=512, epochs=6),
        continue_epochs=2,
        lists=ListConfig(negatives=20, depth=150, max_lists=5_000),
        ranker=ranker,
        serving=_serving(),
    )
    return LabConfig(run)


def tiny() -> LabConfig:
    """Seconds a week, for tests: too small to say anything."""
    world = WorldConfig(
        name="world-loop-tiny", num_viewers=150, num_videos=300, num_channels=20, impressions=5_000, days=28, backlog_share=0.4
    )
    whole = lab()
    ranker = replace(whole.run.ranker, hidden=(16,), head_hidden=4, cross_rank=4, max_epochs=1, min_positives=5)
    towers = replace(whole.run.towers, dim=8, hidden=(16,), epochs=2, batch_size=128, uniform_negatives=64)
    serving = replace(whole.run.serving, num_candidates=60, quotas=SourceQuotas(30, 10, 10, 10))
    lists = ListConfig(negatives=8, depth=60, max_lists=300)
    run = replace(whole.run, name="loop-tiny", world=world, towers=towers, ranker=ranker, serving=serving, lists=lists)
    return LabConfig(replace(run, continue_epochs=1), sample=10, shortlist=20)


PRESETS = {"lab": lab, "tiny": tiny}


def configure(preset: str, overrides: Sequence[str]) -> LabConfig:
    """A preset with `section.key=value` overrides.

    Raises:
        ConfigError: no such preset, or an unknown key.
    """
    return configs.preset(PRESETS, preset, overrides)


def arms(names: Sequence[str]) -> list[Arm]:
    """Policies by name.

    Raises:
        ConfigError: an unknown one.
    """
    for name in names:
        if name not in ARMS:
            raise ConfigError(f"there is no policy '{name}'; known: {', '.join(ARMS)}")
    return [ARMS[name] for name in names]
