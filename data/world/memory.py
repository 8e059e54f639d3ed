"""What past events leave behind in viewers: fatigue by topic, followed channels, watched videos.

A function of the clicks and subscriptions so far, so it can be rebuilt from a log. Fatigue of viewer v for topic t at time τ is
Σ over clicks i of mixture_t(video_i) · 2^(−(τ − at_i) / half-life).
"""

import numpy as np
from numpy.typing import NDArray

from core.clock import HOUR_MS
from data.world.catalogue import Floats, Videos

Rows = NDArray[np.integer]


class KeySet:
    """A growing set of non-negative 64-bit keys, kept as one sorted array."""

    def __init__(self) -> None:
        self.keys = np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, keys: NDArray[np.int64]) -> None:
        """Insert; duplicates are welcome."""
        merged = np.sort(np.concatenate([self.keys, np.unique(keys)]), kind="stable")
        self.keys = merged[np.concatenate([[True], merged[1:] != merged[:-1]])] if len(merged) else merged

    def contains(self, keys: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Membership, any shape."""
        if not len(self.keys):
            return np.zeros(np.shape(keys), dtype=bool)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return self.keys[at] == keys


class Memory:
    """State of N viewers. Mutable: `record` and `follow` after every page."""

    def __init__(self, videos: Videos, num_viewers: int, half_life_h: float) -> None:
        self._videos = videos
        self._num_channels = len(videos.channel_names)
        self._half_life_ms = half_life_h * HOUR_MS
        self._fatigue_NT = np.zeros((num_viewers, videos.topics_VT.shape[1]), dtype=np.float32)
        self._fatigue_at = np.zeros(num_viewers, dtype=np.int64)
        self._follows = KeySet()
        self._watched = KeySet()

    def fatigue(self, viewer_rows: Rows, at: NDArray[np.int64]) -> Floats:
        """[..., T] fatigue of each viewer at each instant (broadcast). Never decays backwards."""
        age = np.maximum(at - self._fatigue_at[viewer_rows], 0)
        return self._fatigue_NT[viewer_rows] * self._decay(age)[..., None]

    def follows(self, viewer_rows: Rows, channels: Rows) -> NDArray[np.bool_]:
        """Whether each viewer follows each channel (broadcast)."""
        return self._follows.contains(self._follow_keys(viewer_rows, channels))

    def has_watched(self, viewer_rows: Rows, video_rows: Rows) -> NDArray[np.bool_]:
        """Whether each viewer has opened each video (broadcast)."""
        return self._watched.contains(self._watch_keys(viewer_rows, video_rows))

    def followed(self, viewer_rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """(channels, begin, end): viewer i follows channels[begin[i]:end[i]]."""
        first = np.asarray(viewer_rows, dtype=np.int64) * self._num_channels
        begin = np.searchsorted(self._follows.keys, first)
        end = np.searchsorted(self._follows.keys, first + self._num_channels)
        return self._follows.keys % self._num_channels, begin, end

    def record(self, viewer_rows: Rows, video_rows: Rows, at: NDArray[np.int64]) -> None:
        """Remember clicks (flat arrays; a viewer may occur many times, in any order)."""
        if not len(viewer_rows):
            return
        self._watched.add(self._watch_keys(viewer_rows, video_rows))
        viewers = np.unique(viewer_rows)
        before = self._fatigue_at[viewers]
        np.maximum.at(self._fatigue_at, viewer_rows, at)
        passed = self._fatigue_at[viewers] - before
        self._fatigue_NT[viewers] *= self._decay(passed)[:, None]
        weight = self._decay(self._fatigue_at[viewer_rows] - at)
        np.add.at(self._fatigue_NT, viewer_rows, self._videos.topics_VT[video_rows] * weight[:, None])

    def follow(self, viewer_rows: Rows, channels: Rows) -> None:
        """Remember subscriptions (flat arrays)."""
        if len(viewer_rows):
            self._follows.add(self._follow_keys(viewer_rows, channels))

    def _decay(self, passed_ms: NDArray[np.int64]) -> Floats:
        return np.exp2(-passed_ms / self._half_life_ms).astype(np.float32)

    def _follow_keys(self, viewer_rows: Rows, channels: Rows) -> NDArray[np.int64]:
        return np.asarray(viewer_rows, dtype=np.int64) * self._num_channels + channels

    def _watch_keys(self, viewer_rows: Rows, video_rows: Rows) -> NDArray[np.int64]:
        return np.asarray(viewer_rows, dtype=np.int64) * len(self._videos) + video_rows
