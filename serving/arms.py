"""Which recommender a request gets: one per combination of arms, all over the same release.

An arm is a set of overrides of the serving config, so arms share the catalogue, the index, the models and the online state.
What the log calls the arm is on the slate. Knows nothing of hashing or analysis.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from core import config as configs
from core.errors import ConfigError, ReleaseRefused
from core.policy import Request, Slate
from experiments.assignment import Assigner, Treatment
from experiments.config import ExperimentsConfig
from serving.config import ServingConfig
from serving.recommender import Recommender


class ArmRecommender:
    """The production policy (`core.policy.Policy`) while experiments run. Safe for many threads."""

    def __init__(
        self, experiments: ExperimentsConfig, config: ServingConfig, build: Callable[[ServingConfig], Recommender]
    ) -> None:
        """Check every arm.

        Args:
            experiments: who gets what.
            config: what arms override.
            build: a recommender under another config; called once per combination of arms that occurs.

        Raises:
            ReleaseRefused: an arm overrides something that does not exist.
        """
        self._assigner, self._config, self._build = Assigner(experiments), config, build
        try:
            for overrides in (experiments.holdout_set, *(arm.set for each in experiments.experiments for arm in each.arms)):
                configs.override(config, overrides)
        except ConfigError as error:
            raise ReleaseRefused(f"the experiments cannot run: {error}") from error
        self._variants: dict[tuple[str, ...], Recommender] = {}

    def recommend(self, requests: Sequence[Request], *, explain: bool = False) -> list[Slate]:
        """One slate per request, in order; requests with the same arms are decided together."""
        treatments = [self._assigner.treat([request.viewer_id], request.surface)[0] for request in requests]
        groups: dict[tuple[str, ...], list[int]] = {}
        for i, treatment in enumerate(treatments):
            groups.setdefault(treatment.set, []).append(i)
        slates: dict[int, Slate] = {}
        for overrides, members in groups.items():
            answers = self._variant(overrides).recommend([requests[i] for i in members], explain=explain)
            slates |= {i: _labelled(slate, treatments[i]) for i, slate in zip(members, answers, strict=True)}
        return [slates[i] for i in range(len(requests))]

    def _variant(self, overrides: tuple[str, ...]) -> Recommender:
        found = self._variants.get(overrides)
        if found is None:  # two threads may both build it; either result will do
            found = self._variants[overrides] = self._build(configs.override(self._config, overrides))
        return found


def _labelled(slate: Slate, treatment: Treatment) -> Slate:
    return replace(slate, arm=treatment.label)
