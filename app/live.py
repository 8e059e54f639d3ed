"""A published release as something that answers: its recommender, the state it reads, the thread that keeps the state fresh.

Viewers' states are those of the release, in this process, and what happened since, in the store under keys that each release
in each process has for itself, brought up to date from the event log before the first request. So servers share nothing but the
log, and a swap or a crash can neither lose nor double a count.
What is tried beside it (`trials`) goes with the live release: a swap begins it anew.

An upload in the log makes the release longer (`serving.fresh_videos`), and what routes read (`Live`) is made anew, as one
reference. A release that takes over was tried out in a process of its own (`rehearsal`), where it cannot slow requests. The one
before stays warm: still fed, and back with one call; for an hour after that, the service goes back by itself when people click
clearly less (`probation`).
"""

import logging
import os
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from app import permits, rehearsal
from app.cards import Cards
from app.freshness import ages
from app.probation import Probation
from app.services import Live, Recommender
from app.trials import Opened, Trials
from core import config as configs
from core import moves, release
from core.clock import Clock, SystemClock
from core.errors import IndexRefused, LogUnavailable, ReleaseRefused
from core.event_log import EventLog
from core.moves import Move
from data import tombstones
from data.catalogue import Catalogue
from features.cluster_store import open_store
from features.layered_store import LayeredStore
from serving.fresh_videos import GrowingRelease
from serving.kids_mode import KidsMode, config_for_kids
from serving.live import go_live
from serving.recommender import Recommender as Decides
from serving.releases import LoadedRelease, ReleaseHolder, load_release

T = TypeVar("T")
_BEHIND = 10
"""Niceness of what is done beside requests."""


class Running:
    """The live release, and what is tried beside it."""

    def __init__(self, root: Path, opened: Opened, open_release: Callable[[str], Opened], log: EventLog) -> None:
        """Answer, and follow the log.

        Args:
            root: the folder of releases.
            opened: the live one, not following yet.
            open_release: opens others that experiments name.
            log: what all of them follow.

        Raises:
            ReleaseRefused: see Trials.
        """
        self.opened = opened
        self.live: Live
        self._cards: tuple[Catalogue, Cards] | None = None
        self._log = log
        self.trials = Trials(root, opened, open_release, log, self._answer_with)
        opened.follow(self.trials.renew)

    @property
    def releases(self) -> list[Opened]:
        """All that answer viewers, the live one first."""
        return [self.opened, *self.trials.challengers()]

    def merge(self) -> None:
        """Give every release one index over all its videos."""
        for each in self.releases:
            try:
                each.growing.merge()
            except IndexRefused as error:
                logging.getLogger("upnext.app").warning("newer videos stay beside the index: %s", error)

    def close(self) -> None:
        """Stop following the log."""
        self.trials.close()
        self.opened.close()

    def retire(self) -> None:
        """Close in the background, once requests that began with this release have ended."""
        for each in self.releases:
            each.retire()

    def _answer_with(self, policy: Recommender) -> None:
        """A request that has begun keeps the policy, and with it the catalogue, that it began with."""
        now = self.opened.release
        loaded, base = now.loaded, now.base
        if self._cards is None or self._cards[0] is not loaded.catalogue:
            self._cards = loaded.catalogue, Cards(loaded.catalogue)
        self.live = Live(
            release_id=loaded.release_id,
            recommender=KidsMode(policy, lambda: base.build(config_for_kids(base.config))),
            catalogue=loaded.catalogue,
            viewers=loaded.viewers,
            search=loaded.search,
            cards=self._cards[1],
            deadline_ms=loaded.config.deadline_ms,
            budgets_ms=asdict(loaded.config.budgets),
            breakers=lambda: {"store": self.opened.breaker, **self.trials.breakers},
            facts=_facts(loaded),
            ages=partial(ages, self.opened, self._log),
            config=configs.fingerprint(policy.config) if isinstance(policy, Decides) else "",
            removed=lambda: now.suppressed.removed_V,
            gone=lambda video_id: video_id in now.suppressed.removed_ids,
        )


def builder(root: Path, log: EventLog, store_url: str) -> Callable[[str], Running]:
    """A function that puts a release of `root` into service. It raises ReleaseRefused, StoreUnavailable or LogUnavailable.

    The first release is read through here. What comes later must have been rehearsed, since then there are requests.
    """

    serving = threading.Event()
    """Whether there are requests to stay behind: not while the first release is opened."""

    def open_release(release_id: str) -> Opened:
        known = serving.is_set()
        aside = behind_requests if known else _at_once
        loaded = aside(partial(load_release, root, release_id, verify=not known, trusted=known))
        aside(loaded.touch)
        since = open_store(store_url, namespace=f"{release_id}:{uuid.uuid4().hex[:8]}")
        store = LayeredStore(loaded.viewer_states(), since)
        growing = GrowingRelease(aside(partial(go_live, loaded, store, fill_store=False, of_now=True)))
        for viewer_id in tombstones.read(root.parent).forgotten_at:  # the release was trained before they asked
            store.forget(viewer_id)
        consumer = growing.consumer(log)
        consumer.replay()
        store.settle()
        return Opened(growing, consumer, store, since.breaker)

    def open_challenger(release_id: str) -> Opened:
        if serving.is_set():
            rehearsal.rehearse(root, release_id)
        return open_release(release_id)

    def build(release_id: str) -> Running:
        opened = open_release(release_id)
        try:
            running = Running(root, opened, open_challenger, log)
        except BaseException:
            opened.close()
            raise
        serving.set()
        return running

    return build


def _at_once(work: Callable[[], T]) -> T:
    return work()


def behind_requests(work: Callable[[], T]) -> T:
    """What `work` returns, from a thread to which the system gives what other threads leave of the processors.

    Not for work that starts threads which stay: they would inherit that.
    """
    with ThreadPoolExecutor(1, "behind requests", _step_back) as thread:
        return thread.submit(work).result()


def _step_back() -> None:
    if sys.platform == "linux":  # elsewhere a thread has no niceness of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _BEHIND)


def holder(root: Path, log: EventLog, store_url: str, pointer: str = "live") -> ReleaseHolder[Running]:
    """What is live, rehearsed before it served, and the one before kept warm. Raises what `builder`'s function raises."""
    return ReleaseHolder(
        root,
        builder(root, log, store_url),
        rehearse=partial(rehearsal.rehearse, root),
        retire=lambda old: old.retire(),
        keep_warm=True,
        pointer=pointer,
    )


class LiveReleases:
    """`services.Releases` and `services.Follower` over whatever release is live; the one kept warm is fed and emptied, too."""

    def __init__(self, held: ReleaseHolder[Running], root: Path, log: EventLog, clock: Clock) -> None:
        """Args:
        held: what is live.
        root: the folder of releases.
        log: what all of them follow.
        clock: tells the log's time.
        """
        self._held, self.root, self._log, self._clock = held, root, log, clock
        self.probation: Probation | None = None
        """Of the release that took over last."""
        self.viewers_held: int | None = None
        """Viewers in the live release's states, as `count_viewers` found last."""

    @property
    def live(self) -> Live:
        """See Releases."""
        return self._held.live.live

    @property
    def running(self) -> Running:
        """The live release with all that serves it."""
        return self._held.live

    @property
    def warm_id(self) -> str | None:
        """The release that a roll-back needs not load."""
        _, *warm = self._held.held
        return warm[0].live.release_id if warm else None

    def reload(self) -> Live:
        """See Releases. What takes over is on probation."""
        before = self.live.release_id
        return self._on_probation(before, self._held.reload().live)

    def promote(self) -> Live:
        """See Releases. What takes over is on probation."""
        before, now = self.live.release_id, SystemClock().now()
        wanted, verdicts = permits.candidate(self.root, before, now)
        live = self._held.promote(wanted).live
        moves.append(self.root.parent, Move(now, "live", before, wanted, "the service", "by hand", verdicts))
        return self._on_probation(before, live)

    def rollback(self, why: str = "by hand") -> Live:
        """See Releases."""
        before = release.resolve(self.root, "live")
        live = self._held.rollback().live
        self.probation = None
        if before != live.release_id:  # otherwise another process over the same releases was first
            moves.append(self.root.parent, Move(SystemClock().now(), "live", before, live.release_id, "the service", why))
        return live

    def notify(self) -> None:
        """See Follower."""
        for opened in self._all():
            opened.notify()

    def catch_up(self, timeout_s: float) -> bool:
        """See Follower. Nobody waits for the release that is kept warm."""
        return all(opened.catch_up(timeout_s) for opened in self.running.releases)

    def state(self, viewer_id: int) -> dict[str, Any]:
        """See Follower."""
        (state,) = self.running.opened.store.read([viewer_id])
        held = {name: getattr(state, name).tolist() for name in ("counts", "clicks", "watches")}
        return held if any(held.values()) else {}

    def forget(self, viewer_id: int) -> bool:
        """See Follower."""
        held = [opened.forget(viewer_id) for opened in self._all()]  # every one, whatever the first says
        return any(held)

    def refresh(self) -> None:
        """Run what the experiments' files say now, take over a canary that has arrived, and look at what is on probation."""
        trials = self.trials
        if trials.refresh() and trials.overtaken:
            self.reload()
        self._guard()

    def merge(self) -> None:
        """Give every release that answers one index over all its videos."""
        self.running.merge()

    def count_viewers(self) -> None:
        """See how many viewers' states are held; walks all keys of the store. Raises StoreUnavailable."""
        self.viewers_held = self.running.opened.store.size()

    def warm(self) -> None:
        """Compute the features of all videos of every release that answers, where a new period of theirs has begun."""
        for each in self.running.releases:
            each.release.features.warm(self._clock.now())

    @property
    def trials(self) -> Trials:
        """What is tried beside the live release."""
        return self.running.trials

    def close(self) -> None:
        """End the threads of all releases."""
        for running in self._held.held:
            running.close()

    def _all(self) -> list[Opened]:
        return [opened for running in self._held.held for opened in running.releases]

    def _on_probation(self, before: str, live: Live) -> Live:
        if live.release_id != before:
            offset = self.running.opened.consumer.offset
            self.probation = Probation(self._log, before, live.release_id, offset=offset, at=self._clock.now())
        return live

    def _guard(self) -> None:
        probation, now = self.probation, self._clock.now()
        if probation is None:
            return
        try:
            why = probation.look(now)
        except LogUnavailable:
            return
        if why is None:
            if probation.over(now):
                self.probation = None
            return
        logging.getLogger("upnext.app").warning("going back to release %s: %s", probation.before_id, why)
        try:
            self.rollback(why)
        except ReleaseRefused as error:
            self.probation = None
            logging.getLogger("upnext.app").error("release %s stays: %s", probation.release_id, error)


def _facts(loaded: LoadedRelease) -> Mapping[str, Any]:
    facts: dict[str, Any] = {"index": loaded.index.told, "log_end_at": loaded.end_at}
    if loaded.manifest is not None:
        manifest = loaded.manifest
        facts |= {"created_at": manifest.created_at, "snapshot": manifest.snapshot, "git_commit": manifest.git_commit}
        facts |= {"feature_schema": manifest.feature_schema, "metrics": dict(manifest.metrics)}
    return facts
