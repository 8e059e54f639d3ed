"""What pages were chosen from, noted while they are decided: the candidates and utilities of requests that are recorded.

Asking again later is not the same: events have come between, and a page decided in time differs from one that was late. So a
`Witness`, the recommender with one more eye, notes a reference to arrays that exist anyway, and the background thread that
records (`counterfactual`) takes the note by its request id. Notes are in order of utility, ties as the candidates came, and
that is all that the rest of a page depends on beside the catalogue and the request:

    page = explorer(re-ranker(utilities, vectors, channels, ages), draws of (seed, request id))

Under Thompson sampling the spreads of the videos' click rates are noted, too. `again` decides the page from a note alone.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.policy import Request
from serving import explorer, thompson
from serving.arms import Base
from serving.candidates import CandidateSet
from serving.explorer import Page
from serving.recommender import Ranked, Recommender
from serving.thompson import ThompsonRecommender

_CAPACITY = 1_000
"""Notes that may wait; the oldest go."""


@dataclass(frozen=True)
class Note:
    """What one page was chosen from. K candidates in order of utility."""

    rows_K: NDArray[np.int32]
    utility_K: NDArray[np.float32]
    warm: bool
    """Whether the viewer has a history."""
    spread_K: NDArray[np.float32] | None = None
    """See `serving.thompson`; None under other kinds of chance."""


class Notebook:
    """Notes on their way to whoever records them. Safe for many threads."""

    def __init__(self, wanted: Callable[[Request], bool] = lambda request: True) -> None:
        """`wanted` says which requests are noted."""
        self._wanted = wanted
        self._pending: OrderedDict[str, Callable[[], Note]] = OrderedDict()

    def over(self, recommender: Recommender) -> "Witness":
        """The recommender, witnessed."""
        return Witness(recommender, self)

    def among(self, base: Base) -> Base:
        """A base whose recommenders are witnessed."""
        return replace(base, build=lambda config: self.over(base.build(config)))

    def put(self, request: Request, note: Callable[[], Note]) -> None:
        """Keep a note, made when it is taken, where it is wanted."""
        if not self._wanted(request):
            return
        self._pending[request.request_id] = note
        while len(self._pending) > _CAPACITY:
            self._pending.popitem(last=False)

    def take(self, request_id: str) -> Note | None:
        """The note of a page, once; None where there is none."""
        made = self._pending.pop(request_id, None)
        return None if made is None else made()


class Witness(Recommender):
    """See the module. Costs nothing to make: parts, watchdogs and the daily cap on chance are the inner recommender's."""

    def __init__(self, inner: Recommender, notes: Notebook) -> None:
        vars(self).update(vars(inner))
        self._inner, self._notes = inner, notes

    def explore(self, request: Request, index: int, candidates: CandidateSet, ranked: Ranked, order: NDArray[np.int64]) -> Page:
        """See Recommender."""
        rows, utility = candidates.rows_BK[index], ranked.utility_BK[index]
        history = candidates.query.part.history_BL[index]
        spread = self._inner.spread(request.at) if isinstance(self._inner, ThompsonRecommender) else None
        self._notes.put(request, lambda: _note(rows, utility, history, spread))
        return self._inner.explore(request, index, candidates, ranked, order)


def _note(
    rows_K: NDArray[np.int32],
    utility_K: NDArray[np.float32],
    history_L: NDArray[np.int32],
    spread_V: NDArray[np.float32] | None,
) -> Note:
    """Without padding, in order of utility."""
    known = rows_K[rows_K >= 0]
    utility = utility_K[: len(known)].astype(np.float32)
    order = np.argsort(-utility, kind="stable")
    rows = known[order]
    return Note(rows, utility[order], bool((history_L >= 0).any()), None if spread_V is None else spread_V[rows])


def again(recommender: Recommender, request: Request, note: Note, *, chance: bool = True) -> tuple[NDArray[np.int64], Page]:
    """The page of a note: ids in display order, and how they were chosen among `note.rows_K`.

    Args:
        recommender: whose page it is; its state plays no part.
        request: id, instant and k count.
        note: what it chose from.
        chance: False where the viewer had used up the day's cap, so that every propensity is 1.
    """
    parts, settings, rows = recommender.parts, recommender.config.exploration, note.rows_K
    settings = settings if chance else replace(settings, epsilon=0.0)
    ids, fresh = parts.catalogue.video_ids[rows], parts.fresh(rows, request.at)
    ranked = parts.order(note.utility_K, rows, request.at, request.k)
    if note.spread_K is None:
        page = explorer.page_of(ranked, note.utility_K, fresh, settings, request.request_id)
    else:
        page = thompson.page_of(ranked, note.utility_K, note.spread_K, fresh, ids, settings, request)
    return ids[page.chosen], page
