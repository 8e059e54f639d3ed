"""A table in a file, mapped into memory: more rows than memory holds, read and written a batch at a time.

The file is a plain .npy array, created sparse: rows that nobody has written take neither time nor disk and read as zero. Pages
that were read stay in the process's memory until `resident_bytes` of them could have gathered; then the mapping lets go of
them all (the operating system still holds them while it has room). Read-ahead is off: look-ups are scattered. Linux maps what
lies around a page as well, up to 2 MiB, so a scattered reader may pass the bound until the next release.

Knows nothing of caches (`embeddings.cache`) or of what the rows mean. Honours the bound where mmap has madvise (Linux, macOS).
"""

import mmap
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from core.errors import BadInput

RESIDENT_BYTES = 512 << 20
_READ_AHEAD_OFF = getattr(mmap, "MADV_RANDOM", None)
_LET_GO = getattr(mmap, "MADV_DONTNEED", None)


class HostTable:
    """V rows of D numbers in a file."""

    def __init__(self, path: Path, *, writable: bool = False, resident_bytes: int = RESIDENT_BYTES) -> None:
        """Map an existing file.

        Raises:
            BadInput: it is missing or no table.
        """
        try:
            self._rows = np.lib.format.open_memmap(path, mode="r+" if writable else "r")
        except (OSError, ValueError) as error:
            raise BadInput(f"{path} is no embedding table: {error}") from error
        if self._rows.ndim != 2:
            raise BadInput(f"{path} is no embedding table: its shape is {self._rows.shape}, not rows × numbers")
        self.row_bytes = self._rows.shape[1] * self._rows.dtype.itemsize
        pages_of_a_row = -(-self.row_bytes // mmap.PAGESIZE) + (self.row_bytes % mmap.PAGESIZE > 0)
        self._touch_bytes = pages_of_a_row * mmap.PAGESIZE
        self._limit, self._touched = resident_bytes, 0
        self._advise(_READ_AHEAD_OFF)

    @classmethod
    def create(
        cls, path: Path, rows: int, dim: int, dtype: DTypeLike = np.float32, resident_bytes: int = RESIDENT_BYTES
    ) -> "HostTable":
        """A new table of zeros, writable; takes disk only for the rows that are written."""
        if rows < 1 or dim < 1:
            raise BadInput(f"a table of {rows} × {dim} is empty")
        np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=(rows, dim)).flush()
        return cls(path, writable=True, resident_bytes=resident_bytes)

    def __len__(self) -> int:
        return int(self._rows.shape[0])

    @property
    def dim(self) -> int:
        """Numbers in a row."""
        return int(self._rows.shape[1])

    @property
    def dtype(self) -> np.dtype:
        """Of a number."""
        return self._rows.dtype

    def read(self, row_N: NDArray[np.int64]) -> NDArray:
        """Copies of some rows. [N, D]"""
        self._touch(len(row_N))
        return np.asarray(self._rows[row_N])

    def write(self, row_N: NDArray[np.int64], vector_ND: NDArray) -> None:
        """Replace some rows; of a row named twice, the last vector stays."""
        self._touch(len(row_N))
        self._rows[row_N] = vector_ND

    def _touch(self, num_rows: int) -> None:
        self._touched += num_rows * self._touch_bytes
        if self._touched > self._limit:
            self._advise(_LET_GO)
            self._touched = num_rows * self._touch_bytes

    def _advise(self, advice: int | None) -> None:
        mapping = self._rows._mmap  # type: ignore[attr-defined]  # numpy offers no public way to its own mapping
        if advice is not None:
            mapping.madvise(advice)
