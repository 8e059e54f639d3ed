"""Smaller tables after training: fewer bits per number, or fewer rows than ids.

    fp16                every number as a half: relative error at most 2⁻¹¹ from 6.1e-5 to 65,504
    int8                per row x ≈ offset + scale · code, code 0 … 255, offset = min, scale = (max − min) / 255, both fp32
                        (fbgemm's 8-bit rows): error at most scale / 2
    hash                id → row mix(id) mod m; the row is the mean of the vectors that share it
    quotient-remainder  vector ≈ R[id mod m] + Q[id div m] (Shi et al. 2020, added): every id has a pair of its own, so
                        no two need be equal; R and Q are the least-squares fit, by alternating means

`hash` and `quotient-remainder` fold vectors that were trained apart; towers can also be trained *through* such a table
(`embeddings.id_tables`), which loses less. Shares of ids that collide: `embeddings.arithmetic`. Every class reads as fp32 and
says how many bytes it keeps.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput

Vectors = NDArray[np.float32]
_LEVELS = 255
_SWEEPS = 8


class Rows(Protocol):
    """A table of vectors, however it is kept."""

    @property
    def nbytes(self) -> int:
        """Bytes kept."""
        ...

    def read(self, row_N: NDArray[np.int64]) -> Vectors:
        """Vectors of some ids. [N, D]"""
        ...


@dataclass(frozen=True)
class HalfRows:
    """Numbers as halves."""

    half_VD: NDArray[np.float16]

    @classmethod
    def of(cls, vector_VD: Vectors) -> "HalfRows":
        """Raises: BadInput: a number does not fit a half."""
        if np.abs(vector_VD).max(initial=0.0) > np.finfo(np.float16).max:
            raise BadInput("a number above 65,504 does not fit fp16; use int8 rows, which scale")
        return cls(vector_VD.astype(np.float16))

    @property
    def nbytes(self) -> int:
        """Bytes kept."""
        return self.half_VD.nbytes

    def read(self, row_N: NDArray[np.int64]) -> Vectors:
        """Vectors of some ids. [N, D]"""
        return self.half_VD[row_N].astype(np.float32)


@dataclass(frozen=True)
class ByteRows:
    """Rows of bytes with a scale and an offset each."""

    code_VD: NDArray[np.uint8]
    scale_V: NDArray[np.float32]
    offset_V: NDArray[np.float32]

    @classmethod
    def of(cls, vector_VD: Vectors) -> "ByteRows":
        """Raises: BadInput: a number is not finite."""
        if not np.isfinite(vector_VD).all():
            raise BadInput("a row with a number that is not finite cannot be scaled to bytes")
        offset_V = vector_VD.min(axis=1)
        scale_V = (vector_VD.max(axis=1) - offset_V) / np.float32(_LEVELS)
        step_V = np.where(scale_V > 0, scale_V, np.float32(1))
        code_VD = np.rint((vector_VD - offset_V[:, None]) / step_V[:, None]).clip(0, _LEVELS)
        return cls(code_VD.astype(np.uint8), scale_V, offset_V)

    @property
    def nbytes(self) -> int:
        """Bytes kept."""
        return self.code_VD.nbytes + self.scale_V.nbytes + self.offset_V.nbytes

    def read(self, row_N: NDArray[np.int64]) -> Vectors:
        """Vectors of some ids. [N, D]"""
        return self.offset_V[row_N, None] + self.scale_V[row_N, None] * self.code_VD[row_N]


@dataclass(frozen=True)
class HashedRows:
    """Fewer rows than ids: ids that hash alike are one vector."""

    vector_MD: Vectors

    @classmethod
    def of(cls, vector_VD: Vectors, rows: int) -> "HashedRows":
        """Fold V vectors into `rows`."""
        return cls(_means(vector_VD, hashed_row(np.arange(len(vector_VD)), rows), rows))

    @property
    def nbytes(self) -> int:
        """Bytes kept."""
        return self.vector_MD.nbytes

    def read(self, row_N: NDArray[np.int64]) -> Vectors:
        """Vectors of some ids. [N, D]"""
        return self.vector_MD[hashed_row(row_N, len(self.vector_MD))]


@dataclass(frozen=True)
class QuotientRemainderRows:
    """Two small tables whose rows add up to an id's vector."""

    remainder_MD: Vectors
    quotient_QD: Vectors

    @classmethod
    def of(cls, vector_VD: Vectors, remainders: int) -> "QuotientRemainderRows":
        """The least-squares fit with `remainders` rows in the first table."""
        quotient_V, remainder_V = np.divmod(np.arange(len(vector_VD)), remainders)
        num_quotients = -(-len(vector_VD) // remainders)
        quotient_QD = np.zeros((num_quotients, vector_VD.shape[1]), dtype=np.float32)
        for _ in range(_SWEEPS):
            remainder_MD = _means(vector_VD - quotient_QD[quotient_V], remainder_V, remainders)
            quotient_QD = _means(vector_VD - remainder_MD[remainder_V], quotient_V, num_quotients)
        return cls(remainder_MD, quotient_QD)

    @property
    def nbytes(self) -> int:
        """Bytes kept."""
        return self.remainder_MD.nbytes + self.quotient_QD.nbytes

    def read(self, row_N: NDArray[np.int64]) -> Vectors:
        """Vectors of some ids. [N, D]"""
        quotient_N, remainder_N = np.divmod(row_N, len(self.remainder_MD))
        return self.remainder_MD[remainder_N] + self.quotient_QD[quotient_N]


def hashed_row(id_N: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """[N] a row for each id, as if drawn at random: the finaliser of SplitMix64 (Steele, Lea, Flood 2014), mod `rows`."""
    if rows < 1:
        raise BadInput(f"ids cannot be hashed into {rows} rows")
    mixed = np.asarray(id_N, dtype=np.int64).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) % np.uint64(rows)).astype(np.int64)


def _means(vector_VD: Vectors, group_V: NDArray[np.int64], num_groups: int) -> Vectors:
    """[G, D] mean vector of each group; zero for an empty one."""
    count_G = np.bincount(group_V, minlength=num_groups)
    sums = [np.bincount(group_V, weights=column, minlength=num_groups) for column in vector_VD.T]
    return (np.stack(sums, axis=1) / np.maximum(count_G, 1)[:, None]).astype(np.float32)
