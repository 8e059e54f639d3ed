"""Do two readings of the same requests agree, value by value, and does a point-in-time join know nothing of the future?

`values` names everything a model reads of a batch; `differences` lists what two batches disagree on. `future_rows` asks one row
twice: of the whole log, and of the log without everything received at or after the row's instant. A row that differs has
looked into the future, however it was computed. Knows nothing of stores or services.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from data.catalogue import Catalogue, ViewerTable
from features import offline
from features.definitions import Definitions
from features.schema import FeatureBatch, FeatureSchema, ViewerPart
from features.tiles import Ints

FILE = "skew.json"
"""In a space: the newest audit of what its live release serves."""
HISTORY, AGES, SEEN = "history", "history ages", "seen"
"""Sequences of a viewer part: one value per request each."""
_SHOWN = 5
"""How much of a sequence an example shows."""


@dataclass(frozen=True)
class Difference:
    """One feature that two readings disagree on."""

    feature: str
    count: int
    """In how many values."""
    viewer_id: int
    video_id: int | None
    """None for a feature of the viewer."""
    at: int
    """Viewer, video and instant of the first one."""
    served: Any
    offline: Any


@dataclass(frozen=True)
class FutureRows:
    """What a check of point-in-time joins found."""

    joins: int
    rows: int
    """How many of them knew something received at or after their instant."""
    features: tuple[str, ...]
    """Which features of those."""


def values(schema: FeatureSchema, batch: FeatureBatch) -> dict[str, NDArray[Any]]:
    """Every value by feature: [B], or [B, K] where it depends on the candidate; a sequence is one object."""
    viewer = batch.viewer
    matrices = (
        (schema.viewer_dense, viewer.dense_BF),
        (schema.viewer_codes, viewer.codes_BC),
        (schema.video_dense, batch.video_dense_BKF),
        (schema.cross_dense, batch.cross_dense_BKF),
        (schema.cross_codes, batch.cross_codes_BKC),
    )
    found = {name: matrix[..., column] for names, matrix in matrices for column, name in enumerate(names)}
    sequences = ((HISTORY, viewer.history_BL), (AGES, viewer.history_age_BL), (SEEN, viewer.seen))
    return found | {name: _objects(rows) for name, rows in sequences if len(rows)}


def differences(
    served: Mapping[str, NDArray[Any]], known: Mapping[str, NDArray[Any]], viewer_ids: Ints, at: Ints, video_ids_BK: Ints
) -> list[Difference]:
    """Where `values` of the service and of the log are not equal bit for bit, most frequent first. viewer_ids, at: [B]"""
    found = []
    for name, left in served.items():
        places = np.argwhere(left != known[name])
        if len(places):
            first = tuple(places[0].tolist())
            request, video = first[0], int(video_ids_BK[first]) if len(first) == 2 else None
            pair = _plain(left[first]), _plain(known[name][first])
            found.append(Difference(name, len(places), int(viewer_ids[request]), video, int(at[request]), *pair))
    return sorted(found, key=lambda difference: -difference.count)


def joined(batches: Sequence[FeatureBatch]) -> FeatureBatch:
    """Batches with as many candidates each, as one."""

    def together(parts: Sequence[Any], *names: str) -> dict[str, NDArray[Any]]:
        return {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}

    viewers = [batch.viewer for batch in batches]
    part = ViewerPart(
        **together(viewers, "dense_BF", "codes_BC", "history_BL", "history_age_BL"),
        seen=tuple(rows for viewer in viewers for rows in viewer.seen),
    )
    return FeatureBatch(viewer=part, **together(batches, "video_BK", "video_dense_BKF", "cross_dense_BKF", "cross_codes_BKC"))


def future_rows(
    events: pl.DataFrame,
    catalogue: Catalogue,
    viewers: ViewerTable,
    definitions: Definitions,
    random: np.random.Generator,
    *,
    num_instants: int = 32,
    rows_per_instant: int = 320,
) -> FutureRows:
    """Join viewers and videos at instants of the log (in log order), with and without what came later.

    The instants are those at which events were received, and half of the viewers and videos are those of the next events: an
    event received at the very instant of its row is the one most easily let in.
    """
    received_at = events[c.RECEIVED_AT].to_numpy()
    at_N = np.sort(random.choice(received_at, num_instants))
    begin_N = np.searchsorted(received_at, at_N)
    half = rows_per_instant // 2
    soon = np.minimum(begin_N[:, None] + np.arange(half), len(events) - 1)
    place_NR = np.concatenate([soon, random.integers(0, len(events), (num_instants, rows_per_instant - half))], axis=1)
    viewer_NR, video_NR = (events[name].fill_null(-1).to_numpy()[place_NR] for name in (c.VIEWER_ID, c.VIDEO_ID))
    row_NR = np.maximum(catalogue.rows(video_NR.ravel()).reshape(video_NR.shape), 0)

    def ask(log: pl.DataFrame, chosen: slice) -> dict[str, NDArray[Any]]:
        built = offline.build(
            log, catalogue, viewers, viewer_ids=viewer_NR[chosen].ravel(), video_rows=row_NR[chosen].ravel(),
            at=np.repeat(at_N[chosen], rows_per_instant), with_seen=True, definitions=definitions,
        )  # fmt: skip
        return values(built.schema, built.batch(np.arange(viewer_NR[chosen].size)))

    whole, wrong, features = ask(events, slice(None)), 0, set[str]()
    for n, end in enumerate(begin_N.tolist()):
        concerned = pl.col(c.VIEWER_ID).is_in(viewer_NR[n]) | pl.col(c.VIDEO_ID).is_in(catalogue.video_ids[row_NR[n]])
        past = ask(events[:end].filter(concerned), slice(n, n + 1))
        here = slice(n * rows_per_instant, (n + 1) * rows_per_instant)
        unequal = {name: (whole[name][here] != known).reshape(rows_per_instant, -1).any(axis=1) for name, known in past.items()}
        features |= {name for name, rows in unequal.items() if rows.any()}
        wrong += int(np.any(list(unequal.values()), axis=0).sum())
    return FutureRows(viewer_NR.size, wrong, tuple(sorted(features)))


def _objects(rows: Sequence[NDArray[Any]] | NDArray[Any]) -> NDArray[Any]:
    """One tuple per request."""
    found = np.empty(len(rows), dtype=object)
    found[:] = [tuple(row.tolist()) for row in rows]
    return found


def _plain(value: Any) -> Any:
    """For people and for JSON, which has no word for what is not finite."""
    if isinstance(value, tuple):
        return list(value[:_SHOWN])
    found = value.item()
    return found if np.isfinite(found) else str(found)
