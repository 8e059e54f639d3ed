"""Catalogue rows into what a page shows of a video. Knows nothing of requests or scores."""

from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from data.catalogue import Catalogue

_REMEMBERED = 20_000
"""Cards kept as Python objects: a few videos are on most pages."""
_SHOWN = (c.TITLE, c.CHANNEL, c.CATEGORY, c.DURATION_S, c.UPLOADED_AT)


class Cards:
    """Public facts of videos, by row; ids are the external ones."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        names = [c.EXTERNAL_ID, *_SHOWN, c.CHANNEL_ID]
        # Arrow takes a row in this thread, and the strings as they lie in the release's file; Polars would wait for its pool,
        # milliseconds on a busy machine.
        self._table = catalogue.frame.select(names).to_arrow(compat_level=pl.CompatLevel.newest())
        self._card = lru_cache(_REMEMBERED)(self._read)

    def of(self, rows: NDArray[np.int32]) -> list[dict[str, Any]]:
        """One dict per row, in order, the caller's to change; `duration_s` and `uploaded_at` are None where unknown."""
        return [dict(self._card(row)) for row in rows.tolist()]

    def _read(self, row: int) -> dict[str, Any]:
        facts = self._table.slice(row, 1).to_pylist()[0]
        channel_id = facts.pop(c.CHANNEL_ID)
        return {c.VIDEO_ID: facts.pop(c.EXTERNAL_ID), **facts, c.CHANNEL_ID: None if channel_id is None else str(channel_id)}

    def categories(self, limit: int = 40) -> list[dict[str, Any]]:
        """The most frequent categories: name and number of videos."""
        names = self._catalogue.vocabularies[0].values
        counts = np.bincount(self._catalogue.category, minlength=len(names))
        order = np.argsort(-counts, kind="stable")[:limit]
        return [{"name": names[code], "num_videos": int(counts[code])} for code in order if counts[code]]

    def newest(self, category: str, at: int, k: int) -> NDArray[np.int32]:
        """Rows of the latest uploads in a category before `at`; empty for an unknown category."""
        names = self._catalogue.vocabularies[0].values
        if category not in names:
            return np.empty(0, dtype=np.int32)
        uploaded_at = self._catalogue.uploaded_at
        found = np.flatnonzero((self._catalogue.category == names.index(category)) & (uploaded_at <= at))
        return found[np.argsort(-uploaded_at[found], kind="stable")[:k]].astype(np.int32)
