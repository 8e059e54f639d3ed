"""A published release as something that answers: its recommender, the state it reads, the thread that keeps the state fresh.

Each release in each process has its own keys in the store, filled from the release and brought up to date from the event log
before the first request; so servers share nothing but the log, and a swap or a crash can neither lose nor double a count.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.cards import Cards
from app.services import Live, new_id
from core.event_log import EventLog
from features.redis_store import RedisStore
from features.store import OnlineStore
from serving.consumer import Consumer
from serving.live import go_live
from serving.releases import LoadedRelease, ReleaseHolder, load_release


@dataclass(frozen=True)
class Running:
    """One release in service."""

    live: Live
    consumer: Consumer
    store: OnlineStore

    def close(self) -> None:
        """Stop following the log and let go of the store."""
        self.consumer.close()
        self.store.close()


def builder(root: Path, log: EventLog, store_url: str) -> Callable[[str], Running]:
    """A function that puts a release of `root` into service. It raises ReleaseRefused, StoreUnavailable or LogUnavailable."""

    def build(release_id: str) -> Running:
        loaded = load_release(root, release_id, verify=True)
        store = RedisStore(store_url, namespace=f"{release_id}:{new_id()[:8]}")
        running = go_live(loaded, store)
        consumer = running.consumer(log)
        consumer.replay()
        consumer.start()
        live = Live(
            release_id=release_id,
            recommender=running.recommender,
            catalogue=loaded.catalogue,
            viewers=loaded.viewers,
            search=loaded.search,
            cards=Cards(loaded.catalogue),
            facts=_facts(loaded),
        )
        return Running(live, consumer, store)

    return build


class LiveReleases:
    """`services.Releases` and `services.Follower` over whatever release is live."""

    def __init__(self, holder: ReleaseHolder[Running]) -> None:
        self._holder = holder

    @property
    def live(self) -> Live:
        """See Releases."""
        return self._holder.live.live

    def reload(self) -> Live:
        """See Releases."""
        return self._holder.reload().live

    def rollback(self) -> Live:
        """See Releases."""
        return self._holder.rollback().live

    def notify(self) -> None:
        """See Follower."""
        self._holder.live.consumer.notify()

    def catch_up(self, timeout_s: float) -> bool:
        """See Follower."""
        return self._holder.live.consumer.catch_up(timeout_s)

    def close(self) -> None:
        """End the thread of the live release."""
        self._holder.live.close()


def _facts(loaded: LoadedRelease) -> Mapping[str, Any]:
    facts: dict[str, Any] = {"index": f"{loaded.index.kind}, recall@100 {loaded.index.recall:.4f}", "log_end_at": loaded.end_at}
    if loaded.manifest is not None:
        manifest = loaded.manifest
        facts |= {"created_at": manifest.created_at, "snapshot": manifest.snapshot, "git_commit": manifest.git_commit}
        facts |= {"feature_schema": manifest.feature_schema, "metrics": dict(manifest.metrics)}
    return facts
