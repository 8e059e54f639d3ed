"""Lists of different lengths as two flat arrays: one history, one set of targets, one viewer's counters per row.

Row i is values[offsets[i]:offsets[i + 1]]. Histories of videos are int32[n], oldest first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Ragged:
    """N lists of integers, or of rows of integers of equal width."""

    offsets: NDArray[np.int64]
    """[N + 1], starts at 0."""
    values: NDArray[Any]
    """[n] or [n, width]"""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[Any]:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @staticmethod
    def of(lists: Sequence[ArrayLike]) -> "Ragged":
        """From one array per row."""
        arrays = [np.asarray(values, dtype=np.int32) for values in lists]
        offsets = np.concatenate([[0], np.cumsum([len(a) for a in arrays])]).astype(np.int64)
        return Ragged(offsets, np.concatenate([np.zeros(0, dtype=np.int32), *arrays]))

    @staticmethod
    def slices(values: NDArray[Any], begin: NDArray[np.int64], end: NDArray[np.int64]) -> "Ragged":
        """Row i is a copy of values[begin[i]:end[i]]."""
        counts = end - begin
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
        return Ragged(offsets, values[np.repeat(begin, counts) + within])

    @property
    def counts(self) -> NDArray[np.int64]:
        """[N] length of each row."""
        return np.diff(self.offsets)

    @property
    def owners(self) -> NDArray[np.int64]:
        """[n] row of each value."""
        return np.repeat(np.arange(len(self)), self.counts)

    @property
    def ages(self) -> NDArray[np.int64]:
        """[n] distance of each value from the end of its row; 0 is the latest."""
        return np.repeat(self.offsets[1:], self.counts) - 1 - np.arange(len(self.values))

    def take(self, rows: "slice | NDArray[np.int64]") -> "Ragged":
        """Some of the rows, copied."""
        return Ragged.slices(self.values, self.offsets[:-1][rows], self.offsets[1:][rows])

    def latest(self, length: int) -> NDArray[np.int32]:
        """[N, length] the last values of each row, latest first, −1 padding."""
        padded = np.full((len(self), length), -1, dtype=np.int32)
        keep = self.ages < length
        padded[self.owners[keep], self.ages[keep]] = self.values[keep]
        return padded
