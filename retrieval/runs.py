"""Which clicks a step of sequence training reads: runs of one viewer's consecutive clicks, packed by length. Torch-free.

A viewer with at most `length` clicks is one run. Of a longer one each epoch takes one run: half the time the latest clicks,
which are nearest to what serving will ask, otherwise any. Runs of similar length share a batch, so that padding costs little.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.examples import RetrievalExamples

Positions = NDArray[np.int64]
_JITTER = 0.1
"""Relative noise on lengths before sorting, so that batches differ from epoch to epoch."""


@dataclass(frozen=True)
class Runs:
    """S runs of examples of one batch."""

    positions: Positions
    """[n] examples, run after run, each oldest first."""
    lengths: Positions
    """[S]"""
    whole: NDArray[np.bool_]
    """[S] whether the run begins with the viewer's first click; otherwise nothing is known of what came before it."""


class RunSampler:
    """Draws the batches of an epoch."""

    def __init__(self, examples: RetrievalExamples, length: int) -> None:
        self._order = np.lexsort((np.arange(examples.num), examples.at, examples.viewer_ids))
        _, counts = np.unique(examples.viewer_ids, return_counts=True)
        self._ends, self._counts, self._length = np.cumsum(counts), counts, length

    def epoch(self, clicks_per_batch: int, random: np.random.Generator) -> list[Runs]:
        """Batches of at most `clicks_per_batch` places, padding included (one run at least), in random order."""
        lengths = np.minimum(self._counts, self._length)
        spare = self._counts - lengths
        back = np.where(random.random(len(spare)) < 0.5, 0, random.integers(0, spare + 1))
        begins = self._ends - back - lengths
        order = np.argsort(lengths * (1 + _JITTER * random.random(len(lengths))))
        batches, begin = [], 0
        while begin < len(order):
            widest = np.maximum.accumulate(lengths[order[begin : begin + clicks_per_batch]])
            size = max(1, int(np.count_nonzero(widest * np.arange(1, len(widest) + 1) <= clicks_per_batch)))
            chosen = order[begin : begin + size]
            batches.append(self._runs(begins[chosen], lengths[chosen], (spare - back)[chosen] == 0))
            begin += size
        return [batches[i] for i in random.permutation(len(batches))]

    def _runs(self, begins: Positions, lengths: Positions, whole: NDArray[np.bool_]) -> Runs:
        starts = np.cumsum(lengths) - lengths
        within = np.arange(lengths.sum()) - np.repeat(starts, lengths)
        return Runs(self._order[np.repeat(begins, lengths) + within], lengths, whole)
