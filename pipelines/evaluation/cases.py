"""What models are asked, kept apart from the answers.

`Cases` is all that a model ever sees: who, when, and what was watched before. `HeldOut` pairs them with the targets, which only
the scoring code reads; so no model can put a target among its candidates (the type has none to put there).

Two protocols. Global time split: every first click of a viewer on a video at or after t0 is one case with one target, its
history all the viewer's earlier clicks, also those after t0 (Ji et al., TOIS 2023: leave-one-out lets models learn from the
future). Held-out file: one case per viewer, all its held-out videos are targets, its history all training interactions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core import rng
from core.ragged import Ragged
from data.catalogue import lookup
from data.interactions import Interactions, group
from data.splits import Pairs


@dataclass(frozen=True)
class Cases:
    """N questions: which videos will this viewer watch next? Holds no answers."""

    viewer_ids: NDArray[np.int64]
    at: NDArray[np.int64]
    histories: Ragged
    """Catalogue rows watched strictly before `at`, oldest first; also what the seen filter hides."""
    warm: NDArray[np.bool_]
    """Whether the viewer was in the training period."""
    uploaded_at: NDArray[np.int64]
    """[V] instants; a video is hidden before its upload. 0 where unknown."""

    def __len__(self) -> int:
        return len(self.viewer_ids)

    @property
    def num_videos(self) -> int:
        """Size of the catalogue, V."""
        return len(self.uploaded_at)

    def hide(self, scores: NDArray[np.float32], rows: slice) -> NDArray[np.float32]:
        """Put −inf, in place, on what the viewers of `rows` have seen and on what was not yet uploaded. scores: [n, V]"""
        scores[self.uploaded_at[None, :] > self.at[rows, None]] = -np.inf
        seen = self.histories.take(rows)
        scores[seen.owners, seen.values] = -np.inf
        return scores


@dataclass(frozen=True)
class HeldOut:
    """Questions and their answers. Only the code that scores opens `targets`."""

    cases: Cases
    targets: Ragged
    """Catalogue rows per case; −1 for a video that the catalogue lacks (never found, but counted as relevant)."""

    def __len__(self) -> int:
        return len(self.cases)

    def take(self, rows: NDArray[np.int64]) -> "HeldOut":
        """Some of the cases."""
        cases = self.cases
        some = Cases(cases.viewer_ids[rows], cases.at[rows], cases.histories.take(rows), cases.warm[rows], cases.uploaded_at)
        return HeldOut(some, self.targets.take(rows))

    def pairs(self, *, timed: bool = True) -> Pairs:
        """Every (viewer, target), as the leak detector reads them."""
        owners = self.targets.owners
        return Pairs(self.cases.viewer_ids[owners], self.targets.values, self.cases.at[owners] if timed else None)

    def hits(self, ranked_NK: NDArray[np.int32], rows: slice) -> NDArray[np.bool_]:
        """[n, K] whether each ranked video is a target of its case."""
        wanted, width = self.targets.take(rows), self.cases.num_videos + 1
        keys = np.unique(wanted.owners * width + wanted.values)[:, None].ravel()
        asked = np.arange(len(ranked_NK))[:, None] * width + ranked_NK
        return (lookup(keys, asked) >= 0) & (ranked_NK >= 0)


def time_split(
    interactions: Interactions, t0: int, uploaded_at: NDArray[np.int64], *, max_cases: int = 20_000, seed: int = 0
) -> HeldOut:
    """The cases at or after `t0`; more than `max_cases` are sampled uniformly. A repeated video is nobody's target."""
    at, rows = interactions.asked_at, interactions.video_rows
    begins = interactions.offsets[interactions.viewer_rows]
    asked = (at >= t0) & _first_times(interactions) & (uploaded_at[rows] <= at)
    positions = _sample(np.flatnonzero(asked), max_cases, seed)
    histories = Ragged.slices(rows, begins[positions], _known_until(interactions)[positions])
    first_at = interactions.at[begins[positions]]
    cases = Cases(
        viewer_ids=interactions.viewer_ids[interactions.viewer_rows[positions]],
        at=at[positions],
        histories=histories,
        warm=first_at < t0,
        uploaded_at=uploaded_at,
    )
    return HeldOut(cases, Ragged.slices(rows, positions, positions + 1))


def inside(
    interactions: Interactions,
    *,
    timed: bool,
    uploaded_at: NDArray[np.int64] | None = None,
    max_cases: int = 3_000,
    seed: int = 0,
) -> tuple[Interactions, HeldOut]:
    """A part to learn from and cases to choose settings on, both inside a training log, asked the way its test will ask.

    Where there are real times, the last tenth of the interactions; where there is an order, each viewer's last one; else a
    random fifth of each viewer's.
    """
    if timed:
        uploads = np.zeros(interactions.num_videos, dtype=np.int64) if uploaded_at is None else uploaded_at
        split_at = int(np.quantile(interactions.at, 0.9))
        return interactions.before(split_at), time_split(interactions, split_at, uploads, max_cases=max_cases, seed=seed)
    if interactions.ordered:
        return last_out(interactions, max_cases=max_cases, seed=seed)
    return share_out(interactions, max_cases=max_cases, seed=seed)


def last_out(interactions: Interactions, *, max_cases: int = 20_000, seed: int = 0) -> tuple[Interactions, HeldOut]:
    """Each viewer's last interaction as a case, and the interactions without it: for choosing settings inside a training file.

    In a log without order, a random one. Viewers with a single interaction keep it.
    """
    counts = np.diff(interactions.offsets)
    has_two = counts > 1
    back = np.zeros(len(counts), dtype=np.int64)
    if not interactions.ordered:
        back = rng.stream(seed, "last out").integers(0, np.maximum(counts, 1))
    out = (interactions.offsets[1:] - 1 - back)[has_two]
    fresh = np.isin(out, np.flatnonzero(_first_times(interactions)))
    return _without(interactions, out, _sample(out[fresh], max_cases, seed))


def share_out(
    interactions: Interactions, share: float = 0.2, *, max_cases: int = 20_000, seed: int = 0
) -> tuple[Interactions, HeldOut]:
    """A random share of each viewer's interactions as the targets of one case, and the interactions without them.

    Rounded, at least one; viewers with a single interaction keep it.
    """
    counts = np.diff(interactions.offsets)
    wanted = np.where(counts > 1, np.maximum(np.rint(share * counts), 1), 0)
    viewers = interactions.viewer_rows
    shuffled = np.lexsort((rng.stream(seed, "share out").random(len(viewers)), viewers))
    rank = np.arange(len(viewers)) - interactions.offsets[viewers]
    out = shuffled[rank < wanted[viewers]]
    asked = _sample(np.flatnonzero(wanted), max_cases, seed)
    return _without(interactions, out, out[np.isin(viewers[out], asked)])


def held_out(train: Interactions, viewer_ids: NDArray[np.int64], video_rows: NDArray[np.int32]) -> HeldOut:
    """One case per viewer in `viewer_ids`, with all its videos as targets, except those it watched in training."""
    lookup_rows = lookup(train.viewer_ids, viewer_ids)
    watched = np.unique(train.viewer_rows.astype(np.int64) * train.num_videos + train.video_rows)
    again = (lookup_rows >= 0) & (video_rows >= 0)
    again &= lookup(watched, lookup_rows.astype(np.int64) * train.num_videos + video_rows) >= 0
    viewer_ids, video_rows = viewer_ids[~again], video_rows[~again]
    asked, owner = np.unique(viewer_ids, return_inverse=True)
    order = np.argsort(owner, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(asked)))]).astype(np.int64)
    known = lookup(train.viewer_ids, asked)
    begins = np.where(known >= 0, train.offsets[known], 0)
    ends = np.where(known >= 0, train.offsets[known + 1], 0)
    cases = Cases(
        viewer_ids=asked,
        at=np.full(len(asked), int(train.at.max(initial=0)) + 1, dtype=np.int64),
        histories=Ragged.slices(train.video_rows, begins, ends),
        warm=ends > begins,
        uploaded_at=np.zeros(train.num_videos, dtype=np.int64),
    )
    return HeldOut(cases, Ragged(offsets, video_rows[order].astype(np.int32)))


def _without(interactions: Interactions, out: NDArray[np.int64], asked: NDArray[np.int64]) -> tuple[Interactions, HeldOut]:
    """The interactions without those at positions `out`, and those at `asked` as cases against the rest."""
    keep = np.ones(len(interactions), dtype=bool)
    keep[out] = False
    viewer_ids = interactions.viewer_ids[interactions.viewer_rows]
    train = group(
        viewer_ids[keep],
        interactions.video_rows[keep],
        interactions.at[keep],
        interactions.num_videos,
        ordered=interactions.ordered,
    )
    return train, held_out(train, viewer_ids[asked], interactions.video_rows[asked])


def _first_times(interactions: Interactions) -> NDArray[np.bool_]:
    """[n] whether the viewer meets the video for the first time."""
    keys = interactions.viewer_rows.astype(np.int64) * interactions.num_videos + interactions.video_rows
    first = np.zeros(len(keys), dtype=bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return first


def _known_until(interactions: Interactions) -> NDArray[np.int64]:
    """[n] end of the viewer's interactions that were received strictly before each one was asked for."""
    viewers, at = interactions.viewer_rows.astype(np.int64), interactions.at
    since = int(min(at.min(initial=0), interactions.asked_at.min(initial=0)))
    span = int(at.max(initial=0)) - since + 1
    return np.searchsorted(viewers * span + (at - since), viewers * span + (interactions.asked_at - since)).astype(np.int64)


def _sample(positions: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    if len(positions) <= most:
        return positions
    return np.sort(rng.stream(seed, "evaluation cases").choice(positions, most, replace=False))
