"""Training rows: what was shown and what came of it, and what was clicked among what else could have been.

`RankingData` is how a caller describes its rows: numpy arrays and a provider of features. `collect` asks the provider once for
all of them, `Rows` serves slices as tensors. Each slice has B requests with K candidates; impressions have K = 1.
Knows where features go, not where they come from.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core import columns as c
from core.errors import BadInput
from data.catalogue import Catalogue
from features.schema import FeatureBatch, FeatureSchema, ViewerPart
from ranking import layout as lay
from ranking.config import OUTCOMES

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Provider = Callable[[Indices], FeatureBatch]
T = TypeVar("T")
_CPU = torch.device("cpu")
_CHUNK = 8192


@dataclass(frozen=True)
class Impressions:
    """R videos that were shown. Labels are NaN where the log cannot say."""

    features: Provider
    """Rows → batch with K = 1."""
    affinity: Floats
    """[R] two-tower cosine, from towers that were not trained on these clicks."""
    at: NDArray[np.int64]
    """[R] instant of the request."""
    position: NDArray[np.int32]
    """[R] 0-based slot; −1 unknown."""
    clicked: Floats
    watch_s: Floats
    liked: Floats
    disliked: Floats
    long_viewed: Floats | None = None
    """None where the log has no such label."""
    given_click: bool = True
    """Watch, like and dislike count only where the video was clicked. False for a feed that plays by itself; such a ranker does
    not serve, since `ranking.scorer` takes these heads as given a click."""

    def __len__(self) -> int:
        return len(self.affinity)

    def labels(self) -> Floats:
        """[R, len(OUTCOMES)]"""
        unknown = np.full(len(self), np.nan)
        told = (self.clicked > 0) if self.given_click else np.ones(len(self), dtype=bool)
        after_click = [np.where(told, label, np.nan) for label in (self.watch_s, self.liked, self.disliked)]
        last = unknown if self.long_viewed is None else self.long_viewed
        return np.stack([self.clicked, *after_click, last], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Lists:
    """N clicked videos, each in column 0 of a list with candidates that were retrieved and not clicked."""

    features: Provider
    """Rows → batch with the K of `affinity`."""
    affinity: Floats
    """[N, K]"""
    at: NDArray[np.int64]
    """[N]"""
    mask: NDArray[np.bool_]
    """[N, K] False at padding; column 0 is always True."""
    liked: Floats
    """[N] labels of column 0, NaN where unknown or where `Impressions` already has this click."""
    disliked: Floats

    def __len__(self) -> int:
        return len(self.affinity)

    def labels(self) -> Floats:
        """[N, len(OUTCOMES)]"""
        unknown = np.full(len(self), np.nan)
        return np.stack([unknown, unknown, self.liked, self.disliked, unknown], axis=1).astype(np.float32)


@dataclass(frozen=True)
class RankingData:
    """Either part may be absent: a log without impressions has only lists."""

    impressions: Impressions | None = None
    lists: Lists | None = None


@dataclass(frozen=True)
class Inputs:
    """One slice as tensors, before embeddings are looked up."""

    viewer_numbers_BF: Tensor
    viewer_codes_BC: Tensor
    history_BL: Tensor
    """Video rows, −1 padding."""
    candidate_numbers_BKF: Tensor
    candidate_codes_BKC: Tensor
    video_BK: Tensor


@dataclass(frozen=True)
class Rows:
    """All rows of one part, features collected. N rows in the order given."""

    batch: FeatureBatch
    numbers_NKF: Floats
    codes_NKC: NDArray[np.int32]
    viewer_codes_NC: NDArray[np.int32]
    device_N: NDArray[np.int32]
    """0 where the schema has no device."""
    at: NDArray[np.int64]
    mask_NK: NDArray[np.bool_]
    position_N: NDArray[np.int32]
    labels_NO: Floats
    """Of column 0, columns as in `config.OUTCOMES`; NaN where unknown."""
    listed: bool = False
    """True for lists, which have relevance."""
    place: torch.device = _CPU
    """Where its tensors go."""

    def __len__(self) -> int:
        return len(self.at)

    def inputs(self, rows: Indices, columns: Indices | None = None) -> Inputs:
        """The slice `rows`, B = len(rows), of all K candidates or of the given columns."""
        viewer = self.batch.viewer
        at = rows if columns is None else np.ix_(rows, columns)
        return Inputs(
            viewer_numbers_BF=self._tensor(viewer.dense_BF[rows]),
            viewer_codes_BC=self._tensor(self.viewer_codes_NC[rows]),
            history_BL=self._tensor(viewer.history_BL[rows]),
            candidate_numbers_BKF=self._tensor(self.numbers_NKF[at]),
            candidate_codes_BKC=self._tensor(self.codes_NKC[at]),
            video_BK=self._tensor(self.batch.video_BK[at]),
        )

    def labels(self, rows: Indices) -> dict[str, Tensor]:
        """Of column 0, [B] by head."""
        return dict(zip(OUTCOMES, self._tensor(self.labels_NO[rows]).unbind(1), strict=True))

    def mask(self, rows: Indices, columns: Indices | None = None) -> Tensor:
        """[B, K]"""
        return self._tensor(self.mask_NK[rows if columns is None else np.ix_(rows, columns)])

    def position(self, rows: Indices) -> tuple[Tensor, Tensor]:
        """Slot and device code, each int64 [B]."""
        return self._tensor(self.position_N[rows]).long(), self._tensor(self.device_N[rows]).long()

    def _tensor(self, array: NDArray) -> Tensor:
        return torch.from_numpy(array).to(self.place)

    def split(self, holdout: float) -> tuple[Indices, Indices]:
        """Earlier rows and the last share of them in time."""
        order = np.argsort(self.at, kind="stable")
        cut = len(order) - round(len(order) * holdout)
        return order[:cut], order[cut:]


def impressions(part: Impressions, schema: FeatureSchema, catalogue: Catalogue, columns: lay.Layout) -> Rows:
    """Collect what was shown."""
    rows = _collect(part.features, part.affinity[:, None], part.at, schema, catalogue, columns)
    return replace(rows, position_N=np.asarray(part.position, dtype=np.int32), labels_NO=part.labels())


def lists(part: Lists, schema: FeatureSchema, catalogue: Catalogue, columns: lay.Layout) -> Rows:
    """Collect what was clicked, with its list. Column 0 is clicked by construction, which says nothing of the click rate."""
    if not part.mask[:, 0].all():
        raise BadInput("column 0 of a list is the clicked video and cannot be masked")
    rows = _collect(part.features, part.affinity, part.at, schema, catalogue, columns)
    return replace(rows, mask_NK=part.mask, labels_NO=part.labels(), listed=True)


def _collect(
    features: Provider,
    affinity_NK: Floats,
    at: NDArray[np.int64],
    schema: FeatureSchema,
    catalogue: Catalogue,
    columns: lay.Layout,
) -> Rows:
    count, width = affinity_NK.shape
    if not count:
        raise BadInput("there are no training rows; leave the part out instead")
    step = max(_CHUNK // width, 1)
    batch = _concatenate([features(np.arange(i, min(i + step, count))) for i in range(0, count, step)])
    if batch.video_BK.shape != affinity_NK.shape:
        raise BadInput(f"features are for {batch.video_BK.shape} videos and affinity for {affinity_NK.shape}; they must agree")
    device = schema.viewer_codes.index(c.DEVICE) if c.DEVICE in schema.viewer_codes else None
    rows = Rows(
        batch=batch,
        numbers_NKF=lay.candidate_numbers(batch, np.asarray(affinity_NK, dtype=np.float32), catalogue),
        codes_NKC=lay.candidate_codes(batch, catalogue, columns),
        viewer_codes_NC=lay.viewer_codes(batch, columns),
        device_N=batch.viewer.codes_BC[:, device] if device is not None else np.zeros(count, dtype=np.int32),
        at=np.asarray(at, dtype=np.int64),
        mask_NK=np.ones((count, width), dtype=bool),
        position_N=np.full(count, -1, dtype=np.int32),
        labels_NO=np.full((count, len(OUTCOMES)), np.nan, dtype=np.float32),
    )
    _check(rows, columns)
    return rows


def _check(rows: Rows, columns: lay.Layout) -> None:
    bounds = np.array([*columns.viewer_offsets, *columns.candidate_offsets, columns.num_codes])
    for codes, offsets in ((rows.viewer_codes_NC, columns.viewer_offsets), (rows.codes_NKC, columns.candidate_offsets)):
        ends = bounds[np.searchsorted(bounds, offsets, side="right")]
        if ((codes < np.asarray(offsets)) | (codes >= ends)).any():
            raise BadInput("a categorical feature has a code outside the vocabulary that its schema states")


def _concatenate(parts: list[FeatureBatch]) -> FeatureBatch:
    """One batch of all rows; the provider's `seen` is not needed."""
    viewers = [replace(part.viewer, seen=()) for part in parts]
    viewer = replace(_join(viewers, ViewerPart), seen=())
    return replace(_join([replace(part, viewer=viewer) for part in parts], FeatureBatch), viewer=viewer)


def _join(parts: list[T], kind: type[T]) -> T:
    arrays = {f.name: [getattr(part, f.name) for part in parts] for f in fields(kind)}  # type: ignore[arg-type]
    joined = {name: np.concatenate(pieces) for name, pieces in arrays.items() if isinstance(pieces[0], np.ndarray)}
    return replace(parts[0], **joined)  # type: ignore[type-var]
