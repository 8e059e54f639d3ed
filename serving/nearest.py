"""Videos nearest to viewers that were found ahead of time: in place of a search, or where the search fails.

Ids, as `upnext batch` keeps them, turn into catalogue rows here, and only when they are needed.

Shape legend: B requests, N videos.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.policy import Request
from data.catalogue import Catalogue
from retrieval.sources import TwoTowerSource
from serving.candidates import CandidateSet

Rows = NDArray[np.int32]
_NONE = np.empty(0, dtype=np.int64)


def kept(candidates: CandidateSet, catalogue: Catalogue, most: int) -> NDArray[np.int64]:
    """[B, most] ids of what the search contributed to these candidates, best first, −1 padding."""
    found = np.where(candidates.of(TwoTowerSource.name), candidates.rows_BK, -1)
    first = np.take_along_axis(found, np.argsort(found < 0, axis=1, kind="stable")[:, :most], axis=1)
    ids = np.full((len(found), most), -1, dtype=np.int64)
    ids[:, : first.shape[1]] = np.where(first >= 0, catalogue.video_ids[first], -1)
    return ids


def known(requests: Sequence[Request]) -> NDArray[np.bool_]:
    """[B] of which requests they are known."""
    return np.array([request.nearest is not None and len(request.nearest) > 0 for request in requests])


def rows(requests: Sequence[Request], catalogue: Catalogue) -> Rows:
    """[B, N] what is known, as rows; −1 padding, and where this catalogue lacks a video."""
    ids = [_NONE if request.nearest is None else request.nearest for request in requests]
    held = np.arange(max(map(len, ids))) < np.array([[len(each)] for each in ids])
    found = np.full(held.shape, -1, dtype=np.int32)
    found[held] = catalogue.rows(np.concatenate(ids))
    return found


def completed(found: Rows, places: NDArray[np.bool_], searched: Rows) -> Rows:
    """The rows with other lists at these places."""
    lists = np.full((len(found), max(found.shape[1], searched.shape[1])), -1, dtype=np.int32)
    lists[:, : found.shape[1]] = np.where(places[:, None], -1, found)
    lists[places, : searched.shape[1]] = searched
    return lists
