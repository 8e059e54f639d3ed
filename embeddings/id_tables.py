"""Which rows of a table describe an id: a row for each, or fewer rows than ids. Decided before training, kept while it goes on.

    whole               row = the id's place in the catalogue
    hash                row = mix(id) mod m; ids that hash alike share a row for good
    quotient_remainder  vector = R[n mod m] + Q[n div m], n the id's number (Shi et al. 2020): every id has a pair of its own
    admitted            row by `embeddings.growth.IdMap`: for ids seen often enough and lately; the others have none

R and Q lie one after the other in one table. A bag of two rows, pooled by sum, is then the vector, and every backend of
`embeddings.tables` trains it as it is, divided ones too. An id's number is its place in the order of arrival: ids from outside
are up to 2⁶³ (`core.ids`), and Q would have a row for every m of these. A hash reads the id itself. Either way an id keeps its
rows when others come.

Pure: numpy, no torch, no catalogue. Shapes: N ids, P rows of each (2 for quotient_remainder, else 1), −1 where an id has none.
"""

import copy
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from embeddings.compression import hashed_row
from embeddings.growth import ABSENT, GrowthConfig, IdMap

WHOLE, HASH, QUOTIENT_REMAINDER, ADMITTED = "whole", "hash", "quotient_remainder", "admitted"
SCHEMES = (WHOLE, HASH, QUOTIENT_REMAINDER, ADMITTED)
_PARTS = 8
"""`IdMap` hears of sightings in runs of an eighth of its rows, so which of two ids was seen last is known to that."""
_NEVER = np.iinfo(np.int64).min

Ids = NDArray[np.int64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class IdTableConfig:
    """How many rows describe the ids of a catalogue, and how they are given out."""

    scheme: str = WHOLE
    """whole, hash, quotient_remainder or admitted."""
    share: float = 1.0
    """Rows, as a share of the catalogue that training begins with. A warm start keeps their number, or ids would lose theirs;
    for quotient_remainder it adds what new ids need, one row for m of them."""
    admit_after: int = 1
    """admitted: clicks before a video gets a row."""

    def __post_init__(self) -> None:
        """Raises ConfigError on values that cannot work."""
        if self.scheme not in SCHEMES:
            raise ConfigError(f"ids.scheme '{self.scheme}' is none of {', '.join(SCHEMES)}")
        if not 0 < self.share <= 1:
            raise ConfigError(f"ids.share {self.share} must be above 0 and at most 1: more rows than videos would lie idle")
        if self.scheme == WHOLE and self.share != 1:
            raise ConfigError(f"ids.share {self.share} needs a scheme that shares rows or leaves videos without: not '{WHOLE}'")
        if self.admit_after < 1 or (self.admit_after > 1 and self.scheme != ADMITTED):
            raise ConfigError(f"ids.admit_after {self.admit_after} must be at least 1, and 1 for any scheme but '{ADMITTED}'")


@dataclass(frozen=True)
class Sightings:
    """n sightings of ids, in any order."""

    ids: Ids
    at: NDArray[np.int64]
    """Instants (ms)."""


class IdTable(Protocol):
    """Rows of ids. Nothing here changes; what grows is another one."""

    @property
    def num_rows(self) -> int:
        """Rows of the table, at least 1."""
        ...

    def rows(self, ids: Ids) -> Rows:
        """The rows whose sum describes each id. [N, P]"""
        ...

    def grown(self, ids: Ids, seen: Sightings) -> "IdTable":
        """For a catalogue that may have more or other ids, after more sightings; whoever stays keeps its rows."""
        ...

    def continues(self, before: "IdTable") -> NDArray[np.int32]:
        """The row of `before` that each row goes on from, −1 where it starts anew. [num_rows]

        Raises:
            ConfigError: the ids of `before` have their rows in another way.
        """
        ...


T = TypeVar("T", bound=IdTable)


def begin(config: IdTableConfig, ids: Ids, seen: Sightings | None = None) -> IdTable:
    """Rows for the distinct `ids` of a catalogue; without sightings nobody is admitted.

    Raises:
        ConfigError: too few rows for a pair per id.
    """
    if config.scheme == WHOLE:
        return WholeIds(ids)
    rows = max(1, round(config.share * len(ids)))
    if config.scheme == HASH:
        return HashedIds(rows)
    if config.scheme == QUOTIENT_REMAINDER:
        return PairedIds(ids, most_remainders(len(ids), rows))
    empty = AdmittedIds(IdMap(GrowthConfig(rows, config.admit_after)))
    return empty if seen is None else empty.grown(ids, seen)


@dataclass(frozen=True)
class WholeIds:
    """A row for every id."""

    ids: Ids
    """[V] distinct; row by row."""

    @property
    def num_rows(self) -> int:
        """See IdTable."""
        return max(len(self.ids), 1)

    def rows(self, ids: Ids) -> Rows:
        """See IdTable."""
        return _places(self.ids, ids)[:, None]

    def grown(self, ids: Ids, seen: Sightings) -> "WholeIds":
        """See IdTable; rows follow the catalogue."""
        return WholeIds(ids)

    def continues(self, before: IdTable) -> NDArray[np.int32]:
        """See IdTable."""
        theirs = _alike(self, before)
        found = np.full(self.num_rows, ABSENT, dtype=np.int32)
        found[: len(self.ids)] = _places(theirs.ids, self.ids)
        return found


@dataclass(frozen=True)
class HashedIds:
    """Ids share rows as their hashes fall."""

    num_rows: int

    def rows(self, ids: Ids) -> Rows:
        """See IdTable."""
        return hashed_row(ids, self.num_rows)[:, None]

    def grown(self, ids: Ids, seen: Sightings) -> "HashedIds":
        """See IdTable; another number of rows would move every id."""
        return self

    def continues(self, before: IdTable) -> NDArray[np.int32]:
        """See IdTable."""
        if _alike(self, before).num_rows != self.num_rows:
            raise ConfigError(f"{self.num_rows} hashed rows cannot go on from {before.num_rows}: every id would move")
        return np.arange(self.num_rows, dtype=np.int32)


@dataclass(frozen=True)
class PairedIds:
    """A pair of rows for every id: one of `remainders`, and one of the quotients behind them."""

    ids: Ids
    """[n] distinct, in order of arrival: an id's number is its place here."""
    remainders: int

    @property
    def num_rows(self) -> int:
        """See IdTable."""
        return self.remainders + _quotients(len(self.ids), self.remainders)

    def rows(self, ids: Ids) -> Rows:
        """See IdTable."""
        number_N = _places(self.ids, ids)
        quotient_N, remainder_N = np.divmod(number_N, self.remainders)
        pair_N2 = np.stack([remainder_N, self.remainders + quotient_N], axis=1)
        return np.where(number_N[:, None] == ABSENT, ABSENT, pair_N2)

    def grown(self, ids: Ids, seen: Sightings) -> "PairedIds":
        """See IdTable; new ids get the next numbers."""
        return replace(self, ids=np.concatenate([self.ids, ids[_places(self.ids, ids) == ABSENT]]))

    def continues(self, before: IdTable) -> NDArray[np.int32]:
        """See IdTable."""
        theirs = _alike(self, before)
        if theirs.remainders != self.remainders or not np.array_equal(theirs.ids, self.ids[: len(theirs.ids)]):
            raise ConfigError("pairs of rows cannot go on from others where ids have other numbers; grow those instead")
        row = np.arange(self.num_rows, dtype=np.int32)
        return np.where(row < theirs.num_rows, row, ABSENT).astype(np.int32)


@dataclass(frozen=True)
class AdmittedIds:
    """A row for ids that were seen often enough and, where there is no room for all, lately."""

    map: IdMap
    """Not to be changed: `grown` has a copy."""
    seen_until: int = _NEVER
    """Sightings up to here are counted. Earlier ones that come later never are, so a log may be read twice."""

    @property
    def num_rows(self) -> int:
        """See IdTable."""
        return self.map.config.capacity

    def rows(self, ids: Ids) -> Rows:
        """See IdTable."""
        return self.map.rows(ids)[:, None]

    def grown(self, ids: Ids, seen: Sightings) -> "AdmittedIds":
        """See IdTable."""
        new = np.flatnonzero(seen.at > self.seen_until)
        if not len(new):
            return self
        new, grown = new[np.argsort(seen.at[new], kind="stable")], copy.deepcopy(self.map)
        step = max(1, self.num_rows // _PARTS)
        for start in range(0, len(new), step):
            run = new[start : start + step]
            grown.observe(seen.ids[run], int(seen.at[run[-1]]))
        return AdmittedIds(grown, int(seen.at[new[-1]]))

    def continues(self, before: IdTable) -> NDArray[np.int32]:
        """See IdTable; a row whose id has changed starts anew."""
        held, row = self.map.id_of_C, np.arange(self.num_rows)
        theirs = _alike(self, before).map.id_of_C
        same = (row < len(theirs)) & (held != ABSENT) & (held == theirs[np.minimum(row, len(theirs) - 1)])
        return np.where(same, row, ABSENT).astype(np.int32)


def most_remainders(ids: int, rows: int) -> int:
    """The most remainders that leave, of so many rows, enough quotients for a pair per id: m + ⌈ids / m⌉ ≤ rows.

    Raises:
        ConfigError: 2 √ids rows are the fewest that do.
    """
    for remainders in range(rows, 0, -1):
        if remainders + _quotients(ids, remainders) <= rows:
            return remainders
    raise ConfigError(
        f"{rows} rows are too few for a pair of rows for each of {ids} videos: {QUOTIENT_REMAINDER} needs about 2 √V; "
        f"raise ids.share, or use the scheme '{HASH}'"
    )


def _quotients(ids: int, remainders: int) -> int:
    return -(-ids // remainders)


def _alike(mine: T, theirs: IdTable) -> T:
    if not isinstance(theirs, type(mine)):
        raise ConfigError("a table of ids goes on only from one of the same scheme; train from nothing to change ids.scheme")
    return theirs


def _places(known: Ids, wanted: Ids) -> Rows:
    """Where each wanted id is among distinct ones, −1 where it is not. [N]"""
    if not len(known):
        return np.full(len(wanted), ABSENT, dtype=np.int64)
    order = np.argsort(known, kind="stable")
    at = order[np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)]
    return np.where(known[at] == wanted, at, ABSENT)
