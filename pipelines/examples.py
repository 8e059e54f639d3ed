"""From a log to training examples for both stages, point in time.

Towers learn from clicks. The ranker learns from two kinds of rows, both later than the towers' clicks so that the towers'
score (its input) is as good there as it will be in service, not better:
impressions with what came of them, and lists of one clicked video among candidates that retrieval returned.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import rng
from core.ragged import Ragged
from data.catalogue import Catalogue, ViewerTable, lookup
from data.interactions import PAGE_AT, with_page
from data.labels import definitions as labels
from features import offline
from features.schema import FeatureBatch, ViewerPart
from pipelines.presets import ListConfig
from ranking.batches import Impressions, Lists
from retrieval.examples import RetrievalExamples
from retrieval.index import VectorIndex

Encode = Callable[[ViewerPart], NDArray[np.float32]]
_BLOCK = 8_192


@dataclass(frozen=True)
class Clicks:
    """The clicks of a log in time order, with the features of the moment before each."""

    features: offline.OfflineFeatures
    viewer_ids: NDArray[np.int64]
    video_rows: NDArray[np.int32]
    at: NDArray[np.int64]
    """Instant of the page, see `data.interactions.with_page`."""
    uploaded_at: NDArray[np.int64]
    """[V] of the catalogue."""

    def __len__(self) -> int:
        return len(self.at)

    def eligible(self, positions: NDArray[np.int64], rows_BS: NDArray[np.int32]) -> NDArray[np.int32]:
        """`rows_BS` with −1 in place of the clicked video, what the viewer had seen, and what was not yet uploaded."""
        known = Ragged.of(self.features.viewer_part(positions).seen)
        width = len(self.uploaded_at)
        seen = np.unique(known.owners * width + known.values)
        asked = np.arange(len(positions))[:, None] * width + rows_BS
        fit = (rows_BS >= 0) & (rows_BS != self.video_rows[positions][:, None]) & (lookup(seen, asked) < 0)
        return np.where(fit & (self.uploaded_at[rows_BS] <= self.at[positions][:, None]), rows_BS, -1).astype(np.int32)

    def between(self, begin: int, end: int) -> NDArray[np.int64]:
        """Positions of clicks with begin ≤ at < end."""
        return np.flatnonzero((self.at >= begin) & (self.at < end))

    def examples(self, positions: NDArray[np.int64]) -> RetrievalExamples:
        """Those clicks as the towers' training examples."""
        return RetrievalExamples(
            viewer_part=lambda rows: self.features.viewer_part(positions[rows]),
            video_rows=self.video_rows[positions],
            at=self.at[positions],
            viewer_ids=self.viewer_ids[positions],
        )


def clicks(
    events: pl.DataFrame,
    catalogue: Catalogue,
    viewers: ViewerTable,
    until: int,
    *,
    since: int = 0,
    parts: offline.ViewerParts | None = None,
) -> Clicks:
    """Every click on a known video received in [since, until), asked about at the instant of its page.

    `parts` are their viewers, where an earlier build has found them.
    """
    found = with_page(events).filter(pl.col(c.RECEIVED_AT).is_between(since, until, closed="left"))
    rows = catalogue.rows(found[c.VIDEO_ID].fill_null(-1).to_numpy())
    found, rows = found.filter(pl.Series(rows >= 0)), rows[rows >= 0]
    viewer_ids, at = found[c.VIEWER_ID].to_numpy(), found[PAGE_AT].to_numpy()
    built = offline.build(
        events, catalogue, viewers, viewer_ids=viewer_ids, at=at, video_rows=rows, with_seen=True, parts=parts
    )
    return Clicks(built, viewer_ids, rows, at, catalogue.uploaded_at)


def encode_all(features: offline.OfflineFeatures, rows: NDArray[np.int64], encode: Encode) -> NDArray[np.float32]:
    """Viewer vectors of many requests, block by block. [n, D]"""
    blocks = [encode(features.viewer_part(rows[i : i + _BLOCK])) for i in range(0, len(rows), _BLOCK)]
    return np.concatenate(blocks) if blocks else np.zeros((0, 1), dtype=np.float32)


def _affinity(viewer_BD: NDArray[np.float32], video_VD: NDArray[np.float32], rows_BK: NDArray[np.int32]) -> NDArray[np.float32]:
    parts = [
        np.einsum("bd,bkd->bk", viewer_BD[i : i + _BLOCK], video_VD[rows_BK[i : i + _BLOCK]], optimize=True)
        for i in range(0, len(rows_BK), _BLOCK)
    ]
    return np.concatenate(parts).astype(np.float32)


def impression_rows(
    events: pl.DataFrame,
    catalogue: Catalogue,
    viewers: ViewerTable,
    window: tuple[int, int],
    encode: Encode,
    video_VD: NDArray[np.float32],
) -> Impressions | None:
    """Impressions of a time window with their outcomes; None when the log has none."""
    begin, end = window
    outcomes = labels.impression_outcomes(events.filter(pl.col(c.RECEIVED_AT) < end))
    outcomes = outcomes.filter(pl.col("at") >= begin)
    rows = catalogue.rows(outcomes[c.VIDEO_ID].to_numpy())
    outcomes, rows = outcomes.filter(pl.Series(rows >= 0)), rows[rows >= 0]
    if not len(outcomes):
        return None
    viewer_ids, at = outcomes[c.VIEWER_ID].to_numpy(), outcomes["at"].to_numpy()
    built = offline.build(events, catalogue, viewers, viewer_ids=viewer_ids, at=at, video_rows=rows)
    viewer_BD = encode_all(built, np.arange(len(rows)), encode)
    return Impressions(
        features=built.batch,
        clicked=outcomes["clicked"].cast(pl.Float32).to_numpy(),
        watch_s=outcomes["watch_s"].cast(pl.Float32).fill_null(np.nan).to_numpy(),
        liked=outcomes["liked"].cast(pl.Float32).to_numpy(),
        disliked=outcomes["disliked"].cast(pl.Float32).to_numpy(),
        position=outcomes[c.POSITION].fill_null(0).to_numpy().astype(np.int32),
        affinity=_affinity(viewer_BD, video_VD, rows[:, None])[:, 0],
        at=at,
    )


def list_rows(
    clicked: Clicks,
    positions: NDArray[np.int64],
    encode: Encode,
    index: VectorIndex,
    video_VD: NDArray[np.float32],
    config: ListConfig,
    seed: int,
    feedback: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> Lists:
    """One list per click on a retrieved video: that one in column 0, then what could have been shown instead.

    `feedback` holds liked and disliked per click (nan where unknown).
    """
    viewer_BD = encode_all(clicked.features, positions, encode)
    retrieved, negatives = _negatives(clicked, positions, viewer_BD, index, config, seed)
    positions, viewer_BD, negatives = positions[retrieved], viewer_BD[retrieved], negatives[retrieved]
    target = clicked.video_rows[positions]
    rows = np.concatenate([target[:, None], negatives], axis=1)
    valid, rows = rows >= 0, np.maximum(rows, 0)

    def batch(chosen: NDArray[np.int64]) -> FeatureBatch:
        return clicked.features.against(positions[chosen], rows[chosen])

    liked, disliked = feedback
    return Lists(
        features=batch,
        affinity=_affinity(viewer_BD, video_VD, rows),
        mask=valid,
        liked=liked[positions],
        disliked=disliked[positions],
        at=clicked.at[positions],
    )


def _negatives(
    clicked: Clicks,
    positions: NDArray[np.int64],
    viewer_BD: NDArray[np.float32],
    index: VectorIndex,
    config: ListConfig,
    seed: int,
) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """Whether each clicked video was retrieved, and what could have been shown instead, −1 padding."""
    random = rng.stream(seed, "ranker negatives")
    num_videos = len(clicked.uploaded_at)
    hits, blocks = [], []
    for i in range(0, len(positions), _BLOCK):
        chosen = positions[i : i + _BLOCK]
        _, found = index.search(viewer_BD[i : i + _BLOCK], min(config.depth, num_videos))
        hits.append((found == clicked.video_rows[chosen][:, None]).any(axis=1))
        blocks.append(draw(clicked.eligible(chosen, found), config.negatives, random))
    return np.concatenate(hits), np.concatenate(blocks)


def draw(rows_BS: NDArray[np.int32], num: int, random: np.random.Generator) -> NDArray[np.int32]:
    """`num` of each line's entries that are not −1, without replacement; −1 where there are not enough."""
    keys = np.where(rows_BS >= 0, random.random(rows_BS.shape), np.inf)
    num = min(num, rows_BS.shape[1])
    return np.take_along_axis(rows_BS, np.argsort(keys, axis=1)[:, :num], axis=1)
