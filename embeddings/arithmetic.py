"""How large embedding tables are, and how often a cache or a hash of a given size does its job: closed forms, no data.

Bytes:        rows × dim × bytes of a number, and what the optimiser keeps per row.
Popularity:   rank r is looked up with probability r^−s / H(n, s). H(n, s) = Σ_{r ≤ n} r^−s; beyond a few hundred terms by
              Euler–Maclaurin, so a billion rows cost the same as a thousand.
Best cache:   holds the C most popular rows: hit rate H(C, s) / H(n, s).
LRU cache:    Che's approximation (Che, Tung, Wang 2002): h_r = 1 − exp(−p_r T), T solving Σ_r h_r = C.
One batch:    B look-ups touch Σ_r 1 − (1 − p_r)^B different rows.
One hash:     n ids in m rows: an id shares its row with probability 1 − (1 − 1/m)^(n−1); m (1 − (1 − 1/m)^n) rows are used.

All of it assumes independent look-ups with a popularity that stands still; a session that returns to the same videos does
better under LRU than these figures, and a trend that moves does worse under a fixed set.
"""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from core.errors import BadInput

DTYPE_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}
STATE_BYTES = {"sgd": (0, 0), "rowwise_adagrad": (4, 0), "adagrad": (0, 4), "adam": (0, 8)}
"""What an optimiser keeps, in fp32: (bytes per row, bytes per number)."""
SCALE_BYTES = 8
"""An int8 row also holds its scale and offset in fp32 (see `embeddings.compression`)."""

_EXACT_TERMS = 256
_EXACT_RANKS = 100_000
_RATIO = 1.001

T = TypeVar("T")


@dataclass(frozen=True)
class TableSize:
    """Bytes of one table in training."""

    weights: int
    state: int

    @property
    def total(self) -> int:
        """Weights and optimiser state."""
        return self.weights + self.state


def row_bytes(dim: int, dtype: str) -> int:
    """Bytes of one stored row."""
    return dim * _known(DTYPE_BYTES, dtype, "dtype") + (SCALE_BYTES if dtype == "int8" else 0)


def table_size(rows: int, dim: int, dtype: str = "fp32", optimizer: str = "sgd") -> TableSize:
    """Bytes of a table and of what its optimiser keeps.

    Raises:
        BadInput: an unknown dtype or optimiser.
    """
    per_row, per_number = _known(STATE_BYTES, optimizer, "optimiser")
    return TableSize(rows * row_bytes(dim, dtype), rows * (per_row + dim * per_number))


def harmonic(n: int, s: float) -> float:
    """H(n, s) = Σ_{r=1..n} r^−s for s ≥ 0, to about 12 digits."""
    exact = float(np.sum(np.arange(min(n, _EXACT_TERMS), 0, -1, dtype=np.float64) ** -s))
    if n <= _EXACT_TERMS:
        return exact
    a, b = float(_EXACT_TERMS), float(n)
    integral = math.log(b / a) if s == 1 else (b ** (1 - s) - a ** (1 - s)) / (1 - s)
    ends = (b**-s - a**-s) / 2  # the first term of the tail, a^−s, is already in `exact`
    slopes = s / 12 * (a ** (-s - 1) - b ** (-s - 1))
    return exact + integral + ends + slopes


def best_hit_rate(rows: int, cached: int, exponent: float = 1.0) -> float:
    """Share of look-ups that the `cached` most popular of `rows` Zipf rows receive: no cache does better."""
    return harmonic(min(cached, rows), exponent) / harmonic(rows, exponent)


def lru_hit_rate(rows: int, cached: int, exponent: float = 1.0) -> float:
    """Che's approximation of an LRU cache's hit rate on Zipf look-ups.

    Ranks beyond 100,000 are treated in groups whose first and last rank differ by 0.1 %.
    """
    if cached >= rows:
        return 1.0
    rank, size = _rank_groups(rows)
    p = rank**-exponent
    p /= float(p @ size)

    def overfull(log_t: float) -> float:
        return float(-np.expm1(-p * math.exp(log_t)) @ size) - cached

    log_t = float(brentq(overfull, math.log(cached) - 1, math.log(cached / p[-1]) + 10, xtol=1e-12))
    return float((-np.expm1(-p * math.exp(log_t)) * p) @ size)


def distinct_rows(rows: int, lookups: int, exponent: float = 1.0) -> float:
    """Expected number of different rows among Zipf look-ups. Ranks in groups as in `lru_hit_rate`."""
    rank, size = _rank_groups(rows)
    p = rank**-exponent
    p /= float(p @ size)
    return float(-np.expm1(lookups * np.log1p(-np.minimum(p, 1 - 1e-12))) @ size)


def shared_row_share(ids: int, rows: int) -> float:
    """Expected share of `ids` that share their row with another one when each is hashed into one of `rows`."""
    return -math.expm1((ids - 1) * math.log1p(-1 / rows)) if rows > 1 else float(ids > 1)


def used_rows(ids: int, rows: int) -> float:
    """Expected number of `rows` that at least one of `ids` hashes into."""
    return rows * -math.expm1(ids * math.log1p(-1 / rows)) if rows > 1 else float(min(ids, 1))


def quotient_remainder_rows(ids: int, remainders: int) -> tuple[int, int]:
    """Rows of the (remainder, quotient) tables that give each of `ids` a pair of its own (Shi et al. 2020)."""
    return remainders, -(-ids // remainders)


def _rank_groups(rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[G] a rank that stands for each group, and how many ranks it stands for."""
    exact = np.arange(1, min(rows, _EXACT_RANKS) + 1, dtype=np.float64)
    if rows <= _EXACT_RANKS:
        return exact, np.ones_like(exact)
    num_groups = math.ceil(math.log(rows / _EXACT_RANKS) / math.log(_RATIO)) + 1
    edges = np.unique(np.floor(np.geomspace(_EXACT_RANKS, rows, num_groups)))
    edges[-1] = rows
    middle = np.sqrt((edges[:-1] + 1) * edges[1:])
    return np.concatenate([exact, middle]), np.concatenate([np.ones_like(exact), np.diff(edges)])


def _known(values: dict[str, T], name: str, what: str) -> T:
    if name not in values:
        raise BadInput(f"there is no {what} '{name}'; known: {', '.join(values)}")
    return values[name]
