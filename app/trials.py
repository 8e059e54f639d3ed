"""What is tried beside the live release: the arms of experiments, a canary, a challenger in the shadow.

`Trials` is the live release's policy. What runs is in two files beside the folder of releases (`experiments.served`); `refresh`
reads them again when they, or a pointer of the folder, have changed, and replaces everything as one reference. A change that
cannot run is logged and shown, and what ran before goes on. Every release that arms name has a state of its own, which follows
the log. Viewers whom new weights would move keep the arm that the log says they met.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.services import Recommender as Policy
from core import release
from core.errors import BadInput, ReleaseRefused, StoreUnavailable, Unavailable, UpnextError
from core.event_log import EventLog
from core.policy import Request, Slate
from experiments import served
from experiments.canary import Phase
from experiments.config import ExperimentsConfig
from features.breaker import Breaker
from features.store import OnlineStore
from serving.arms import ArmRecommender, met
from serving.consumer import Consumer
from serving.counterfactual import Subjects
from serving.live import LiveRelease

RETIRE_S = 5.0
"""Longer than any request takes."""


@dataclass(frozen=True)
class Opened:
    """One release with a state of its own that follows the log."""

    release: LiveRelease
    consumer: Consumer
    store: OnlineStore
    breaker: Breaker
    """Of the store."""

    def notify(self) -> None:
        """There is something new in the log."""
        self.consumer.notify()

    def catch_up(self, timeout_s: float) -> bool:
        """Wait until everything committed before this call is in the state; False when it took too long."""
        return self.consumer.catch_up(timeout_s)

    def forget(self, viewer_id: int) -> bool:
        """Take one viewer out of the state; whether anything was held. Raises StoreUnavailable."""
        return self.store.forget(viewer_id)

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


@dataclass(frozen=True)
class _Running:
    """One state of the files."""

    config: ExperimentsConfig
    policy: Policy
    breakers: Callable[[], Mapping[str, Breaker]]
    subjects: Subjects
    challengers: Mapping[str, Opened]
    """By release id."""


class Trials:
    """The policy of one live release; see the module."""

    def __init__(self, releases: Path, live: LiveRelease, open_release: Callable[[str], Opened], log: EventLog) -> None:
        """Read the files and open what they name.

        Args:
            releases: root of published releases; the files are beside it.
            live: serves whatever names no other release.
            open_release: opens one by its id; raises ReleaseRefused, StoreUnavailable or LogUnavailable.
            log: says which arms viewers have met.

        Raises:
            ReleaseRefused: the files are wrong, or name a release that is not there or does not work.
        """
        self._releases, self._live, self._open, self._log = releases, live, open_release, log
        self._lock = threading.Lock()
        self._seen = self._stamp()
        self.problem: str | None = None
        """Why the files, as they are now, do not run; None when they do."""
        self._running = self._start({})

    @property
    def config(self) -> ExperimentsConfig:
        """What runs."""
        return self._running.config

    @property
    def breakers(self) -> Mapping[str, Breaker]:
        """Of the recommenders that answer."""
        return self._running.breakers()

    def recommend(self, requests: Sequence[Request], *, explain: bool = False) -> list[Slate]:
        """See `services.Recommender`."""
        return self._running.policy.recommend(requests, explain=explain)

    def subjects(self) -> Subjects:
        """Whom a recorder asks."""
        return self._running.subjects

    def challengers(self) -> list[Opened]:
        """Every release that runs besides the live one."""
        return list(self._running.challengers.values())

    def refresh(self) -> bool:
        """Run what the files say now, if that has changed; whether it does."""
        with self._lock:
            before = self._running
            stamp = self._stamp()
            if stamp == self._seen:
                return False
            self._seen = stamp
            try:
                self._running, self.problem = self._start(before.challengers), None
            except UpnextError as error:
                self.problem = str(error)
                if isinstance(error, Unavailable):  # the same files may do the next time
                    self._seen = ()
                logging.getLogger("upnext.app").warning("experiments stay as they were: %s", error)
                return False
        for release_id in before.challengers.keys() - self._running.challengers.keys():
            before.challengers[release_id].retire()
        return True

    @property
    def overtaken(self) -> bool:
        """Whether a canary has arrived: `live` names its release, and this is still the one before."""
        state, live_id = served.read_canary(self._releases.parent), release.resolve(self._releases, "live")
        arrived = state is not None and state.phase == Phase.ARRIVED and state.release_id == live_id
        return arrived and live_id != self._live.loaded.release_id

    def close(self) -> None:
        """Close every release but the live one."""
        for opened in self.challengers():
            opened.close()

    def _start(self, held: Mapping[str, Opened]) -> _Running:
        try:
            config = served.read(self._releases.parent) or ExperimentsConfig()
        except BadInput as error:
            raise ReleaseRefused(f"the experiments cannot run: {error}") from error
        wanted = {name: self._resolve(name) for name in config.releases}
        opened: dict[str, Opened] = {}
        try:
            for release_id in set(wanted.values()) - {self._live.loaded.release_id}:
                opened[release_id] = held.get(release_id) or self._open(release_id)
            return self._among(config, wanted, opened)
        except BaseException:
            for release_id in opened.keys() - held.keys():
                opened[release_id].close()
            raise

    def _among(self, config: ExperimentsConfig, wanted: Mapping[str, str], opened: Mapping[str, Opened]) -> _Running:
        live = self._live
        named = {name: opened[each].release if each in opened else live for name, each in wanted.items()}
        challenger = named[config.shadow].base if config.shadow else None
        unseen = None if challenger is None else challenger.build(challenger.config)
        if not config.experiments and not config.holdout:  # hashing viewers into nothing takes time, too
            alone = live.base.build(live.base.config)
            return _Running(
                config, alone, lambda: alone.breakers, Subjects(lambda request: alone, live.loaded.viewers, unseen), opened
            )
        bases = {name: each.base for name, each in named.items()}
        arms = ArmRecommender(config, live.base, bases, met(self._log, config))
        return _Running(config, arms, lambda: arms.breakers, Subjects(arms.of, live.loaded.viewers, unseen), opened)

    def _resolve(self, name: str) -> str:
        found = release.resolve(self._releases, name) if name in release.POINTERS else name
        if found is None:
            raise ReleaseRefused(f"the experiments cannot run: no release is '{name}'; point it at one, or name a release id")
        return found

    def _stamp(self) -> tuple[object, ...]:
        """Changes whenever what should run may have changed."""
        files = [self._releases.parent / name for name in (served.EXPERIMENTS, served.CANARY)]
        written = [file.stat().st_mtime_ns if file.is_file() else None for file in files]
        return (*written, *(release.resolve(self._releases, name) for name in release.POINTERS))


class Watcher:
    """Calls something every few seconds from a thread of its own."""

    def __init__(self, look: Callable[[], object], every_s: float = 2.0) -> None:
        self._look, self._every_s = look, every_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="experiments", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def _run(self) -> None:
        while not self._closing.wait(self._every_s):
            try:
                self._look()
            except Exception:  # whatever it was, the next look may succeed
                logging.getLogger("upnext.app").exception("experiments could not be read again")
