"""Window sums and latest events at any past instant, from a whole log: the point-in-time reading for training.

Each event is a step of +amount at received_at + 1 and one of −amount when its tile leaves the window, (⌊event_at / T⌋ + n)·T
(no step at all where that comes first). The sum at t is the prefix sum of all steps up to t: one binary search per question,
no loop. An entity and an instant are packed into one sorted integer key.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.errors import BadInput
from features.tiles import EventArrays, Ints, Sum


@dataclass(frozen=True)
class Timeline:
    """Packs (entity, instant) into one integer that sorts by entity, then instant."""

    origin: int
    span: int

    @staticmethod
    def of(arrays: EventArrays, sums: tuple[Sum, ...], num_entities: int) -> "Timeline":
        """Long enough for every step of these events.

        Raises:
            BadInput: entities × milliseconds do not fit in 63 bits.
        """
        first, last = (int(arrays.received_at[0]), int(arrays.received_at[-1])) if len(arrays) else (0, 0)
        longest = max((spec.tile_ms * spec.tiles for spec in sums), default=0)
        span = last - first + longest + 3
        if span * (num_entities + 1) >= 2**63:
            raise BadInput(f"{num_entities} entities over {span} ms are too many for one table; split the log in time")
        return Timeline(first, span)

    def keys(self, entity: np.ndarray, at: Ints) -> Ints:
        """Keys of entities (rows; −1 sorts before all) at instants."""
        return entity.astype(np.int64) * self.span + np.clip(at - self.origin, 0, self.span - 1)


@dataclass(frozen=True)
class StepSums:
    """One window sum of every entity as a sorted staircase."""

    keys: Ints
    """[n] where the steps are."""
    height: Ints
    """[n] the sum after each step, counted from the entity's first."""

    @staticmethod
    def of(timeline: Timeline, arrays: EventArrays, entity: np.ndarray, spec: Sum) -> "StepSums":
        """Steps of all events of one kind; events without an entity (−1) do not count."""
        at = arrays.positions(spec.event)
        at = at[entity[at] >= 0]
        begins = arrays.received_at[at] + 1
        ends = (spec.tile(arrays.event_at[at]) + spec.tiles) * spec.tile_ms
        at, begins, ends = (values[ends > begins] for values in (at, begins, ends))
        amount = arrays.amounts(spec, at)
        keys = np.concatenate([timeline.keys(entity[at], begins), timeline.keys(entity[at], ends)])
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        # Every entity's steps add up to zero, so the running sum starts each entity from zero by itself.
        return StepSums(keys, np.cumsum(np.concatenate([amount, -amount])[order]))

    def at(self, keys: Ints) -> Ints:
        """The sum at each key, counting steps up to and including it."""
        if not len(self.keys):
            return np.zeros(len(keys), dtype=np.int64)
        place = np.searchsorted(self.keys, keys, side="right")
        return np.where(place > 0, self.height[place - 1], 0)


def totals(steps: Mapping[Sum, StepSums], keys: Ints) -> dict[Sum, Ints]:
    """Every sum at every key. Asking in sorted order keeps the searches in cache."""
    order = np.argsort(keys.ravel())
    wanted = keys.ravel()[order]
    found: dict[Sum, Ints] = {}
    for spec, step in steps.items():
        values = np.empty(len(order), dtype=np.int64)
        values[order] = step.at(wanted)
        found[spec] = values.reshape(keys.shape)
    return found


@dataclass(frozen=True)
class Recent:
    """The events of one kind grouped by viewer, in log order."""

    keys: Ints
    """[n] viewer and received_at."""
    offsets: Ints
    """[viewers + 1]"""
    positions: Ints
    """[n] into the EventArrays."""

    @staticmethod
    def of(timeline: Timeline, arrays: EventArrays, viewer_rows: np.ndarray, positions: Ints, num_viewers: int) -> "Recent":
        """Group the events at `positions`."""
        order = np.argsort(viewer_rows[positions], kind="stable")
        positions = positions[order]
        rows = viewer_rows[positions]
        offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=num_viewers))]).astype(np.int64)
        return Recent(timeline.keys(rows, arrays.received_at[positions]), offsets, positions)

    def until(self, viewer_rows: np.ndarray, keys: Ints) -> tuple[Ints, Ints]:
        """[begin, end) of what each viewer had received strictly before each key."""
        begin = np.where(viewer_rows >= 0, self.offsets[viewer_rows], 0)
        return begin, np.searchsorted(self.keys, keys, side="left")

    def latest(self, begin: Ints, end: Ints, n: int) -> tuple[Ints, np.ndarray]:
        """Positions of the latest n, most recent first, and which of them exist. Both [B, n]."""
        places = end[:, None] - 1 - np.arange(n)
        exists = places >= begin[:, None]
        if not len(self.positions):
            return np.zeros(places.shape, dtype=np.int64), exists
        return self.positions[np.maximum(places, 0)], exists
