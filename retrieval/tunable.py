"""Which baselines a log allows, and which of their settings are tuned over which values.

Tuned simple models beat most published ones (Ferrari Dacrema et al., RecSys 2019), so each gets the same number of trials: a
grid of twelve settings. Settings that differ only in `decay`, which varies fastest, share one fit. The ranges of iALS lie
around what Rendle et al. (RecSys 2022) recommend.
"""

from dataclasses import dataclass, field, replace

from core.clock import DAY_MS
from core.space import Range, Settings, Space
from retrieval.baselines import Baseline, Popularity, RecentPopularity
from retrieval.factorisation import Ials
from retrieval.neighbours import Ease, ItemKnn, Markov

_DECAYS = (1.0, 0.9, 0.8, 0.6)
_SMALL_IALS: Settings = {"dim": 64, "sweeps": 8}


@dataclass(frozen=True)
class Tunable:
    """A baseline with the space that its settings are chosen from; an empty space leaves nothing to choose."""

    default: Baseline
    space: Space = field(default_factory=dict)
    cheaper: Settings = field(default_factory=dict)
    """What is different while tuning, to save time; what is chosen is fitted without it."""

    def trial(self, settings: Settings) -> Baseline:
        """The baseline to be tried with these settings."""
        return replace(self.default, **{**self.cheaper, **settings})  # type: ignore[type-var]

    def chosen(self, settings: Settings) -> Baseline:
        """The baseline to be fitted when these settings have won."""
        return replace(self.default, **settings)  # type: ignore[type-var]


def tunables(*, timed: bool = True, ordered: bool = True, max_ease_videos: int = 8_000) -> dict[str, Tunable]:
    """Every baseline that the log allows, by name.

    `timed`: instants are real times, comparable across viewers. `ordered`: a viewer's interactions have an order. A model
    that needs what the log lacks is absent.
    """
    found = [Tunable(Popularity())]
    if timed:
        half_life = Range(0.25 * DAY_MS, 480 * DAY_MS, log=True, points=12)
        found.append(Tunable(RecentPopularity(), {"half_life_ms": half_life}))
    found += _sequential(max_ease_videos) if ordered else _unordered(max_ease_videos)
    return {tunable.default.name: tunable for tunable in found}


def _sequential(max_ease_videos: int) -> list[Tunable]:
    return [
        Tunable(Markov(), {"window": (1, 3, 8), "decay": (0.5, 0.7, 0.8, 0.9)}),
        Tunable(Ease(max_videos=max_ease_videos), {"l2": Range(200, 3_200, log=True, points=3), "decay": _DECAYS}),
        Tunable(Ials(), {"l2": Range(0.003, 0.012, log=True, points=3), "decay": _DECAYS}, _SMALL_IALS),
        Tunable(ItemKnn(), {"neighbours": Range(20, 320, log=True, whole=True, points=3), "decay": _DECAYS}),
    ]


def _unordered(max_ease_videos: int) -> list[Tunable]:
    """Without order a decay means nothing."""
    return [
        Tunable(Ease(max_videos=max_ease_videos, decay=1.0), {"l2": Range(20, 8_000, log=True, points=12)}),
        Tunable(Ials(decay=1.0), {"alpha": (4.0, 10.0, 25.0), "l2": Range(0.002, 0.016, log=True, points=4)}, _SMALL_IALS),
        Tunable(ItemKnn(decay=1.0), {"neighbours": (10, 20, 50, 200), "shrinkage": (0.0, 10.0, 100.0)}),
    ]
