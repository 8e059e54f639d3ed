"""The loop that bites its tail: a spam filter does not see what it blocks, forgets why, and lets it in again.

A small model on the world's truth. Every week each channel uploads; viewers who open an upload say whether they regret it. The
filter keeps a reputation per channel, the regret rate over the weeks it looks back, shrunk towards the rate of all it saw:

    reputation_c = (Σ weight · regretted + m · prior) / (Σ weight + m)   over opened uploads of c,  weight = 1 / P(seen)

and blocks the uploads of channels above a threshold. Each week a few channels change hands and upload what another one used
to. On the same uploads and the same viewers:

    forgetting    looks back `memory_weeks`: a blocked channel has no data, falls back to the prior, and is let in again
    remembering   looks back for ever: what is blocked stays blocked, also after the channel changed hands
    holdout h     looks back `memory_weeks`, and a share h of viewers sees blocked uploads all the same, weighted by 1 / h

A channel is bad while the true regret rate of what it uploads is at least `margin` above the threshold, good while it is as
much below; between them it is a matter of taste. Knows nothing of rankers; viewers are the world's average ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import rng
from core.inference import t_interval
from data.world.config import WorldConfig
from data.world.world import World
from pipelines.lab import measures
from pipelines.lab.report import told
from pipelines.progress import Stage

Floats = NDArray[np.float64]
MEASURES = {
    "bad_seen": "share of the openings of bad channels' uploads that happen",
    "good_blocked": "share of the openings of good channels' uploads that do not",
    "regretted_s": "regretted seconds per upload and average viewer",
    "satisfied_s": "satisfied seconds per upload and average viewer",
}


@dataclass(frozen=True)
class Filter:
    """What one filter does differently."""

    name: str
    forgets: bool = True
    holdout: float = 0.0
    """Share of viewers who see what is blocked."""


def _world() -> WorldConfig:
    return WorldConfig(name="world-filter", num_viewers=500, num_videos=3_000, num_channels=150, impressions=20_000)


@dataclass(frozen=True)
class FilterConfig:
    """One comparison of filters."""

    world: WorldConfig = field(default_factory=_world)
    weeks: int = 24
    uploads: int = 6
    """Of each channel, every week."""
    openings: int = 20
    """Of every upload, by viewers who are not stopped; each may be regretted."""
    threshold: float = 0.25
    """Reputation above which a channel is blocked."""
    margin: float = 0.1
    """Distance from the threshold from which on a channel is clearly bad, or clearly good."""
    memory_weeks: int = 4
    """Weeks that a forgetting filter looks back."""
    prior: float = 20.0
    """Openings that the prior is worth."""
    holdouts: tuple[float, ...] = (0.02, 0.1)
    """Shares that are compared."""
    turnover: float = 0.02
    """Share of channels that change hands, each week."""

    @property
    def filters(self) -> tuple[Filter, ...]:
        """All that are compared."""
        held = (Filter(f"holdout {share:g}", holdout=share) for share in self.holdouts)
        return (Filter("forgetting"), Filter("remembering", forgets=False), *held)


@dataclass(frozen=True)
class Uploads:
    """A run's uploads: W weeks, C channels, U uploads each, O openings of each."""

    satisfied_WCU: Floats
    regretted_WCU: Floats
    """Expected seconds of an average viewer who is shown the upload."""
    regrets_WCUO: NDArray[np.bool_]
    bad_WC: NDArray[np.bool_]
    good_WC: NDArray[np.bool_]
    """Whether what the channel uploads is clearly bad, or clearly good."""


def uploads(config: FilterConfig, seed: int) -> Uploads:
    """What every filter of a seed meets: nothing here depends on the filter."""
    world = World(replace(config.world, seed=config.world.seed + seed))
    truth = measures.appeal(world, np.arange(len(world.videos)), world.config.start_at)
    own = [np.flatnonzero(world.videos.channel == channel) for channel in np.unique(world.videos.channel)]
    rate = np.array([truth.regret[rows].mean() for rows in own])
    random = rng.stream(seed, "uploads")
    kind, videos, rates = np.arange(len(own)), [], []
    for _ in range(config.weeks):
        sold = random.random(len(own)) < config.turnover
        kind = np.where(sold, random.integers(0, len(own), len(own)), kind)
        videos.append([random.choice(own[k], config.uploads) for k in kind])
        rates.append(rate[kind] - config.threshold)
    rows, above_WC = np.array(videos), np.array(rates)
    regrets = random.random((*rows.shape, config.openings)) < truth.regret[rows][..., None]
    return Uploads(
        truth.satisfied_s[rows], truth.regretted_s[rows], regrets, above_WC >= config.margin, above_WC <= -config.margin
    )


def live(config: FilterConfig, found: Uploads, kind: Filter, seed: int) -> dict[str, Floats]:
    """One filter's weeks: [W] by measure, see MEASURES."""
    holdout_WCUO = rng.stream(seed, "filter holdout").random(found.regrets_WCUO.shape) < kind.holdout
    memory = config.memory_weeks if kind.forgets else config.weeks
    weight_WC, regrets_WC = np.zeros(found.bad_WC.shape), np.zeros(found.bad_WC.shape)
    seen_WCU = np.zeros(found.satisfied_WCU.shape)
    for week in range(config.weeks):
        since = slice(max(week - memory, 0), week)
        blocked = _reputation(config, regrets_WC[since], weight_WC[since]) > config.threshold
        seen_CUO = holdout_WCUO[week] | ~blocked[:, None, None]
        weight = np.where(blocked, 1.0 / max(kind.holdout, 1e-12), 1.0)
        weight_WC[week] = weight * seen_CUO.sum(axis=(1, 2))
        regrets_WC[week] = weight * (seen_CUO & found.regrets_WCUO[week]).sum(axis=(1, 2))
        seen_WCU[week] = seen_CUO.mean(axis=2)
    return {
        "bad_seen": _mean_where(seen_WCU.mean(axis=2), found.bad_WC),
        "good_blocked": _mean_where(1.0 - seen_WCU.mean(axis=2), found.good_WC),
        "regretted_s": (seen_WCU * found.regretted_WCU).mean(axis=(1, 2)),
        "satisfied_s": (seen_WCU * found.satisfied_WCU).mean(axis=(1, 2)),
    }


def compare(config: FilterConfig, seeds: Sequence[int], stage: Stage) -> dict[str, Any]:
    """All filters, by measure, each a mean over at least two seeds with a 95 % t interval.

    `curves`: every week. `later`: mean of the weeks after the first memory has ended. `against_forgetting`: the same, paired.
    `rebound`: share of bad openings in the first week after that, minus the week before.
    """
    runs: dict[str, list[dict[str, Floats]]] = {kind.name: [] for kind in config.filters}
    for number, seed in enumerate(seeds):
        found = uploads(config, seed)
        for kind in config.filters:
            runs[kind.name].append(live(config, found, kind, seed))
        stage.advance((number + 1) / len(seeds), f"{number + 1} of {len(seeds)} worlds")
    curves = {name: {m: np.stack([one[m] for one in found]) for m in MEASURES} for name, found in runs.items()}
    # Week 1 lets everybody in; what it taught is forgotten `memory_weeks` later.
    first = config.memory_weeks + 1
    later = {name: {m: curve_SW[:, first:].mean(axis=1) for m, curve_SW in c.items()} for name, c in curves.items()}
    base = later["forgetting"]
    result = {
        "names": list(runs),
        "seeds": len(seeds),
        "num_weeks": config.weeks,
        "measures": MEASURES,
        "curves": {
            n: {m: [t_interval(x).to_json() for x in curve_SW.T] for m, curve_SW in c.items()} for n, c in curves.items()
        },
        "later": {name: {m: t_interval(x).to_json() for m, x in c.items()} for name, c in later.items()},
        "against_forgetting": {
            name: {m: t_interval(x - base[m]).to_json() for m, x in c.items()} for name, c in later.items() if c is not base
        },
        "rebound": {n: t_interval(c["bad_seen"][:, first] - c["bad_seen"][:, first - 1]).to_json() for n, c in curves.items()},
    }
    return {**result, "lead": _lead(config, result)}


def _lead(config: FilterConfig, result: dict[str, Any]) -> list[str]:
    week = config.memory_weeks + 2
    sentences = [
        f"{result['seeds']} worlds; [95 % interval over worlds]. Week 1 lets everybody in; in week {week} a forgetting filter "
        "has no evidence left against what it blocks."
    ]
    for name in result["names"]:
        start = f"{name}: bad_seen changes by {told(result['rebound'][name], '+')} in week {week}; from then on, on average, "
        paired = result["against_forgetting"].get(name)
        average = ", ".join(f"{m} {told(value)}" for m, value in result["later"][name].items())
        against = ", ".join(f"{m} {told(value, '+')}" for m, value in (paired or {}).items())
        sentences.append(start + (f"against forgetting: {against}." if paired else f"{average}."))
    return sentences


def _reputation(config: FilterConfig, regrets_WC: Floats, weight_WC: Floats) -> Floats:
    """[C]; the prior is the rate of everything in memory, and half the threshold before there is anything."""
    regrets, seen, m = regrets_WC.sum(axis=0), weight_WC.sum(axis=0), config.prior
    prior = regrets.sum() / seen.sum() if seen.sum() > 0 else config.threshold / 2
    return np.asarray((regrets + m * prior) / (seen + m), dtype=np.float64)


def _mean_where(values_WC: Floats, where_WC: NDArray[np.bool_]) -> Floats:
    """[W] mean over the chosen channels; 0 in a week without any."""
    total, num = np.where(where_WC, values_WC, 0.0).sum(axis=1), where_WC.sum(axis=1)
    return np.asarray(total / np.maximum(num, 1), dtype=np.float64)
