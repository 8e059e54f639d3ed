"""The rows of an experiment: one viewer on one day, with their arm and what they did.

Rows without an arm are from before the viewer's first exposure; they never enter an effect, only the adjustment for what
viewers were like before. A viewer who was seen in two arms is dropped and counted: nobody can say which arm did it.

Shape legend: N rows, V viewers who were exposed to exactly one arm, in order of their id.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import BadInput, SchemaMismatch
from experiments.config import MetricConfig
from experiments.effects import Floats
from experiments.ratio import linearised

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Panel:
    """An experiment's data, checked."""

    arm_names: tuple[str, ...]
    """Control first."""
    arm_V: Ints
    """Position in `arm_names` of each viewer."""
    viewer_N: Ints
    """Position of the row's viewer in `arm_V`."""
    day_N: Ints
    """Days since 1970-01-01, UTC."""
    during_N: NDArray[np.bool_]
    """Whether the viewer had been exposed on or before that day."""
    columns: Mapping[str, Floats]
    """[N] each; 0 where nothing happened."""
    mixed: int = 0
    """Viewers dropped because they were seen in more than one arm."""

    @staticmethod
    def of(
        viewer_ids: ArrayLike,
        days: ArrayLike,
        arms: Sequence[str | None],
        columns: Mapping[str, ArrayLike],
        arm_names: Sequence[str],
    ) -> "Panel":
        """From N rows; `arms` is None on rows from before the first exposure.

        Raises:
            BadInput: an arm that the experiment does not have, an arm without viewers, or a value that is no finite number.
        """
        strangers = sorted({arm for arm in arms if arm is not None} - set(arm_names))
        if strangers:
            raise BadInput(
                f"the rows have arm '{strangers[0]}', the experiment has {', '.join(arm_names)}; correct the config or the rows"
            )
        codes = {name: code for code, name in enumerate(arm_names)}
        arm_N = np.fromiter((-1 if arm is None else codes[arm] for arm in arms), dtype=np.int64, count=len(arms))
        ids, owner = np.unique(np.asarray(viewer_ids, dtype=np.int64), return_inverse=True)
        seen = np.zeros((len(ids), len(arm_names)), dtype=bool)
        seen[owner[arm_N >= 0], arm_N[arm_N >= 0]] = True
        clean = seen.sum(axis=1) == 1
        missing = [name for name, found in zip(arm_names, seen[clean].any(axis=0), strict=True) if not found]
        if missing:
            raise BadInput(f"no viewer was exposed to arm '{missing[0]}' alone; an analysis needs viewers in every arm")
        keep = clean[owner]
        values = {name: np.asarray(column, dtype=np.float64)[keep] for name, column in columns.items()}
        for name, column in values.items():
            if not np.isfinite(column).all():
                raise BadInput(f"column '{name}' has values that are not finite numbers; remove or correct those rows")
        place = np.cumsum(clean) - 1
        return Panel(
            arm_names=tuple(arm_names),
            arm_V=seen[clean].argmax(axis=1),
            viewer_N=place[owner[keep]],
            day_N=np.asarray(days, dtype=np.int64)[keep],
            during_N=(arm_N >= 0)[keep],
            columns=values,
            mixed=int((seen.sum(axis=1) > 1).sum()),
        )

    def until(self, day: int) -> "Panel":
        """What was known before `day` began: without later rows, and without viewers who were exposed only then."""
        early_N = self.day_N < day
        known_V = np.bincount(self.viewer_N[early_N & self.during_N], minlength=len(self.arm_V)) > 0
        keep_N = early_N & known_V[self.viewer_N]
        return replace(
            self,
            arm_V=self.arm_V[known_V],
            viewer_N=(np.cumsum(known_V) - 1)[self.viewer_N[keep_N]],
            day_N=self.day_N[keep_N],
            during_N=self.during_N[keep_N],
            columns={name: column[keep_N] for name, column in self.columns.items()},
        )

    @property
    def counts(self) -> Ints:
        """Viewers by arm."""
        return np.bincount(self.arm_V, minlength=len(self.arm_names))

    def column(self, name: str) -> Floats:
        """[N]. Raises SchemaMismatch, naming the nearest column, when there is none."""
        if name not in self.columns:
            near = difflib.get_close_matches(name, self.columns, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"found: {', '.join(sorted(self.columns))}"
            raise SchemaMismatch(f"the rows have no column '{name}'; {hint}")
        return self.columns[name]

    def values(self, metric: MetricConfig) -> list[Floats]:
        """One number per viewer whose mean over an arm is the metric there; one array per arm."""
        sums = [self._sums(name, self.during_N) for name in metric.columns]
        chosen = [self.arm_V == arm for arm in range(len(self.arm_names))]
        if len(sums) == 1:
            return [sums[0][here] for here in chosen]
        return [linearised(sums[0][here], sums[1][here]) for here in chosen]

    def measures(self, metric: MetricConfig) -> bool:
        """Whether every arm has something that the metric counts over."""
        if not metric.denominator:
            return True
        total_V = self._sums(metric.denominator, self.during_N)
        return bool((np.bincount(self.arm_V, total_V, len(self.arm_names)) > 0).all())

    def before(self, metric: MetricConfig) -> list[Floats] | None:
        """The same from before the first exposure, one function for all arms; None when there are no such rows."""
        if self.during_N.all():
            return None
        sums = [self._sums(name, ~self.during_N) for name in metric.columns]
        values = sums[0] if len(sums) == 1 else linearised(*sums)
        return [values[self.arm_V == arm] for arm in range(len(self.arm_names))]

    def _sums(self, name: str, rows: NDArray[np.bool_]) -> Floats:
        return np.bincount(self.viewer_N[rows], self.column(name)[rows], len(self.arm_V)).astype(np.float64)
