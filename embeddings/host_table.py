"""A table in a file: more rows than memory holds, read and written a batch at a time.

The file is a plain .npy array, created sparse: rows that nobody has written take neither time nor disk and read as zero. Rows
are read one by one at their place (pread), not through a mapping: the process holds the rows that it asked for and nothing
else, where a mapping of large pages brings in up to 2 MiB for each row. What was read stays with the operating system while
that has room. Read-ahead is off: look-ups are scattered.

Knows nothing of caches (`embeddings.cache`) or of what the rows mean. For Linux and macOS.
"""

import os
import weakref
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from core.errors import BadInput


class HostTable:
    """V rows of D numbers in a file."""

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        """Open an existing file.

        Raises:
            BadInput: it is missing or no table.
        """
        try:
            array = np.lib.format.open_memmap(path, mode="r")
        except (OSError, ValueError) as error:
            raise BadInput(f"{path} is no embedding table: {error}") from error
        if array.ndim != 2 or not array.flags.c_contiguous:
            raise BadInput(f"{path} is no embedding table: its shape is {array.shape}, not rows × numbers, row by row")
        self._shape, self.dtype, self._begin = array.shape, array.dtype, int(array.offset)
        self._file = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_RANDOM)

    @classmethod
    def create(cls, path: Path, rows: int, dim: int, dtype: DTypeLike = np.float32) -> "HostTable":
        """A new table of zeros, writable; takes disk only for the rows that are written."""
        if rows < 1 or dim < 1:
            raise BadInput(f"a table of {rows} × {dim} is empty")
        np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=(rows, dim)).flush()
        return cls(path, writable=True)

    def __len__(self) -> int:
        return int(self._shape[0])

    @property
    def dim(self) -> int:
        """Numbers in a row."""
        return int(self._shape[1])

    @property
    def row_bytes(self) -> int:
        """Size of a row."""
        return self.dim * self.dtype.itemsize

    def read(self, row_N: NDArray[np.int64]) -> NDArray:
        """Copies of some rows. [N, D]

        Raises:
            IndexError: there is no such row.
        """
        found = np.empty((len(row_N), self.dim), dtype=self.dtype)
        buffer = found.reshape(-1).view(np.uint8).data
        for first, place in zip(range(0, found.nbytes, self.row_bytes), self._places(row_N), strict=True):
            os.preadv(self._file, [buffer[first : first + self.row_bytes]], place)
        return found

    def write(self, row_N: NDArray[np.int64], vector_ND: NDArray) -> None:
        """Replace some rows; of a row named twice, the last vector stays.

        Raises:
            IndexError: there is no such row.
        """
        given = np.ascontiguousarray(np.broadcast_to(vector_ND, (len(row_N), self.dim)), dtype=self.dtype)
        buffer = given.reshape(-1).view(np.uint8).data
        for first, place in zip(range(0, given.nbytes, self.row_bytes), self._places(row_N), strict=True):
            os.pwrite(self._file, buffer[first : first + self.row_bytes], place)

    def _places(self, row_N: NDArray[np.int64]) -> list[int]:
        if len(row_N) and not 0 <= row_N.min() <= row_N.max() < len(self):
            raise IndexError(f"rows {row_N.min()} to {row_N.max()} of a table of {len(self)}")
        places: list[int] = (self._begin + row_N.astype(np.int64) * self.row_bytes).tolist()
        return places
