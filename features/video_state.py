"""Every video's window sums, in process: what makes 500 candidates cost one gather and one small product.

`counts[S, V]` holds, for each window sum, a ring of its n tiles; tile number x lives in slot x mod n. All videos share the
newest tile of each sum: when time enters a new tile, its slot is cleared for all of them. A slot is a row, so that clearing it
writes these bytes alone: the others stay those of the release's file, which processes share. One thread writes, others may
read meanwhile. Starts from the release and is kept fresh by the event stream.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.numpy import save_file

from core import tensors
from data.catalogue import Catalogue
from features.definitions import Definitions
from features.facts import Codes
from features.tiles import EventArrays, Ints, Sum

FILE = "video_state.safetensors"


@dataclass(frozen=True)
class VideoState:
    """Counters of V videos. int32 holds 2 billion events of one video in one tile (20 million full watches a day)."""

    sums: tuple[Sum, ...]
    counts: NDArray[np.int32]
    """[S, V]"""
    newest: Ints
    """[J] the newest tile of each sum."""
    version: Ints
    """[V] moves after a video's counters have changed."""

    @staticmethod
    def empty(catalogue: Catalogue, definitions: Definitions) -> "VideoState":
        """Nothing has happened yet."""
        sums = definitions.video_sums
        slots = sum(spec.tiles for spec in sums)
        counts, newest = np.zeros((slots, len(catalogue)), dtype=np.int32), np.full(len(sums), -1, dtype=np.int64)
        return VideoState(sums, counts, newest, np.zeros(len(catalogue), dtype=np.int64))

    @staticmethod
    def from_events(events: pl.DataFrame, catalogue: Catalogue, definitions: Definitions, as_of: int) -> "VideoState":
        """The state after everything received strictly before `as_of`."""
        state = VideoState.empty(catalogue, definitions)
        state.add(EventArrays.of(events, catalogue).before(as_of))
        return state

    def add(self, arrays: EventArrays) -> None:
        """Count fresh events. Those whose tile is over, or whose video the catalogue does not have, are ignored."""
        for index, (spec, begin) in enumerate(zip(self.sums, self._begins(), strict=True)):
            at = arrays.positions(spec.event)
            at = at[arrays.video_row[at] >= 0]
            if not len(at):
                continue
            tile = spec.tile(arrays.event_at[at])
            self._advance(index, begin, int(tile.max()))
            fresh = tile > self.newest[index] - spec.tiles
            at, slot = at[fresh], begin + tile[fresh] % spec.tiles
            np.add.at(self.counts, (slot, arrays.video_row[at]), arrays.amounts(spec, at).astype(np.int32))
        self.version[arrays.video_row[arrays.video_row >= 0]] += 1

    def totals(self, video_BK: Codes, at_B: Ints) -> dict[Sum, Ints]:
        """Every sum of B × K videos at B instants. Each [B, K]; exact: integers below 2⁵³ in float64."""
        weights_BJS = np.zeros((len(at_B), len(self.sums), len(self.counts)))
        for index, (spec, begin) in enumerate(zip(self.sums, self._begins(), strict=True)):
            weights_BJS[:, index, begin : begin + spec.tiles] = self._inside(index, at_B)
        counts_BSK = self.counts.take(video_BK, axis=1).swapaxes(0, 1).astype(np.float64)
        found_BJK = np.matmul(weights_BJS, counts_BSK).astype(np.int64)
        return {spec: found_BJK[:, index] for index, spec in enumerate(self.sums)}

    def total(self, spec: Sum, at: int) -> NDArray[np.int32]:
        """One sum of every video at an instant. [V]"""
        index = self.sums.index(spec)
        begin, inside_BS = self._begins()[index], self._inside(index, np.array([at]))
        return np.einsum("sv,s->v", self.counts[begin : begin + spec.tiles], inside_BS[0].astype(np.int32))

    def longer(self, num: int) -> "VideoState":
        """With so many videos at the end to which nothing has happened; only the result may be fed from now on."""
        counts, version = np.pad(self.counts, ((0, 0), (0, num))), np.pad(self.version, (0, num))
        return replace(self, counts=counts, newest=self.newest.copy(), version=version)

    def save(self, path: Path) -> None:
        """Write one file."""
        save_file({"counts": self.counts, "newest": self.newest}, path)

    @staticmethod
    def load(path: Path, definitions: Definitions) -> "VideoState":
        """The inverse of `save`."""
        found = tensors.mapped(path)
        version = np.zeros(found["counts"].shape[1], dtype=np.int64)
        return VideoState(definitions.video_sums, found["counts"], found["newest"], version)

    def _begins(self) -> list[int]:
        """First slot of each ring."""
        return [0, *np.cumsum([spec.tiles for spec in self.sums]).tolist()][: len(self.sums)]

    def _inside(self, index: int, at_B: Ints) -> NDArray[np.bool_]:
        """Which slots of a sum's ring lie in its window at each instant. [B, tiles]"""
        spec, newest = self.sums[index], self.newest[index]
        tile_of_slot = newest - (newest - np.arange(spec.tiles)) % spec.tiles
        inside: NDArray[np.bool_] = tile_of_slot > spec.tile(at_B)[:, None] - spec.tiles
        return inside

    def _advance(self, index: int, begin: int, tile: int) -> None:
        tiles, before = self.sums[index].tiles, int(self.newest[index])
        for fresh in range(max(before + 1, tile - tiles + 1), tile + 1):
            self.counts[begin + fresh % tiles] = 0
            self.version[:] += 1
        self.newest[index] = max(before, tile)
