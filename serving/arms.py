"""Which recommender a request gets: one per combination of arms, over the live release or over a challenger.

An arm overrides the serving config, and may name another release. Arms of one release share its catalogue, index, models and
online state; a challenger has its own of all these, and its own serving config to begin with. Where an experiment interleaves,
both its arms are asked and their pages merged. What the log calls the arm is on the slate. Knows nothing of hashing or of
analysis.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from core import config as configs
from core.errors import ConfigError, ReleaseRefused
from core.policy import Request, Slate
from experiments.assignment import Assigner, Treatment
from experiments.config import ExperimentsConfig
from features.breaker import Breaker
from serving import interleaved
from serving.config import ServingConfig
from serving.recommender import Recommender

Variant = tuple[str, tuple[str, ...]]
"""A release as arms call it ("" is the live one), and overrides of its serving config."""


@dataclass(frozen=True)
class Base:
    """A release that arms can be served from."""

    config: ServingConfig
    """What arms override."""
    build: Callable[[ServingConfig], Recommender]
    """The recommender under a config."""

    @property
    def usual(self) -> Recommender:
        """What decides everybody's pages while nothing is tried."""
        return self.build(self.config)


class ArmRecommender:
    """The production policy (`core.policy.Policy`) while experiments run. Safe for many threads."""

    def __init__(
        self,
        experiments: ExperimentsConfig,
        live: Base,
        challengers: Mapping[str, Base] | None = None,
        met: Mapping[str, Mapping[int, str]] | None = None,
    ) -> None:
        """Check every arm.

        Args:
            experiments: who gets what.
            live: serves every arm that names no release.
            challengers: by what arms call them.
            met: experiment → viewer → the arm that the viewer keeps; see `serving.met`.

        Raises:
            ReleaseRefused: an arm overrides something that does not exist, or names a release that is not here.
        """
        self._assigner, self._bases = Assigner(experiments, met), {"": live, **(challengers or {})}
        missing = sorted(set(experiments.releases) - set(self._bases))
        if missing:
            raise ReleaseRefused(f"the experiments cannot run: an arm serves release '{missing[0]}', which is not loaded")
        arms = [(arm.release, arm.set) for each in experiments.experiments for arm in each.arms]
        try:
            for release, overrides in [("", experiments.holdout_set), *arms]:
                configs.override(self._bases[release].config, overrides)
        except ConfigError as error:
            raise ReleaseRefused(f"the experiments cannot run: {error}") from error
        self._variants: dict[Variant, Recommender] = {}

    @property
    def breakers(self) -> Mapping[str, Breaker]:
        """Of all variants; of those with the same name, an open one."""
        found = [one for variant in list(self._variants.values()) for one in variant.breakers.items()]
        return dict(sorted(found, key=lambda one: one[1].is_open))

    def recommend(self, requests: Sequence[Request], *, explain: bool = False) -> list[Slate]:
        """One slate per request, in order; requests with the same arms are decided together."""
        treatments = [self._treat(request) for request in requests]
        asked: dict[Variant, list[int]] = {}
        for i, treatment in enumerate(treatments):
            for variant in _variants(treatment):
                asked.setdefault(variant, []).append(i)
        answers: dict[tuple[Variant, int], Slate] = {}
        for variant, members in asked.items():
            slates = self._variant(variant).recommend([requests[i] for i in members], explain=explain)
            answers |= {(variant, i): slate for i, slate in zip(members, slates, strict=True)}
        return [
            _page(treatment, requests[i], [answers[variant, i] for variant in _variants(treatment)])
            for i, treatment in enumerate(treatments)
        ]

    def of(self, request: Request) -> Recommender | None:
        """The one recommender behind the page of a request; None where two are."""
        variants = _variants(self._treat(request))
        return self._variant(variants[0]) if len(variants) == 1 else None

    def _treat(self, request: Request) -> Treatment:
        return self._assigner.treat([request.viewer_id], request.surface)[0]

    def _variant(self, variant: Variant) -> Recommender:
        found = self._variants.get(variant)
        if found is None:  # two threads may both build it; either result will do
            release, overrides = variant
            base = self._bases[release]
            found = self._variants[variant] = base.build(configs.override(base.config, overrides))
        return found


def _variants(treatment: Treatment) -> list[Variant]:
    if treatment.duel is None:
        return [(treatment.release, treatment.set)]
    return [(arm.release or treatment.release, (*treatment.set, *arm.set, *interleaved.GREEDY)) for arm in treatment.duel.arms]


def _page(treatment: Treatment, request: Request, slates: Sequence[Slate]) -> Slate:
    slate = slates[0] if treatment.duel is None else interleaved.merge(treatment.duel, request, slates)
    return replace(slate, arm=treatment.label)
