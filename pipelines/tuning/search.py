"""One search for every model: baselines and our own models are tuned by the same code, their budgets counted the same way.

A `Search` asks an objective for its value (higher is better) at points of a declared space (`core.space`), by one of

    grid     every combination, in order
    random   independent draws (Bergstra & Bengio 2012)
    tpe      draws that follow what was good before (Bergstra et al. 2011), by Optuna
    asha     random draws, most of them ended early (Li et al. 2020): a setting is tried again with η times the epochs when it
             is among the best ⌊tried / η⌋ of its rung

Optuna keeps the journal and proposes; which trial comes next is decided here, from the journal alone. So a search that was
killed goes on where it stood, and any number of processes may work on one journal. Knows nothing of models or data.
"""

import fcntl
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, Protocol, TextIO

from core import rng
from core.errors import BadInput
from core.process import end_when_parent_ends
from core.space import Range, Scalar, Settings, Space, grid
from pipelines.progress import unwatched

Method = Literal["grid", "random", "tpe", "asha"]
METHODS: tuple[Method, ...] = ("grid", "random", "tpe", "asha")
_POLL_S = 0.2
_STUDY = "search"


class Objective(Protocol):
    """What is searched; picklable when several processes work, each then loads its own data."""

    def __call__(self, settings: Settings, epochs: int | None) -> float:
        """The value of these settings, trained for `epochs` where the method says how long (asha), else as they say."""
        ...


@dataclass(frozen=True)
class Rungs:
    """How long asha trains: `least` epochs first, each further rung `factor` times as many, at most `most`."""

    least: int = 1
    most: int = 9
    factor: int = 3

    def __post_init__(self) -> None:
        """Raises BadInput where there is nothing to climb."""
        if not 1 <= self.least <= self.most or self.factor < 2:
            raise BadInput(f"{self}: 1 ≤ least ≤ most and factor ≥ 2 are needed")

    @property
    def epochs(self) -> tuple[int, ...]:
        """Of each rung."""
        steps = math.floor(math.log(self.most / self.least, self.factor) + 1e-9)
        return tuple(self.least * self.factor**i for i in range(steps + 1))


@dataclass(frozen=True)
class Trial:
    """One evaluation of one setting."""

    setting: int
    """Which setting, counted from 0; asha evaluates one several times."""
    settings: Settings
    value: float | None
    """None while it runs."""
    seconds: float = 0.0
    epochs: int | None = None

    @property
    def score(self) -> float:
        """The value, −inf without one."""
        return -math.inf if self.value is None else self.value


@dataclass(frozen=True)
class Search:
    """What to search, how, and for how long."""

    space: Space
    method: Method = "grid"
    trials: int | None = None
    """Settings tried at most; None means all of a grid, and nothing else."""
    seed: int = 0
    rungs: Rungs = field(default_factory=Rungs)
    journal: Path | None = None
    """File that keeps the trials; None keeps them in memory, for one process."""
    workers: int = 1

    def __post_init__(self) -> None:
        """Raises BadInput on a search that could not run."""
        if self.method not in METHODS:
            raise BadInput(f"there is no search method '{self.method}'; known: {', '.join(METHODS)}")
        if self.trials is None and self.method != "grid":
            raise BadInput(f"method '{self.method}' needs a number of trials")
        if self.workers > 1 and self.journal is None:
            raise BadInput("several workers need a journal to share")

    @property
    def budget(self) -> int:
        """Settings tried."""
        points = len(grid(self.space)) if self.method == "grid" else self.trials
        return min(points or 0, self.trials or points or 0)

    def run(self, objective: Objective, advance: Callable[[float, str], None] = unwatched) -> "Found":
        """All trials, those of an earlier run with this journal included.

        Raises:
            BadInput: the journal belongs to another search, or a worker failed.
        """
        study = _open(self)
        _retry_interrupted(study)
        if self.workers > 1:
            self._in_processes(objective, study, advance)
        else:
            for _ in _work(self, objective, study):
                advance(*self._progress(study))
        return Found(self.method, tuple(t for t in _trials(study) if t.value is not None))

    def _in_processes(self, objective: Objective, study: Any, advance: Callable[[float, str], None]) -> None:
        context = get_context("spawn")  # a fork of a process with threads may hang
        children = [context.Process(target=_child, args=(self, objective), daemon=True) for _ in range(self.workers)]
        for child in children:
            child.start()
        try:
            while any(child.is_alive() for child in children):
                time.sleep(_POLL_S)
                advance(*self._progress(study))
        finally:
            for child in children:
                child.terminate()
                child.join()
        if any(child.exitcode for child in children):
            raise BadInput("a search worker failed, its message is above; run the same search again to go on")

    def _progress(self, study: Any) -> tuple[float, str]:
        done = [t for t in _trials(study) if t.value is not None]
        best = max((t.score for t in done), default=math.nan)
        return min(1.0, len({t.setting for t in done}) / self.budget), f"{len(done)} trials, best {best:.4f}"


@dataclass(frozen=True)
class Found:
    """What a search found; trials in the order they were begun."""

    method: str
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The highest value among the trials that trained longest; the first of equals."""
        longest = max(t.epochs or 0 for t in self.trials)
        return max((t for t in self.trials if (t.epochs or 0) == longest), key=lambda trial: trial.score)

    def cost_to_reach(self, value: float) -> float | None:
        """Seconds of all trials up to the first whose value is at least this; None when none is."""
        spent = 0.0
        for trial in self.trials:
            spent += trial.seconds
            if trial.score >= value:
                return spent
        return None


def next_trial(search: Search, trials: list[Trial]) -> tuple[int, Settings, int | None] | None:
    """The setting, its fixed values (none: the sampler draws) and epochs to try next; None when there is nothing to begin."""
    if search.method == "asha":
        promoted = _promotion(search.rungs, trials)
        if promoted is not None:
            return promoted
    begun = {t.setting for t in trials}
    setting = next((i for i in range(search.budget) if i not in begun), None)
    if setting is None:
        return None
    fixed = grid(search.space)[setting] if search.method == "grid" else {}
    return setting, fixed, search.rungs.epochs[0] if search.method == "asha" else None


def _promotion(rungs: Rungs, trials: list[Trial]) -> tuple[int, Settings, int] | None:
    """A setting that has earned the next rung and was not begun there yet, highest rung first."""
    for low, high in reversed(list(pairwise(rungs.epochs))):
        done = [t for t in trials if t.epochs == low and t.value is not None]
        begun = {t.setting for t in trials if t.epochs == high}
        for trial in sorted(done, key=lambda t: (-t.score, t.setting))[: len(done) // rungs.factor]:
            if trial.setting not in begun:
                return trial.setting, trial.settings, high
    return None


def _child(search: Search, objective: Objective) -> None:
    end_when_parent_ends()
    for _ in _work(search, objective, _open(search)):
        pass


def _work(search: Search, objective: Objective, study: Any) -> Iterator[None]:
    """Begin and finish trials until there is nothing left to begin."""
    import optuna

    samplers = {"tpe": optuna.samplers.TPESampler}
    while True:
        with _alone(search.journal):
            job = next_trial(search, _trials(study))
            if job is None:
                return
            setting, fixed, epochs = job
            study.enqueue_trial(dict(fixed), user_attrs={"setting": setting, "epochs": epochs})
            trial = study.ask()
            # A sampler of its own for every trial: a search that goes on after a kill draws what it would have drawn.
            sampler = samplers.get(search.method, optuna.samplers.RandomSampler)
            study.sampler = sampler(seed=int(rng.stream(search.seed, "search", setting).integers(2**31)))
            settings = {name: _suggest(trial, name, values) for name, values in search.space.items()}
        began = time.perf_counter()
        value = float(objective(settings, epochs))
        trial.set_user_attr("seconds", time.perf_counter() - began)
        study.tell(trial, -math.inf if math.isnan(value) else value)
        yield


def _suggest(trial: Any, name: str, values: Range | tuple[Scalar, ...]) -> Scalar:
    if not isinstance(values, Range):
        return trial.suggest_categorical(name, values)
    if values.whole:
        return trial.suggest_int(name, round(values.low), round(values.high), log=values.log)
    return trial.suggest_float(name, values.low, values.high, log=values.log)


def _open(search: Search) -> Any:
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = None
    if search.journal is not None:
        search.journal.parent.mkdir(parents=True, exist_ok=True)
        lock: Any = _Lock(search.journal.with_suffix(".lock"))
        storage = JournalStorage(JournalFileBackend(str(search.journal), lock_obj=lock))
    study = optuna.create_study(direction="maximize", storage=storage, study_name=_STUDY, load_if_exists=True)
    identity = repr((search.method, search.seed, dict(search.space), search.rungs if search.method == "asha" else None))
    if study.user_attrs.setdefault("identity", identity) != identity:
        raise BadInput(f"{search.journal} keeps another search; remove it, or search the same space with the same seed")
    study.set_user_attr("identity", identity)
    return study


def _retry_interrupted(study: Any) -> None:
    """Trials that nobody works on any more fail, and so will be begun again."""
    from optuna.trial import TrialState

    while study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.ask()
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def _trials(study: Any) -> list[Trial]:
    from optuna.trial import TrialState

    found = study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING, TrialState.COMPLETE))
    return [_trial(t.params, t.user_attrs, t.value if t.state == TrialState.COMPLETE else None) for t in found]


def _trial(params: Settings, attributes: Mapping[str, Any], value: float | None) -> Trial:
    return Trial(attributes["setting"], params, value, attributes.get("seconds", 0.0), attributes.get("epochs"))


class _Lock:
    """A file that one process holds at a time. The kernel frees it when its holder is killed; Optuna's own blocks for 30 s."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def acquire(self) -> bool:
        """Wait for it."""
        self._file = self._path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Let the next one have it."""
        if self._file is not None:
            self._file.close()


@contextmanager
def _alone(journal: Path | None) -> Iterator[None]:
    """Only one process at a time decides what comes next."""
    lock = None if journal is None else _Lock(journal.with_suffix(".turn"))
    if lock is not None:
        lock.acquire()
    try:
        yield
    finally:
        if lock is not None:
            lock.release()
