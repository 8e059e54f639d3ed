"""Features of videos for serving, computed when first asked for and kept until something changes them.

Of a video's features most stay what they are until an event counts (`VideoState.version` moves) or its tile is over (a new
period begins); only those that measure time since something move by themselves, and are read anew. Whoever counts events
brings their rows up to date right after (`refresh`), and a thread beside requests all others when a period has begun (`warm`),
so a page costs one gather. The formulas are the declared ones either way.
Safe for many readers beside one writer: a row's version is read before its counters, so that a value computed while an event
was being counted is not taken for the newer one.

Shape legend: B requests, K candidates, V videos, F features.
"""

import math
import threading

import numpy as np
from numpy.typing import NDArray

from core.blocks import blocks
from data.catalogue import Catalogue
from features.definitions import Definitions
from features.facts import Codes, VideoFacts
from features.kinds import matrix
from features.schema import Floats
from features.tiles import Ints
from features.video_state import VideoState

_BLOCK = 4_096
"""Rows that `warm` reads at a time; a page that needs one of them meanwhile waits for that long."""


class VideoMatrix:
    """Reads the declared video features."""

    def __init__(self, definitions: Definitions, catalogue: Catalogue, state: VideoState) -> None:
        self._definitions, self._features, self._catalogue, self._state = definitions, definitions.video, catalogue, state
        self._period_ms = math.gcd(*(spec.tile_ms for spec in state.sums))
        self._moving = [column for column, feature in enumerate(self._features) if feature.moves]
        self._values_VF = np.zeros((len(catalogue), len(self._features)), dtype=np.float32)
        self._period_V = np.full(len(catalogue), -1, dtype=np.int64)
        self._version_V = np.full(len(catalogue), -1, dtype=np.int64)
        self._writing = threading.Lock()

    def read(self, video_BK: Codes, at_B: Ints) -> Floats:
        """f32[B, K, F] of videos (rows, never −1) at the instants of their requests."""
        period_B = at_B // self._period_ms
        if not video_BK.size or (period_B != period_B[0]).any():
            return matrix(self._features, self._facts(video_BK, at_B), video_BK.shape)
        self.refresh(video_BK.ravel(), int(at_B[0]))
        found = self._values_VF.take(video_BK, axis=0)
        facts = VideoFacts.of(self._catalogue, video_BK, at_B, {})
        for column in self._moving:
            found[..., column] = self._features[column].read(facts)
        return found

    def refresh(self, rows_N: Codes, at: int) -> None:
        """Read anew what has changed of these videos since it was last read."""
        period = at // self._period_ms
        if not self._stale(rows_N, period).any():
            return
        with self._writing:
            rows = rows_N[self._stale(rows_N, period)]
            version = self._state.version[rows]
            facts = self._facts(rows[None], np.array([at]))
            self._values_VF[rows] = matrix(self._features, facts, (1, len(rows)))[0]
            self._period_V[rows], self._version_V[rows] = period, version

    def warm(self, at: int) -> None:
        """Bring every row up to date, block by block."""
        for rows in blocks(len(self._period_V), _BLOCK):
            self.refresh(np.arange(rows.start, rows.stop, dtype=np.int32), at)

    def over(self, catalogue: Catalogue, state: VideoState) -> "VideoMatrix":
        """Over a catalogue with more videos at its end, and its state; what is known of the others stays known."""
        longer, known = VideoMatrix(self._definitions, catalogue, state), len(self._period_V)
        # Versions before values, as everywhere: what is written in between looks old, and is read anew.
        longer._version_V[:known], longer._period_V[:known] = self._version_V, self._period_V
        longer._values_VF[:known] = self._values_VF
        return longer

    def _stale(self, rows_N: Codes, period: int) -> NDArray[np.bool_]:
        changed: NDArray[np.bool_] = self._version_V.take(rows_N) != self._state.version.take(rows_N)
        return changed | (self._period_V.take(rows_N) != period)

    def _facts(self, video_BK: Codes, at_B: Ints) -> VideoFacts:
        return VideoFacts.of(self._catalogue, video_BK, at_B, self._state.totals(video_BK, at_B))
