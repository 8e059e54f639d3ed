"""What the declared features are computed from, whatever gathered it: a log (training) or a store (serving).

A feature's formula (`kinds`) asks a `Facts` for integers, instants and rows; it never learns where they came from. That is
why training and serving agree. Shape legend: B requests, K candidates, L history length, N remembered watches.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from core.clock import HOUR_MS
from core.errors import BadInput
from data.catalogue import Catalogue
from features.tiles import Ints, Sum

Doubles = NDArray[np.float64]
Codes = NDArray[np.int32]


class Facts:
    """Everything a formula may ask for; a subclass answers what its entity has."""

    def total(self, spec: Sum) -> Ints:
        """The window sum at the request's instant."""
        self._refuse("window sums")

    def hours_since(self, what: str) -> Doubles:
        """Hours since `what`; negative where it never happened."""
        self._refuse(f"hours since '{what}'")

    def share(self, what: str) -> Doubles:
        """Share of the history that has `what`; 0 for an empty history."""
        self._refuse(f"share of '{what}'")

    def size(self) -> Ints:
        """Length of the history, at most L."""
        self._refuse("history size")

    def latest_watch_ms(self) -> Ints:
        """[B, N] lengths of the latest watches, −1 padding."""
        self._refuse("watches")

    def ordered_watch_ms(self) -> tuple[Ints, Ints]:
        """[B, N] those lengths, padding and then the shortest first, and [B] how many there are."""
        self._refuse("watches")

    def session_clicks(self, gap_ms: int) -> Ints:
        """Clicks back from now without a pause of `gap_ms` or more."""
        self._refuse("sessions")

    def sessions(self, span_ms: int, gap_ms: int) -> tuple[Ints, Ints]:
        """Clicks of the history less than `span_ms` ago, and in how many sessions, which a pause of `gap_ms` ends."""
        self._refuse("sessions")

    def column(self, name: str) -> Doubles:
        """A known attribute."""
        self._refuse(f"column '{name}'")

    def cosine(self, what: str) -> Doubles:
        """Cosine between the history's mean vector and the candidate's."""
        self._refuse(f"vectors of '{what}'")

    def _refuse(self, what: str) -> NoReturn:
        raise BadInput(f"{type(self).__name__} has no {what}; declare this feature for another entity")


@dataclass(frozen=True)
class ViewerFacts(Facts):
    """About B viewers, each at an instant."""

    at_B: Ints
    totals: Mapping[Sum, Ints]
    """Each [B]."""
    history_BL: Codes
    """Video rows of the latest clicks, latest first, −1 padding."""
    history_at_BL: Ints
    """When each was received; 0 at padding."""
    category_BL: Codes
    """Category code of each; −1 at padding."""
    watch_ms_BN: Ints

    def total(self, spec: Sum) -> Ints:
        """See Facts. [B]"""
        return self.totals[spec]

    def hours_since(self, what: str) -> Doubles:
        """Hours since the latest click. [B]"""
        if what != "click":
            self._refuse(f"hours since '{what}'")
        hours = np.maximum(self.at_B - self.history_at_BL[:, 0], 0) / HOUR_MS
        return np.where(self.history_BL[:, 0] >= 0, hours, -1.0)

    def share(self, what: str) -> Doubles:
        """Share of the most frequent category. [B]"""
        if what != "top category":
            self._refuse(f"share of '{what}'")
        return _longest_run(np.sort(self.category_BL, axis=1)) / np.maximum(self.size(), 1)

    def size(self) -> Ints:
        """See Facts. [B]"""
        return np.count_nonzero(self.history_BL >= 0, axis=1).astype(np.int64)

    def latest_watch_ms(self) -> Ints:
        """See Facts. [B, N]"""
        return self.watch_ms_BN

    @cached_property
    def _ordered(self) -> tuple[Ints, Ints]:
        return np.sort(self.watch_ms_BN, axis=1), np.count_nonzero(self.watch_ms_BN >= 0, axis=1).astype(np.int64)

    def ordered_watch_ms(self) -> tuple[Ints, Ints]:
        """See Facts."""
        return self._ordered

    def session_clicks(self, gap_ms: int) -> Ints:
        """See Facts. [B]"""
        later = np.concatenate([self.at_B[:, None], self.history_at_BL[:, :-1]], axis=1)
        near = (later - self.history_at_BL < gap_ms) & (self.history_BL >= 0)
        return np.logical_and.accumulate(near, axis=1).sum(axis=1, dtype=np.int64)

    def sessions(self, span_ms: int, gap_ms: int) -> tuple[Ints, Ints]:
        """See Facts. Both [B]"""
        inside = (self.history_BL >= 0) & (self.at_B[:, None] - self.history_at_BL < span_ms)
        begins = inside.copy()  # a session's first click: nothing older inside, or a long pause before it
        pause = self.history_at_BL[:, :-1] - self.history_at_BL[:, 1:]
        begins[:, :-1] &= ~inside[:, 1:] | (pause >= gap_ms)
        return inside.sum(axis=1, dtype=np.int64), begins.sum(axis=1, dtype=np.int64)


@dataclass(frozen=True)
class VideoFacts(Facts):
    """About K candidates of each of B requests."""

    at_B: Ints
    totals: Mapping[Sum, Ints]
    """Each [B, K]."""
    uploaded_at_BK: Ints
    """0 where unknown."""
    duration_s_BK: NDArray[np.float32]
    """0 where unknown."""
    labels: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """By question, each [B, K]."""

    @staticmethod
    def of(catalogue: Catalogue, video_BK: Codes, at_B: Ints, totals: Mapping[Sum, Ints]) -> "VideoFacts":
        """About the videos at these rows."""
        labels = {question: values.take(video_BK) for question, values in catalogue.labels.items()}
        return VideoFacts(at_B, totals, catalogue.uploaded_at.take(video_BK), catalogue.duration_s.take(video_BK), labels)

    def total(self, spec: Sum) -> Ints:
        """See Facts. [B, K]"""
        return self.totals[spec]

    def hours_since(self, what: str) -> Doubles:
        """Hours since the upload, 0 for one that is yet to come. [B, K]"""
        if what != "upload":
            self._refuse(f"hours since '{what}'")
        hours = np.maximum(self.at_B[:, None] - self.uploaded_at_BK, 0) / HOUR_MS
        return np.where(self.uploaded_at_BK != 0, hours, -1.0)

    def column(self, name: str) -> Doubles:
        """`duration_s`, `age_known` (0 or 1), or the label of a question. [B, K]"""
        if name == "duration_s":
            return self.duration_s_BK.astype(np.float64)
        if name == "age_known":
            return (self.uploaded_at_BK != 0).astype(np.float64)
        if name in self.labels:
            return self.labels[name].astype(np.float64)
        self._refuse(f"column '{name}'")


def _longest_run(sorted_BL: Codes) -> Ints:
    """Length of the longest run of equal non-negative values in each sorted row. [B]"""
    if not sorted_BL.size:
        return np.zeros(len(sorted_BL), dtype=np.int64)
    place = np.arange(sorted_BL.shape[1])
    begins = np.ones(sorted_BL.shape, dtype=bool)
    begins[:, 1:] = sorted_BL[:, 1:] != sorted_BL[:, :-1]
    begun = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    return np.where(sorted_BL >= 0, place - begun + 1, 0).max(axis=1)
