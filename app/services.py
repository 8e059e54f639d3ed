"""Everything the HTTP layer talks to, as one record, so that tests build the same app with fakes.

`Live` is what belongs to one release and is swapped as a whole; a route reads `services.releases.live` once per request, so one
answer never mixes two releases. Knows nothing of HTTP, models or stores.
"""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app.cards import Cards
from core.clock import Clock
from core.event_log import EventLog
from core.ids import to_ids
from core.policy import Request, Slate
from core.settings import Settings
from data.catalogue import Catalogue, ViewerTable
from data.labels.answers import Answers
from features.breaker import Breaker
from features.freshness import Age


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
    budgets_ms: Mapping[str, float] = field(default_factory=dict)
    """By stage, what it may take of that in 99 of 100 pages."""
    breakers: Callable[[], Mapping[str, Breaker]] = dict
    """Of everything that a page depends on, by name."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the operations page says about it: snapshot, metrics, created_at, …"""
    ages: Callable[[int], Sequence[Age]] = lambda now: ()
    """How old its features are at an instant, by what feeds them."""
    removed: Callable[[], NDArray[np.bool_]] | None = None
    """[V] what was taken down, as of now; None: nothing ever is."""
    config: str = ""
    """Fingerprint of the serving config that decides everybody's pages; empty while experiments treat viewers differently."""
    ahead: Callable[[Request], Slate | None] = lambda request: None
    """The page that was made for a request ahead of time and may be shown as it is; it has no features to give reasons by."""
    gone: Callable[[int], bool] = lambda video_id: False
    """Whether a video was taken down, be it in the catalogue or not."""

    def visible(self, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """Those of some catalogue rows that were not taken down; −1 is no row."""
        rows = rows[rows >= 0]
        return rows if self.removed is None else rows[~self.removed()[rows]]

    def find(self, video_id: str) -> NDArray[np.int32]:
        """The row of one video, by its external id; empty where there is none, or none any more."""
        return self.visible(self.catalogue.rows(to_ids([video_id])))


class Releases(Protocol):
    """The release that serves, and how to change it."""

    @property
    def live(self) -> Live:
        """The one that answers now."""
        ...

    def reload(self) -> Live:
        """Serve what the pointer names now. Raises ReleaseRefused; the old one then keeps serving."""
        ...

    def promote(self) -> Live:
        """Serve the candidate, where its gates let it. Raises ReleaseRefused; the old one then keeps serving."""
        ...

    def rollback(self, why: str = "by hand") -> Live:
        """Serve the previous release again, and write down why. Raises ReleaseRefused when there is none."""
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


class Records(Protocol):
    """What is kept of some pages beside the log."""

    def of_viewer(self, viewer_id: int) -> list[dict[str, Any]]:
        """All of one viewer, oldest first."""
        ...

    def forget(self, viewer_id: int) -> int:
        """Remove all of one viewer; how many there were."""
        ...


class NoRecords:
    """Of a service that keeps none."""

    def of_viewer(self, viewer_id: int) -> list[dict[str, Any]]:
        """See Records."""
        return []

    def forget(self, viewer_id: int) -> int:
        """See Records."""
        return 0


def new_id() -> str:
    """A name for a request or an event: unique without coordination, and in order of time (UUID version 7, RFC 9562).

    The log keeps an index of names. Where new ones sort last, a commit writes its end; where they fall anywhere, a page of the
    file for each of them.
    """
    milliseconds, chance = time.time_ns() // 1_000_000, secrets.randbits(74)
    number = milliseconds << 80 | 0x7 << 76 | (chance >> 62) << 64 | 0b10 << 62 | chance & (1 << 62) - 1
    return f"{number:032x}"


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
    answers: Answers
    """What people said about videos."""
    new_id: Callable[[], str] = new_id
    limits: Limits = field(default_factory=Limits)
    mark_forgotten: Callable[[int], int] = lambda viewer_id: 0
    """Hides a viewer from every later reader of the data; returns the instant (ms) of the first request to."""
    records: Records = field(default_factory=NoRecords)
    """Of pages."""
    scoreboard: Callable[[], Mapping[str, Any]] = lambda: {"experiments": [], "shadow": []}
    """What the experiments page shows. Raises LogUnavailable."""
    tables: Callable[[], Mapping[str, Any]] = lambda: {"tables": [], "index": {}, "releases": [], "moves": []}
    """What the tables page shows."""
    reports: Callable[[], Mapping[str, Any]] = lambda: dict.fromkeys(("lineage", "validation", "gates", "drift", "skew"))
    """What the reports page shows: the newest of each, None where there is none yet."""
    viewers_held: Callable[[], int | None] = lambda: None
    """Viewers whose states the live release holds, as last counted; None before the first count."""
    monitored: Path | None = None
    """The newest report of the monitor, where there is one."""
    start: Callable[[], None] = lambda: None
    """Called once when the server starts: begins background threads."""
    close: Callable[[], None] = lambda: None
    """Called once when the server has answered its last request: drains and stops them."""
