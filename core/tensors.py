"""Arrays of a file, mapped: opening it copies nothing, and processes that open the same file share its memory.

For files that never change once they have their name, as those of a release. Formats: safetensors (eight bytes with the length
of a JSON header, the header, then the arrays; https://github.com/huggingface/safetensors) and NumPy's own.
"""

import ctypes
import json
import mmap
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.blocks import blocks

_DTYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8,
    "U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip
_LENGTH = struct.Struct("<Q")
_POPULATE_READ = 22
"""Of Linux's mman.h."""
_TOUCHED = 1 << 24
"""Bytes at a time."""


def mapped(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a safetensors file by name. What is written to one stays in this process.

    Raises:
        OSError: there is no such file.
        ValueError: it is no such file, or was cut off.
    """
    whole = np.asarray(np.memmap(path, np.uint8, "c"))
    header, begin = _header(path, whole)
    return {name: _array(whole[begin:], facts, path) for name, facts in header.items() if name != "__metadata__"}


def mapped_npy(path: Path) -> NDArray[Any]:
    """The array of a NumPy file, as above."""
    return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))


def is_mapped(array: NDArray[Any]) -> bool:
    """Whether an array, or what it is a view of, is a mapping of a file."""
    below: object = array
    while isinstance(below, np.ndarray) and not isinstance(below, np.memmap):
        below = below.base
    return isinstance(below, np.memmap)


def touch(array: NDArray[Any]) -> None:
    """Have all of a mapped array at hand, on Linux. Nothing is copied.

    The first look at a page of memory costs microseconds, and videos for a viewer lie on thousands of them.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    begin = array.ctypes.data // mmap.PAGESIZE * mmap.PAGESIZE
    for some in blocks(array.ctypes.data + array.nbytes - begin, _TOUCHED):
        # In pieces, since other threads that want memory wait for each. What a kernel before 5.14 says to it does not matter.
        libc.madvise(ctypes.c_void_p(begin + some.start), ctypes.c_size_t(some.stop - some.start), _POPULATE_READ)


def _header(path: Path, whole: NDArray[np.uint8]) -> tuple[dict[str, Any], int]:
    length = _LENGTH.unpack(whole[: _LENGTH.size].tobytes().ljust(_LENGTH.size, b"\0"))[0]
    begin = _LENGTH.size + length
    if not 0 < begin <= len(whole):
        raise ValueError(f"{path.name} is not a safetensors file, or was cut off")
    header = json.loads(whole[_LENGTH.size : begin].tobytes())
    return header, begin


def _array(arrays: NDArray[np.uint8], facts: dict[str, Any], path: Path) -> NDArray[Any]:
    first, last = facts["data_offsets"]
    if not 0 <= first <= last <= len(arrays):
        raise ValueError(f"{path.name} was cut off: {last} bytes of arrays are said to be there, and {len(arrays)} are")
    return arrays[first:last].view(_DTYPES[facts["dtype"]]).reshape(facts["shape"])
