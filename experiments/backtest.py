"""Rolling origin: the same training repeated at several points of a log, each time measured on what came right after.

    expanding   |■■■■■■■■□|       |■■■■■■■■■■■□|        a wider training window each time
    sliding     |■■■■■■□|     ·   |  ■■■■■■□|           always the `window_ms` before the cut

One split is one draw: a model that wins on one weekend may lose on the next. A gap between training and test stands for the
time until a trained model is live. (Tashman, "Out-of-sample tests of forecasting accuracy", Int. J. Forecasting 2000.) `train`
and `evaluate` are callables: nothing here knows what a model is, and `train` is never shown anything but its cut.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core import inference
from core.clock import DAY_MS
from core.errors import BadInput
from core.inference import Interval

Fitted = TypeVar("Fitted")


@dataclass(frozen=True)
class Cut:
    """One origin: train on [train_from, train_until), test on [test_from, test_until). Instants in ms."""

    train_from: int
    train_until: int
    test_from: int
    test_until: int


@dataclass(frozen=True)
class Measured:
    """What one model did on one test window."""

    values: Mapping[str, NDArray[np.float64]]
    """Metric → [N] per case."""
    clusters: NDArray[np.int64]
    """[N] who each case belongs to; cases of one cluster are not independent."""


@dataclass(frozen=True)
class Origin:
    """One cut with what was in it and how each metric came out."""

    cut: Cut
    num_train: int
    num_test: int
    metrics: Mapping[str, Interval]
    """Over clusters."""


@dataclass(frozen=True)
class Backtest:
    """All origins, oldest first."""

    origins: tuple[Origin, ...]

    def over_origins(self, metric: str) -> Interval:
        """Mean over origins and its t interval. Expanding windows share training rows, so this is somewhat too narrow."""
        return inference.t_interval([origin.metrics[metric].mean for origin in self.origins])

    def trend(self, metric: str) -> Interval:
        """Change of the metric per day of the log; no bounds with fewer than three origins."""
        days = [(origin.cut.test_from - self.origins[0].cut.test_from) / DAY_MS for origin in self.origins]
        return inference.slope_interval(days, [origin.metrics[metric].mean for origin in self.origins])

    def against(self, other: "Backtest", metric: str) -> Interval:
        """Mean difference to another model at the same origins, paired: what a hard day costs both cancels out.

        Raises:
            BadInput: other origins.
        """
        if [origin.cut for origin in self.origins] != [origin.cut for origin in other.origins]:
            raise BadInput("two backtests are compared at the same origins")
        pairs = zip(self.origins, other.origins, strict=True)
        return inference.t_interval([mine.metrics[metric].mean - its.metrics[metric].mean for mine, its in pairs])

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        origins = [
            asdict(origin.cut)
            | {"num_train": origin.num_train, "num_test": origin.num_test}
            | {"metrics": {name: interval.to_json() for name, interval in origin.metrics.items()}}
            for origin in self.origins
        ]
        names = self.origins[0].metrics
        overall = {
            name: {"over_origins": self.over_origins(name).to_json(), "per_day": self.trend(name).to_json()} for name in names
        }
        return {"origins": origins, "metrics": overall}


def rolling_cuts(
    at_n: ArrayLike, *, origins: int, test_ms: int, window_ms: int | None = None, gap_ms: int = 0
) -> tuple[Cut, ...]:
    """`origins` cuts whose test windows of `test_ms` lie one after the other and end with the log.

    Args:
        at_n: [n] instants of the log's rows.
        origins: how many, at least 2.
        test_ms: length of each test window.
        window_ms: length of the training window (sliding); from the log's beginning without it (expanding).
        gap_ms: between the end of training and the beginning of the test.

    Raises:
        BadInput: the log is too short.
    """
    at = np.asarray(at_n, dtype=np.int64)
    if origins < 2 or test_ms <= 0 or gap_ms < 0 or not len(at):
        raise BadInput("a backtest needs rows, at least two origins, a positive test window and no negative gap")
    begin, end = int(at.min()), int(at.max()) + 1
    cuts = []
    for back in range(origins, 0, -1):
        test_from = end - back * test_ms
        train_until = test_from - gap_ms
        train_from = begin if window_ms is None else train_until - window_ms
        if train_from < begin or train_until <= begin:
            days = f"{(end - begin) / DAY_MS:.1f} days"
            raise BadInput(f"a log of {days} is too short for {origins} origins of that size; ask for fewer or shorter ones")
        cuts.append(Cut(train_from, train_until, test_from, test_from + test_ms))
    return tuple(cuts)


def backtest(
    at_n: ArrayLike,
    cuts: Sequence[Cut],
    train: Callable[[Cut], Fitted],
    evaluate: Callable[[Fitted, Cut], Measured],
) -> Backtest:
    """Train and evaluate at every cut.

    Raises:
        BadInput: a cut whose training reaches into its test, or with an empty part.
    """
    at = np.asarray(at_n, dtype=np.int64)
    return Backtest(tuple(_origin(at, cut, train, evaluate) for cut in sorted(cuts, key=lambda cut: cut.test_from)))


def _origin(
    at: NDArray[np.int64], cut: Cut, train: Callable[[Cut], Fitted], evaluate: Callable[[Fitted, Cut], Measured]
) -> Origin:
    if cut.train_until > cut.test_from:
        raise BadInput(f"training until {cut.train_until} reaches into the test from {cut.test_from}")
    num_train = int(((at >= cut.train_from) & (at < cut.train_until)).sum())
    num_test = int(((at >= cut.test_from) & (at < cut.test_until)).sum())
    if not num_train or not num_test:
        raise BadInput(f"the cut at {cut.test_from} has {num_train} training and {num_test} test rows; both need some")
    found = evaluate(train(cut), cut)
    metrics = {name: inference.cluster_interval(values, found.clusters) for name, values in found.values.items()}
    return Origin(cut, num_train, num_test, metrics)
