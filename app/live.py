"""A published release as something that answers: its recommender, the state it reads, the thread that keeps the state fresh.

Each release in each process has its own keys in the store, filled from the release and brought up to date from the event log
before the first request; so servers share nothing but the log, and a swap or a crash can neither lose nor double a count.
The experiments of `experiments.toml`, beside the folder of releases, are read whenever a release is put into service.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.cards import Cards
from app.services import Live, new_id
from core.errors import BadInput, ReleaseRefused, StoreUnavailable
from core.event_log import EventLog
from experiments import config as experiments
from features.redis_store import RedisStore
from features.store import OnlineStore
from serving.consumer import Consumer
from serving.live import go_live
from serving.releases import LoadedRelease, ReleaseHolder, load_release

EXPERIMENTS = "experiments.toml"
RETIRE_S = 5.0
"""Longer than any request takes."""


@dataclass(frozen=True)
class Running:
    """One release in service."""

    live: Live
    consumer: Consumer
    store: OnlineStore

    def close(self) -> None:
        """Stop following the log, and leave nothing in the store: the next release, or process, fills keys of its own."""
        self.consumer.close()
        try:
            self.store.clear()
        except StoreUnavailable as error:
            logging.getLogger("upnext.app").warning("keys of a release stay in the store until they expire: %s", error)
        self.store.close()

    def retire(self, after_s: float = RETIRE_S) -> None:
        """Close in the background, once requests that began with this release have ended."""
        timer = threading.Timer(after_s, self.close)
        timer.daemon = True
        timer.start()


def builder(root: Path, log: EventLog, store_url: str) -> Callable[[str], Running]:
    """A function that puts a release of `root` into service. It raises ReleaseRefused, StoreUnavailable or LogUnavailable."""

    def build(release_id: str) -> Running:
        loaded = load_release(root, release_id, verify=True)
        store = RedisStore(store_url, namespace=f"{release_id}:{new_id()[:8]}")
        running = go_live(loaded, store, experiments=_experiments(root.parent / EXPERIMENTS))
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


def _experiments(path: Path) -> experiments.ExperimentsConfig | None:
    """What the file says. Raises ReleaseRefused when it is wrong, so that what is live stays."""
    if not path.is_file():
        return None
    try:
        return experiments.load(path)
    except BadInput as error:
        raise ReleaseRefused(f"the experiments cannot run: {error}") from error


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
