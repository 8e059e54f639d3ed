"""Which recommender a request gets: one per combination of arms, over the live release or over a challenger.

An arm overrides the serving config, and may name another release. Arms of one release share its catalogue, index, models and
online state; a challenger has its own of all these, and its own serving config to begin with. What the log calls the arm is on
the slate. Knows nothing of hashing or analysis.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from core import config as configs
from core.errors import ConfigError, ReleaseRefused
from core.policy import Request, Slate
from experiments.assignment import Assigner, Treatment
from experiments.config import ExperimentsConfig
from serving.config import ServingConfig
from serving.recommender import Recommender


@dataclass(frozen=True)
class Base:
    """A release that arms can be served from."""

    config: ServingConfig
    """What arms override."""
    build: Callable[[ServingConfig], Recommender]
    """A recommender under another config; called once per combination of arms that occurs."""


class ArmRecommender:
    """The production policy (`core.policy.Policy`) while experiments run. Safe for many threads."""

    def __init__(self, experiments: ExperimentsConfig, live: Base, challengers: Mapping[str, Base] | None = None) -> None:
        """Check every arm.

        Args:
            experiments: who gets what.
            live: serves every arm that names no release.
            challengers: by what arms call them.

        Raises:
            ReleaseRefused: an arm overrides something that does not exist, or names a release that is not here.
        """
        self._assigner, self._bases = Assigner(experiments), {"": live, **(challengers or {})}
        missing = sorted(set(experiments.releases) - set(self._bases))
        if missing:
            raise ReleaseRefused(f"the experiments cannot run: an arm serves release '{missing[0]}', which is not loaded")
        arms = [(arm.release, arm.set) for each in experiments.experiments for arm in each.arms]
        try:
            for release, overrides in [("", experiments.holdout_set), *arms]:
                configs.override(self._bases[release].config, overrides)
        except ConfigError as error:
            raise ReleaseRefused(f"the experiments cannot run: {error}") from error
        self._variants: dict[tuple[str, tuple[str, ...]], Recommender] = {}

    def recommend(self, requests: Sequence[Request], *, explain: bool = False) -> list[Slate]:
        """One slate per request, in order; requests with the same arms are decided together."""
        treatments = [self._assigner.treat([request.viewer_id], request.surface)[0] for request in requests]
        groups: dict[tuple[str, tuple[str, ...]], list[int]] = {}
        for i, treatment in enumerate(treatments):
            groups.setdefault((treatment.release, treatment.set), []).append(i)
        slates: dict[int, Slate] = {}
        for variant, members in groups.items():
            answers = self._variant(*variant).recommend([requests[i] for i in members], explain=explain)
            slates |= {i: _labelled(slate, treatments[i]) for i, slate in zip(members, answers, strict=True)}
        return [slates[i] for i in range(len(requests))]

    def _variant(self, release: str, overrides: tuple[str, ...]) -> Recommender:
        found = self._variants.get((release, overrides))
        if found is None:  # two threads may both build it; either result will do
            base = self._bases[release]
            found = self._variants[release, overrides] = base.build(configs.override(base.config, overrides))
        return found


def _labelled(slate: Slate, treatment: Treatment) -> Slate:
    return replace(slate, arm=treatment.label)
