"""Large arrays that several workers hold alike, kept once: each is replaced by a mapping of a file named by its bytes.

Workers open a release each for themselves (`app.workers`), so what they hold is equal but not shared. `Arrays.share` walks an
object, writes every large array that no worker has written yet, and puts a mapping of the file in its place. Counters that move
(`_MOVING`) stay as they are: another thread may write to them meanwhile.
"""

import ctypes
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from core import tensors
from features.video_matrix import VideoMatrix
from features.video_state import VideoState

LEAST_BYTES = 1 << 18
_MOVING = (VideoState, VideoMatrix)
_OURS = ("app.", "core.", "data.", "embeddings.", "features.", "ranking.", "retrieval.", "serving.")
"""Packages whose objects are looked into."""


class Arrays:
    """A folder of arrays, which belongs to the workers of one service and goes with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def share(self, root: object) -> int:
        """Replace what is large in the attributes of `root` and of all that it leads to; how many bytes that were."""
        mapped: dict[int, np.ndarray] = {}
        found = list(_arrays(root, set()))  # keeps every array until the end, so that no identity is used twice
        for holder, name, array in found:
            if id(array) not in mapped:
                mapped[id(array)] = self._map(array)
            object.__setattr__(holder, name, mapped[id(array)])
        total = sum(array.nbytes for array in mapped.values())
        del found, mapped
        if sys.platform.startswith("linux"):
            ctypes.CDLL(None).malloc_trim(0)
        return total

    def _map(self, array: np.ndarray) -> np.ndarray:
        path = self._folder / hashlib.blake2b(np.ascontiguousarray(array).data.cast("B"), digest_size=16).hexdigest()
        if not path.exists():
            handle, staged = tempfile.mkstemp(dir=self._folder)
            with os.fdopen(handle, "wb") as file:
                array.tofile(file)
            with suppress(FileExistsError):  # another worker was faster: a second file of the same bytes would not be shared
                os.link(staged, path)
            os.unlink(staged)
        return np.asarray(np.memmap(path, array.dtype, "c", shape=array.shape))


def _arrays(holder: object, seen: set[int]) -> Iterator[tuple[object, str, np.ndarray]]:
    """Every attribute that is a large array in memory of this process alone: its holder, its name, and itself."""
    if id(holder) in seen or isinstance(holder, _MOVING):
        return
    seen.add(id(holder))
    if isinstance(holder, dict | list | tuple):
        for part in holder.values() if isinstance(holder, dict) else holder:
            yield from _arrays(part, seen)
    elif type(holder).__module__.startswith(_OURS):
        for name, value in list(getattr(holder, "__dict__", {}).items()):
            if not isinstance(value, np.ndarray):
                yield from _arrays(value, seen)
            elif _is_large(value):
                yield holder, name, value


def _is_large(array: np.ndarray[Any, Any]) -> bool:
    plain = array.flags.c_contiguous and not array.dtype.hasobject
    return plain and array.nbytes >= LEAST_BYTES and not tensors.is_mapped(array)
