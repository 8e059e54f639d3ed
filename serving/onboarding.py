"""What a new viewer says to like, as a history that stands for it.

A viewer with few clicks may name topics (categories) with a request. The page is then decided as if, before these clicks, the
viewer had watched the videos most clicked of late in these topics: the first of every topic, then the second of each. Nothing
of it is remembered, counted or logged, and none of these videos counts as seen.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.clock import MINUTE_MS
from data.catalogue import Catalogue
from features.schema import ViewerPart
from retrieval.sources import Shared, VideoCounts

HEARD_UNTIL = 5
"""Clicks from which the history speaks for itself (`benchmarks.cold_regret`)."""
PER_TOPIC = 3
"""Videos that stand for a topic, at most: a few, for a history is no list of everything."""


class Onboarding:
    """Turns topics into histories. Safe for many threads."""

    def __init__(self, catalogue: Catalogue, counts: VideoCounts, refresh_ms: int = MINUTE_MS) -> None:
        """Args:
        catalogue: whose categories are the topics.
        counts: recent activity of every video.
        refresh_ms: how long what stands for a topic may stay the same, in request time.
        """
        self._catalogue, self._counts, self._refresh_ms = catalogue, counts, refresh_ms
        self._codes = {name: code for code, name in enumerate(catalogue.vocabularies[0].values) if code}
        self._shared = Shared(self._leading, of_now=counts.of_now)

    def begin(self, part: ViewerPart, topics_B: Sequence[Sequence[str]], at_B: NDArray[np.int64]) -> ViewerPart:
        """The part, with more history for viewers who have little and topics; topics that nobody knows are passed over.

        What stands for topics is as old as the viewer's first click, or new where there is none.
        """
        history_BL, age_BL = part.history_BL.copy(), part.history_age_BL.copy()
        num_B = np.count_nonzero(history_BL >= 0, axis=1)
        for place in np.flatnonzero(num_B < HEARD_UNTIL).tolist():
            codes = [self._codes[topic] for topic in dict.fromkeys(topics_B[place]) if topic in self._codes]
            rows = self._shared.of(int(at_B[place]) // self._refresh_ms)[codes].T.ravel()
            since = int(num_B[place])
            rows = rows[(rows >= 0) & ~np.isin(rows, history_BL[place, :since])][: history_BL.shape[1] - since]
            history_BL[place, since : since + len(rows)] = rows
            age_BL[place, since : since + len(rows)] = age_BL[place, since - 1] if since else 0.0
        return replace(part, history_BL=history_BL, history_age_BL=age_BL)

    def _leading(self, period: int) -> NDArray[np.int32]:
        """[categories, PER_TOPIC] rows of each category's most clicked videos, −1 where it has fewer."""
        at = period * self._refresh_ms
        there = np.flatnonzero(self._catalogue.uploaded_at <= at + self._refresh_ms)
        order = there[np.lexsort((-self._counts.clicks(at)[there], self._catalogue.category[there]))]
        category = self._catalogue.category[order]
        rank = np.arange(len(order)) - np.searchsorted(category, category)
        found = np.full((len(self._catalogue.vocabularies[0].values), PER_TOPIC), -1, dtype=np.int32)
        found[category[rank < PER_TOPIC], rank[rank < PER_TOPIC]] = order[rank < PER_TOPIC]
        return found
