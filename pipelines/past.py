"""What a log had said of a key strictly before an instant: sums over its rows, for any number of questions at once.

Rows of the same instant do not see each other. Sorted once by key and time; a question is two binary searches in prefix sums.

Shape legend: N rows of the log, Q questions, M values per row.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """The answers."""

    total_QM: Floats
    """Sums of the known values."""
    known_QM: Floats
    """How many values were known."""
    rows_Q: Floats
    """How many rows there were."""
    last_at_Q: Indices
    """Instant of the latest of them, −1 without any."""

    def rate(self, parent_QM: Floats, weight: float) -> Floats:
        """Means shrunk towards the parent's: (Σ values + weight · parent) / (n + weight). [Q, M]"""
        return (self.total_QM + weight * parent_QM) / (self.known_QM + weight)

    def minus(self, part: "Found") -> "Found":
        """Without the rows of `part`, which are some of these; the latest stays the latest of all."""
        return Found(self.total_QM - part.total_QM, self.known_QM - part.known_QM, self.rows_Q - part.rows_Q, self.last_at_Q)


class Past:
    """Rows of a log by key."""

    def __init__(self, keys_N: Indices, at_N: Indices, values_NM: Floats) -> None:
        """Values that are NaN are unknown. Keys are not negative."""
        order = np.lexsort((at_N, keys_N))
        self._instants = np.unique(at_N)
        self._keys, self._at = keys_N[order].astype(np.int64), at_N[order]
        self._places = self._place(self._keys, self._at)
        zero, known = np.zeros((1, values_NM.shape[1])), ~np.isnan(values_NM[order])
        self._totals = np.concatenate([zero, np.cumsum(np.nan_to_num(values_NM[order]), axis=0)])
        self._known = np.concatenate([zero, np.cumsum(known, axis=0)])

    def before(self, keys_Q: Indices, at_Q: Indices, *, latest: int | None = None) -> Found:
        """The rows of each key before each instant, or only the `latest` of them; a key that never occurred has none."""
        end = np.searchsorted(self._places, self._place(keys_Q, at_Q))
        begin = np.searchsorted(self._keys, keys_Q)
        if latest is not None:
            begin = np.maximum(begin, end - latest)
        rows = end - begin
        last_at = np.where(rows > 0, self._at[np.maximum(end - 1, 0)], -1)
        return Found(
            self._totals[end] - self._totals[begin], self._known[end] - self._known[begin], rows.astype(float), last_at
        )

    def first_at(self, keys_Q: Indices, at_Q: Indices) -> Indices:
        """Instant of each key's first row, −1 where that is not before `at_Q`. [Q]"""
        first = np.minimum(np.searchsorted(self._keys, keys_Q), len(self._keys) - 1)
        known = (self._keys[first] == keys_Q) & (self._at[first] < at_Q)
        return np.where(known, self._at[first], -1)

    def _place(self, keys: Indices, at: Indices) -> Indices:
        return np.asarray(keys, dtype=np.int64) * (len(self._instants) + 1) + np.searchsorted(self._instants, at)
