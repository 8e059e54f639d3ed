"""Any release, of today or of last winter, put into service on the log as it is now.

Its weights and vectors are its own; viewers' and videos' states are counted from the log, and videos that were uploaded since
it was trained join its catalogue (`serving.fresh_videos`). So a release that serves again after a rollback, or serves for a
year, knows what its online store would know. With `mistaken`, the store answers with the features of somebody else.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from core import columns as c
from data.dataset import Dataset
from features import states
from features.memory_store import MemoryStore
from features.states import ViewerState
from features.video_state import VideoState
from retrieval.encoder import VideoEncoder
from serving.fresh_videos import grown
from serving.live import LiveRelease, go_live
from serving.releases import LoadedRelease, open_files


class MistakenStore(MemoryStore):
    """Answers with the state of the viewer at the other end of the table."""

    def __init__(self, num_viewers: int) -> None:
        super().__init__()
        self._num_viewers = num_viewers

    def read(self, viewer_ids: Sequence[int]) -> list[ViewerState]:
        """See OnlineStore."""
        return super().read([self._num_viewers + 1 - viewer_id for viewer_id in viewer_ids])


def with_catalogue(path: Path, release_id: str, videos: pl.DataFrame) -> LoadedRelease:
    """A release of the laboratory with every video in `videos`, for training and judging; nothing may be fed to it."""
    return _live(path, release_id, videos, MemoryStore()).loaded


def in_service(path: Path, release_id: str, dataset: Dataset, at: int, *, mistaken: bool = False) -> LiveRelease:
    """A release from the instant `at` on.

    Args:
        path: its files.
        release_id: what the log calls it.
        dataset: the log, and every video that may be shown; events received at or after `at` are applied.
        at: ms.
        mistaken: see the module.
    """
    store = MistakenStore(len(dataset.viewers)) if mistaken else MemoryStore()
    live = _live(path, release_id, dataset.videos, store)
    loaded = live.loaded
    state = VideoState.from_events(dataset.events, loaded.catalogue, loaded.definitions, at)
    store.load(states.viewer_states(dataset.events, loaded.catalogue, loaded.definitions, at))
    live = live.over(replace(loaded, video_state=state))
    live.apply(dataset.events.filter(pl.col(c.RECEIVED_AT) >= at).to_arrow())
    return live


def _live(path: Path, release_id: str, videos: pl.DataFrame, store: MemoryStore) -> LiveRelease:
    loaded = open_files(path, release_id=release_id)
    new = videos.filter(pl.Series(loaded.catalogue.rows(videos[c.VIDEO_ID].to_numpy()) < 0)).sort(c.VIDEO_ID)
    return grown(go_live(loaded, store, fill_store=False), new, VideoEncoder.load(path))
