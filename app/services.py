"""Everything the HTTP layer talks to, as one record, so that tests build the same app with fakes.

`Live` is what belongs to one release and is swapped as a whole; a route reads `services.releases.live` once per request, so one
answer never mixes two releases. Knows nothing of HTTP, models or stores.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app.cards import Cards
from core.clock import Clock
from core.event_log import EventLog
from core.policy import Request, Slate
from core.settings import Settings
from data.catalogue import Catalogue, ViewerTable
from features.breaker import Breaker


class Recommender(Protocol):
    """`core.policy.Policy` that can also say why."""

    def recommend(self, requests: Sequence[Request], *, explain: bool = False) -> list[Slate]:
        """One slate per request, in order; `explain` fills `Slate.explanation`."""
        ...


class TitleSearch(Protocol):
    """Finds videos by words of their title."""

    def rows(self, text: str, k: int) -> NDArray[np.int32]:
        """At most `k` catalogue rows, best first; any text is safe."""
        ...


@dataclass(frozen=True)
class Live:
    """What one release serves with."""

    release_id: str
    recommender: Recommender
    catalogue: Catalogue
    viewers: ViewerTable
    search: TitleSearch
    cards: Cards
    deadline_ms: float = 500.0
    """Time for a page when the client names none."""
    breakers: Callable[[], Mapping[str, Breaker]] = dict
    """Of everything that a page depends on, by name."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the operations page says about it: snapshot, metrics, created_at, …"""


class Releases(Protocol):
    """The release that serves, and how to change it."""

    @property
    def live(self) -> Live:
        """The one that answers now."""
        ...

    def reload(self) -> Live:
        """Serve what the pointer names now. Raises ReleaseRefused; the old one then keeps serving."""
        ...

    def rollback(self) -> Live:
        """Serve the previous release again. Raises ReleaseRefused when there is none."""
        ...


class ImpressionLog(Protocol):
    """Writes down what was shown, after the answer."""

    @property
    def queued(self) -> int:
        """Slates waiting to be written."""
        ...

    @property
    def dropped(self) -> int:
        """Slates given up because the queue was full."""
        ...

    def put(self, requests: Sequence[Request], slates: Sequence[Slate]) -> None:
        """Queue the slates; returns at once."""
        ...

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything put so far was written or dropped; False when that took too long."""
        ...


class Follower(Protocol):
    """Carries events from the log into the features."""

    def notify(self) -> None:
        """There is something new in the log."""
        ...

    def catch_up(self, timeout_s: float) -> bool:
        """Wait until everything committed before this call is in the features; False when it took too long."""
        ...

    def state(self, viewer_id: int) -> dict[str, Any]:
        """What the features are made from, of one viewer, as plain values; empty when nothing is held."""
        ...

    def forget(self, viewer_id: int) -> bool:
        """Take one viewer out of the features; whether anything was held. Raises StoreUnavailable."""
        ...


def new_id() -> str:
    """A name for a request or an event, unique without coordination."""
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Limits:
    """How much the service takes on."""

    interactive_wait_s: float = 1.0
    """Expected wait up to which a page is accepted."""
    prefetch_wait_s: float = 0.1
    """The same for pages that nobody looks at yet: they go first."""
    in_flight: int = 200
    """Pages accepted at the same time, whatever the expected wait."""
    per_client_per_s: float = 500.0
    """Requests that one address may send in the long run."""
    per_client_burst: int = 1_000
    """Requests that it may send at once."""
    waiting_batches: int = 64
    """Batches of events that wait for the log; more are refused."""
    commit_s: float = 5.0
    """Time after which a batch that the log has not committed is answered as not accepted."""


@dataclass(frozen=True)
class Services:
    """What the app is built from."""

    releases: Releases
    event_log: EventLog
    impressions: ImpressionLog
    follower: Follower
    settings: Settings
    clock: Clock
    new_id: Callable[[], str] = new_id
    limits: Limits = field(default_factory=Limits)
    mark_forgotten: Callable[[int], int] = lambda viewer_id: 0
    """Hides a viewer from every later reader of the data; returns the instant (ms) of the first request to."""
    scoreboard: Callable[[], Mapping[str, Any]] = lambda: {"experiments": [], "shadow": []}
    """What the experiments page shows. Raises LogUnavailable."""
    start: Callable[[], None] = lambda: None
    """Called once when the server starts: begins background threads."""
    close: Callable[[], None] = lambda: None
    """Called once when the server has answered its last request: drains and stops them."""
