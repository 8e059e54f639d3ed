"""Canaries that never happened: how often a harmless candidate is halted, how soon a bad one, and how many viewers met it.

A population of viewers, each with a click rate of their own (Beta) and a chance of coming on a day; the real assignment decides
who gets the candidate. Pages, clicks, seconds and dislikes of a day are drawn, a look is taken at the end of every day, and
`canary.advance` decides. The candidate multiplies the click rate and the seconds per click by factors that are known.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core import rng
from core.clock import DAY_MS
from core.errors import ConfigError
from experiments import assignment
from experiments.canary import CanaryConfig, CanaryState, Phase, advance
from experiments.effects import Floats
from experiments.panel import Ints, Panel


@dataclass(frozen=True)
class RehearsalConfig:
    """Many canaries of the same candidate."""

    runs: int = 200
    """How many."""
    viewers: int = 20_000
    """Who may come."""
    daily: float = 0.35
    """Chance that a viewer comes on a day."""
    impressions: float = 20.0
    """Mean of a viewer's day."""
    click_rate: float = 0.1
    """Mean over viewers."""
    correlation: float = 0.05
    """Between impressions of one viewer."""
    watch_s: float = 120.0
    """Mean seconds per click."""
    dislike_rate: float = 0.002
    """Per impression."""
    click_factor: float = 1.0
    """What the candidate does to click rates; 1 is an A/A canary."""
    watch_factor: float = 1.0
    """What it does to the seconds per click."""
    days: int = 60
    """After which a run counts as unfinished."""
    seed: int = 1
    canary: CanaryConfig = field(default_factory=CanaryConfig)

    def __post_init__(self) -> None:
        if self.runs < 1 or self.viewers < 100 or not (0 < self.click_rate < 1 and 0 < self.correlation < 1):
            raise ConfigError("a rehearsal needs a run, a hundred viewers, and rates between 0 and 1")


@dataclass(frozen=True)
class Rehearsed:
    """How one canary ended."""

    phase: str
    step: int
    days: int
    exposure: float
    """Share of all viewer-days until then that were the candidate's."""
    met: int
    """Viewers who met the candidate."""
    reason: str
    """Of the last look."""


@dataclass(frozen=True)
class Rehearsal:
    """How they all ended."""

    runs: tuple[Rehearsed, ...]

    def share(self, phase: str) -> float:
        """Share of runs that ended so."""
        return float(np.mean([run.phase == phase for run in self.runs]))

    def mean(self, what: str) -> float:
        """Mean of a field over the runs."""
        return float(np.mean([getattr(run, what) for run in self.runs]))

    def to_json(self) -> dict[str, float | int]:
        """Plain values."""
        shares = {phase.value: self.share(phase) for phase in (Phase.ARRIVED, Phase.HALTED, Phase.RUNNING)}
        return {"runs": len(self.runs), **shares, **{f"mean_{name}": self.mean(name) for name in ("days", "exposure", "met")}}


def rehearse(config: RehearsalConfig, advance_to: Callable[[float, str], None] | None = None) -> Rehearsal:
    """Run them all."""
    found = []
    for number in range(config.runs):
        found.append(_run(config, number))
        if advance_to is not None:
            advance_to((number + 1) / config.runs, f"{number + 1:,} of {config.runs:,} canaries")
    return Rehearsal(tuple(found))


def _run(config: RehearsalConfig, number: int) -> Rehearsed:
    random, strength = rng.stream(config.seed, "canary rehearsal", number), 1 / config.correlation - 1
    rate = random.beta(config.click_rate * strength, (1 - config.click_rate) * strength, config.viewers)
    place = assignment.units(f"arm\x1frehearsal {config.seed} {number}", np.arange(config.viewers))
    state = CanaryState("candidate", "live", config.canary)
    sums, step, first, served, met = _nothing(config), 0, 0, [0, 0], np.zeros(config.viewers, dtype=bool)
    for day in range(config.days):
        if state.step != step:
            sums, step, first = _nothing(config), state.step, day
        arm = (place >= 1 - state.share).astype(np.int64)
        today = random.random(config.viewers) < config.daily
        _add_day(sums, today, arm, rate, config, random)
        served = [served[code] + int((today & (arm == code)).sum()) for code in (0, 1)]
        met |= today & (arm == 1)
        state = advance(state, _panel(sums, arm, first, day), day * DAY_MS)
        if state.phase != Phase.RUNNING:
            break
    return Rehearsed(state.phase, state.step, day + 1, served[1] / sum(served), int(met.sum()), state.reason)


def _nothing(config: RehearsalConfig) -> dict[str, Floats]:
    return {name: np.zeros(config.viewers) for name in ("impressions", "clicks", "watch_s", "dislikes")}


def _add_day(
    sums: dict[str, Floats],
    today: NDArray[np.bool_],
    arm: Ints,
    rate: Floats,
    config: RehearsalConfig,
    random: np.random.Generator,
) -> None:
    """Add what the viewers of `today` do."""
    click_factor, watch_factor = (np.where(arm == 1, factor, 1.0) for factor in (config.click_factor, config.watch_factor))
    shown: Ints = today * (1 + random.poisson(config.impressions - 1, config.viewers))
    clicks = random.binomial(shown, np.minimum(rate * click_factor, 1.0))
    sums["impressions"] += shown
    sums["clicks"] += clicks
    sums["watch_s"] += random.gamma(np.maximum(clicks, 1e-9), config.watch_s * watch_factor)  # a sum of exponential lengths
    sums["dislikes"] += random.binomial(shown, config.dislike_rate)


def _panel(sums: dict[str, Floats], arm: Ints, first: int, today: int) -> Panel | None:
    """Everybody who came since the step began, one row each; the first row is dated to the step's first day."""
    seen = np.flatnonzero(sums["impressions"])
    arms = arm[seen].astype(np.int64)
    if len(np.unique(arms)) < 2:
        return None
    dated = np.full(len(seen), today)
    dated[0] = first
    columns = {name: values[seen] for name, values in sums.items()}
    return Panel(("control", "canary"), arms, np.arange(len(seen)), dated, np.ones(len(seen), dtype=bool), columns)
