"""The one interface between "something asks for a page" and "something decides it".

The service, the world's simulated viewers, bandits and off-policy estimators all speak it. Requests come in batches;
one request is a batch of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

HOME, UP_NEXT = "home", "up_next"


@dataclass(frozen=True, slots=True)
class Request:
    """One page asked for: by whom, where, when, how long."""

    request_id: str
    viewer_id: int
    at: int
    surface: str = HOME
    k: int = 10
    video_id: int | None = None
    device: str | None = None
    answer_by_s: float | None = None
    """On `time.monotonic`'s scale: no optional stage starts later. None where nobody waits, as in evaluation."""
    kids: bool = False
    """Only what is for kids."""
    topics: tuple[str, ...] = ()
    """Categories that the viewer says to like: heard as long as there are few clicks."""
    nearest: NDArray[np.int64] | None = field(default=None, compare=False, repr=False)
    """Ids of the videos nearest to the viewer, best first, where they were found ahead of time."""
    search: bool = True
    """Whether to search for them all the same, and use these only where the search fails."""


@dataclass(frozen=True, slots=True)
class Slate:
    """The answer. Arrays are aligned, length ≤ k, in display order.

    `propensities[i]` is the exact probability that the policy puts `video_ids[i]` into slot i given the slots before.
    `degraded` lists reasons in plain words; empty when all went well.
    """

    request_id: str
    video_ids: NDArray[np.int64]
    propensities: NDArray[np.float64]
    exploration: NDArray[np.bool_]
    sources: tuple[str, ...]
    scores: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    release_id: str = ""
    arm: str = "control"
    teams: tuple[str, ...] = ()
    """On an interleaved page, the ranking that each slot is credited to."""
    feature_hash: str | None = None
    degraded: tuple[str, ...] = ()
    stage_ms: dict[str, float] = field(default_factory=dict)
    explanation: dict[str, Any] = field(default_factory=dict)


class Policy(Protocol):
    """Decides slates."""

    def recommend(self, requests: Sequence[Request]) -> list[Slate]:
        """One slate per request, in order."""
        ...
