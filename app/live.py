"""A published release as something that answers: its recommender, the state it reads, the thread that keeps the state fresh.

Each release in each process has its own keys in the store, for what happened since it was trained, brought up to date from the
event log before the first request; so servers share nothing but the log: a swap or a crash neither loses nor doubles a count.
What is tried beside it (`trials`) goes with the live release: a swap begins it anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.cards import Cards
from app.services import Live, new_id
from app.trials import Opened, Trials
from core.event_log import EventLog
from data import tombstones
from features.layered_store import LayeredStore
from features.redis_store import RedisStore
from serving.live import go_live
from serving.releases import LoadedRelease, ReleaseHolder, load_release


@dataclass(frozen=True)
class Running:
    """The live release, and what is tried beside it."""

    live: Live
    opened: Opened
    trials: Trials

    @property
    def releases(self) -> list[Opened]:
        """All that answer viewers, the live one first."""
        return [self.opened, *self.trials.challengers()]

    def close(self) -> None:
        """Stop following the log."""
        self.trials.close()
        self.opened.close()

    def retire(self) -> None:
        """Close in the background, once requests that began with this release have ended."""
        for each in self.releases:
            each.retire()


def builder(root: Path, log: EventLog, store_url: str) -> Callable[[str], Running]:
    """A function that puts a release of `root` into service. It raises ReleaseRefused, StoreUnavailable or LogUnavailable."""

    def open_release(release_id: str) -> Opened:
        loaded = load_release(root, release_id, verify=True)
        since = RedisStore(store_url, namespace=f"{release_id}:{new_id()[:8]}")
        store = LayeredStore(loaded.viewer_states(), since)
        release = go_live(loaded, store, fill_store=False, of_now=True)
        for viewer_id in tombstones.read(root.parent).forgotten_at:  # the release was trained before they asked
            store.forget(viewer_id)
        consumer = release.consumer(log)
        consumer.replay()
        store.settle()
        consumer.start()
        return Opened(release, consumer, store, since.breaker)

    def build(release_id: str) -> Running:
        opened = open_release(release_id)
        try:
            trials = Trials(root, opened.release, open_release, log)
        except BaseException:
            opened.close()
            raise
        loaded = opened.release.loaded
        live = Live(
            release_id=release_id,
            recommender=trials,
            catalogue=loaded.catalogue,
            viewers=loaded.viewers,
            search=loaded.search,
            cards=Cards(loaded.catalogue),
            deadline_ms=loaded.config.deadline_ms,
            breakers=lambda: {"store": opened.breaker, **trials.breakers},
            facts=_facts(loaded),
        )
        return Running(live, opened, trials)

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
        for opened in self._holder.live.releases:
            opened.notify()

    def catch_up(self, timeout_s: float) -> bool:
        """See Follower."""
        return all(opened.catch_up(timeout_s) for opened in self._holder.live.releases)

    def state(self, viewer_id: int) -> dict[str, Any]:
        """See Follower."""
        (state,) = self._holder.live.opened.store.read([viewer_id])
        held = {name: getattr(state, name).tolist() for name in ("counts", "clicks", "watches")}
        return held if any(held.values()) else {}

    def forget(self, viewer_id: int) -> bool:
        """See Follower."""
        held = [opened.forget(viewer_id) for opened in self._holder.live.releases]  # every one, whatever the first says
        return any(held)

    def refresh(self) -> None:
        """Run what the experiments' files say now; a canary that has arrived becomes the live release of this server, too."""
        trials = self.trials
        if trials.refresh() and trials.overtaken:
            self.reload()

    @property
    def trials(self) -> Trials:
        """What is tried beside the live release."""
        return self._holder.live.trials

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
