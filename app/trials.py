"""What is tried beside the live release: the arms of experiments, a canary, a challenger in the shadow.

`Trials` is the live release's policy. What runs is in two files beside the folder of releases (`experiments.served`); `refresh`
reads them again when they, or a pointer of the folder, have changed, and replaces everything as one reference. A change that
cannot run is logged and shown, and what ran before goes on. Every release that arms name has a state of its own, which follows
the log; when one of them grows by uploads, the policy is made anew over what it has become. Viewers whom new weights would move
keep the arm that the log says they met.
"""

import gc
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.services import Recommender as Policy
from core import release
from core.errors import BadInput, ReleaseRefused, StoreUnavailable, Unavailable, UpnextError
from core.event_log import EventLog
from core.policy import Request
from data.catalogue import Catalogue
from experiments import served
from experiments.canary import Phase
from experiments.config import ExperimentsConfig
from features.breaker import Breaker
from features.store import OnlineStore
from serving import met
from serving.arms import ArmRecommender
from serving.consumer import Consumer
from serving.counterfactual import Subjects
from serving.fresh_videos import GrowingRelease
from serving.live import LiveRelease
from serving.recommender import Recommender as Decides
from serving.shadow import sampled
from serving.witness import Notebook

RETIRE_S = 5.0
"""Longer than any request takes."""


@dataclass(frozen=True)
class Opened:
    """One release with a state of its own that follows the log."""

    growing: GrowingRelease
    consumer: Consumer
    store: OnlineStore
    breaker: Breaker
    """Of the store."""

    @property
    def release(self) -> LiveRelease:
        """As it is now: uploads make it longer."""
        return self.growing.live

    def follow(self, changed: Callable[[], None]) -> None:
        """Start following the log; `changed` hears of every other `release`."""
        self.growing.changed = changed
        self.consumer.start()

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
        """Close in the background, once requests that began with this release have ended, and give its memory back."""
        last = [self]  # and nobody else's by then

        def end() -> None:
            last.pop().close()
            gc.collect()  # releases and their trials know each other, and Python by itself looks for such circles too rarely

        timer = threading.Timer(after_s, end)
        timer.daemon = True
        timer.start()


def _ignore(policy: Policy) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class _Plan:
    """One state of the files."""

    config: ExperimentsConfig
    wanted: Mapping[str, str]
    """What arms call a release → its id."""
    opened: Mapping[str, Opened]
    """Challengers by release id."""
    met: Mapping[str, Mapping[int, str]]
    """See `serving.met`."""


@dataclass(frozen=True)
class _Running:
    """A plan over the releases as they were when it was made."""

    plan: _Plan
    policy: Policy
    breakers: Callable[[], Mapping[str, Breaker]]
    subjects: Subjects


class Trials:
    """The policy of one live release; see the module."""

    def __init__(
        self,
        releases: Path,
        live: Opened,
        open_release: Callable[[str], Opened],
        log: EventLog,
        changed: Callable[[Policy], None] = _ignore,
    ) -> None:
        """Read the files and open what they name.

        Args:
            releases: root of published releases; the files are beside it.
            live: serves whatever names no other release. Whoever opened it lets it follow the log.
            open_release: opens one by its id; raises ReleaseRefused, StoreUnavailable or LogUnavailable.
            log: says which arms viewers have met; what it said is kept beside the files.
            changed: gets the policy, and every one that replaces it.

        Raises:
            ReleaseRefused: the files are wrong, or name a release that is not there or does not work.
        """
        self._releases, self._live, self._open, self._log = releases, live, open_release, log
        self._changed = changed
        self._notes = Notebook(lambda request: sampled(request.request_id, self.config.record))
        self._reading, self._making = threading.Lock(), threading.RLock()
        self._seen = self._stamp()
        self.problem: str | None = None
        """Why the files, as they are now, do not run; None when they do."""
        self._running: _Running
        self._start({})

    @property
    def policy(self) -> Policy:
        """What answers at the moment."""
        return self._running.policy

    @property
    def config(self) -> ExperimentsConfig:
        """What runs."""
        return self._running.plan.config

    @property
    def catalogue(self) -> Catalogue:
        """Of the live release."""
        return self._live.release.loaded.catalogue

    @property
    def breakers(self) -> Mapping[str, Breaker]:
        """Of the recommenders that answer."""
        return self._running.breakers()

    def subjects(self) -> Subjects:
        """Whom a recorder asks."""
        return self._running.subjects

    def challengers(self) -> list[Opened]:
        """Every release that runs besides the live one."""
        return list(self._running.plan.opened.values())

    def refresh(self) -> bool:
        """Run what the files say now, if that has changed; whether it does."""
        with self._reading:
            before = self._running.plan.opened
            stamp = self._stamp()
            if stamp == self._seen:
                return False
            self._seen = stamp
            try:
                self._start(before)
                self.problem = None
            except UpnextError as error:
                self.problem = str(error)
                if isinstance(error, Unavailable):  # the same files may do the next time
                    self._seen = ()
                logging.getLogger("upnext.app").warning("experiments stay as they were: %s", error)
                return False
        for release_id in before.keys() - self._running.plan.opened.keys():
            before[release_id].retire()
        return True

    def renew(self) -> None:
        """Go on over what the releases have become: one of them has grown."""
        with self._making:
            self._run(self._running.plan)

    @property
    def overtaken(self) -> bool:
        """Whether a canary has arrived: `live` names its release, and this is still the one before."""
        state, live_id = served.read_canary(self._releases.parent), release.resolve(self._releases, "live")
        arrived = state is not None and state.phase == Phase.ARRIVED and state.release_id == live_id
        return arrived and live_id != self._live.release.loaded.release_id

    def close(self) -> None:
        """Close every release but the live one."""
        for opened in self.challengers():
            opened.close()

    def _start(self, held: Mapping[str, Opened]) -> None:
        try:
            config = served.read(self._releases.parent) or ExperimentsConfig()
        except BadInput as error:
            raise ReleaseRefused(f"the experiments cannot run: {error}") from error
        wanted = {name: self._resolve(name) for name in config.releases}
        opened: dict[str, Opened] = {}
        try:
            for release_id in set(wanted.values()) - {self._live.release.loaded.release_id}:
                opened[release_id] = held.get(release_id) or self._open(release_id)
            known = met.arms_of(self._releases.parent, self._log, config)
            with self._making:
                self._run(_Plan(config, wanted, opened, known))
        except BaseException:
            for release_id in opened.keys() - held.keys():
                opened[release_id].close()
            raise
        for release_id in opened.keys() - held.keys():
            opened[release_id].follow(self.renew)

    def _run(self, plan: _Plan) -> None:
        self._running = self._among(plan)
        self._changed(self._running.policy)

    def _among(self, plan: _Plan) -> _Running:
        config, live = plan.config, self._live.release
        named = {name: plan.opened[each].release if each in plan.opened else live for name, each in plan.wanted.items()}
        challenger = named[config.shadow].base if config.shadow else None
        unseen = None if challenger is None else challenger.build(challenger.config)

        def subjects(behind: Callable[[Request], Decides | None]) -> Subjects:
            return Subjects(behind, live.loaded.viewers, unseen, self._notes)

        if not config.experiments and not config.holdout:  # hashing viewers into nothing takes time, too
            alone = self._notes.over(live.base.usual)
            return _Running(plan, alone, lambda: alone.breakers, subjects(lambda request: alone))
        witnessed = {name: self._notes.among(each.base) for name, each in named.items()}
        arms = ArmRecommender(config, self._notes.among(live.base), witnessed, plan.met)
        return _Running(plan, arms, lambda: arms.breakers, subjects(arms.of))

    def _resolve(self, name: str) -> str:
        found = release.named(self._releases, name)
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

    def __init__(self, look: Callable[[], object], every_s: float = 2.0, name: str = "experiments") -> None:
        self._look, self._every_s, self._name = look, every_s, name
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

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
                logging.getLogger("upnext.app").exception("%s: the look failed", self._name)
