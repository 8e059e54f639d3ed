"""Requests in kids mode go to a recommender that shows nothing else; all others to the policy that everybody has.

Kids mode is the release's own recommender with a bound on p(kids) (`ServingConfig.kids_mode`), and with wider sources, as most
of what they find is taken away. No experiment, exploration or second ranking takes part in it. A release without labels has
nothing for kids: its pages are empty and say so.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from core.policy import Request, Slate
from serving.config import ServingConfig, SourceQuotas

_WIDER = 4


class Explains(Protocol):
    """`core.policy.Policy` that can also say why."""

    def recommend(self, requests: Sequence[Request], *, explain: bool = False) -> list[Slate]:
        """One slate per request, in order."""
        ...


def config_for_kids(config: ServingConfig) -> ServingConfig:
    """The config that a page in kids mode is served by."""
    quotas = config.quotas
    wider = SourceQuotas(*(_WIDER * n for n in (quotas.two_tower, quotas.cowatch, quotas.trending, quotas.fresh)))
    calm = replace(config.exploration, epsilon=0.0)
    most = _WIDER * config.num_candidates
    return replace(config, least_kids=config.kids_mode, num_candidates=most, quotas=wider, exploration=calm)


class KidsMode:
    """A policy that looks at `Request.kids`. Safe for many threads."""

    def __init__(self, everybody: Explains, for_kids: Callable[[], Explains]) -> None:
        """`for_kids` is called when the first such request comes, and again for every other one."""
        self._everybody, self._for_kids = everybody, for_kids

    def recommend(self, requests: Sequence[Request], *, explain: bool = False) -> list[Slate]:
        """See `core.policy.Policy`."""
        kids = [request for request in requests if request.kids]
        if not kids:
            return self._everybody.recommend(requests, explain=explain)
        others = [request for request in requests if not request.kids]
        calm = iter(self._for_kids().recommend(kids, explain=explain))
        usual = iter(self._everybody.recommend(others, explain=explain) if others else [])
        return [next(calm if request.kids else usual) for request in requests]
