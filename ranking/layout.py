"""What the network reads, column by column: the same two matrices in training and in serving.

    viewer_BX      = [ viewer_dense | history bag | viewer code vectors ]
    candidate_BKY  = [ affinity | video_dense | cross_dense | content | video vector | video and cross code vectors ]

The numbers come first so that the network can normalise a prefix. All categorical embeddings live in one table; each field
has an offset into it. Knows nothing of torch, of weights, or of where a batch came from.

Shape legend: B requests, K candidates, F numbers, C codes, L history length, E video vector, X and Y matrix widths.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.catalogue import Catalogue
from features.schema import FeatureBatch, FeatureSchema
from ranking.config import RankerConfig

Floats = NDArray[np.float32]
Codes = NDArray[np.int32]
NUMBER_LIMIT = 6.0
"""Normalised numbers are clipped here, so that an outlier at serving stays in a range the network knows."""


@dataclass(frozen=True)
class Layout:
    """Widths and offsets; follows from the feature schema and the embedding sizes."""

    viewer_numbers: int
    """Fv"""
    candidate_numbers: int
    """1 affinity + Fd + Fx + content"""
    video_dim: int
    code_dim: int
    viewer_offsets: tuple[int, ...]
    """Per viewer code field, the row of its code 0 in the code table."""
    candidate_offsets: tuple[int, ...]
    """The same for category, channel, language and then the cross codes."""
    num_codes: int
    """Rows of the code table."""
    video_fields: int
    """Code fields of a video: category, channel, language."""
    content_dim: int
    """Numbers that are the video's content vector, the last of `candidate_numbers`."""

    @property
    def cross_fields(self) -> int:
        """Cx: code fields of a pair, the last of `candidate_offsets`; those before belong to the video."""
        return len(self.candidate_offsets) - self.video_fields

    @property
    def pair_numbers(self) -> int:
        """1 affinity + Fd + Fx: the numbers that change with the request."""
        return self.candidate_numbers - self.content_dim

    @property
    def viewer_width(self) -> int:
        """X"""
        return self.viewer_numbers + self.video_dim + len(self.viewer_offsets) * self.code_dim

    @property
    def candidate_width(self) -> int:
        """Y"""
        return self.candidate_numbers + self.video_dim + len(self.candidate_offsets) * self.code_dim

    @property
    def video_width(self) -> int:
        """S: of Y, what never changes of a video."""
        return self.content_dim + self.video_dim + self.video_fields * self.code_dim


def layout(schema: FeatureSchema, config: RankerConfig) -> Layout:
    """The layout that `schema` and `config` imply."""
    sizes = (*schema.viewer_code_sizes, *schema.video_code_sizes, *schema.cross_code_sizes)
    starts = tuple(int(start) for start in np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]))
    split = len(schema.viewer_code_sizes)
    return Layout(
        viewer_numbers=len(schema.viewer_dense),
        candidate_numbers=1 + len(schema.video_dense) + len(schema.cross_dense) + schema.content_size,
        video_dim=config.video_dim,
        code_dim=config.code_dim,
        viewer_offsets=starts[:split],
        candidate_offsets=starts[split:-1],
        num_codes=starts[-1],
        video_fields=len(schema.video_code_sizes),
        content_dim=schema.content_size,
    )


def normalised(numbers: Floats, mean: Floats, std: Floats) -> Floats:
    """Standardised and clipped; a number that is missing (NaN) counts as average. [..., F]"""
    scaled = (numbers - mean) / std
    return np.clip(np.where(np.isnan(scaled), 0, scaled), -NUMBER_LIMIT, NUMBER_LIMIT).astype(np.float32)


def candidate_numbers(batch: FeatureBatch, affinity_BK: Floats, catalogue: Catalogue) -> Floats:
    """[B, K, F] the numeric prefix of candidate_BKY."""
    parts = [affinity_BK[..., None], batch.video_dense_BKF, batch.cross_dense_BKF]
    if catalogue.content.shape[1]:
        parts.append(catalogue.content[batch.video_BK])
    return np.concatenate(parts, axis=-1, dtype=np.float32)


def candidate_codes(batch: FeatureBatch, catalogue: Catalogue, columns: Layout) -> Codes:
    """[B, K, C] rows of the code table: category, channel, language, then the cross codes."""
    codes = (video_codes(catalogue.codes[batch.video_BK], columns), cross_codes(batch, columns))
    return np.concatenate(codes, axis=-1, dtype=np.int32)


def video_codes(codes: Codes, columns: Layout) -> Codes:
    """[…, 3] rows of the code table: category, channel, language of some videos, from the catalogue's codes."""
    return codes + np.asarray(columns.candidate_offsets[: columns.video_fields], dtype=np.int32)


def cross_codes(batch: FeatureBatch, columns: Layout) -> Codes:
    """[B, K, Cx] rows of the code table: the cross codes."""
    return batch.cross_codes_BKC + np.asarray(columns.candidate_offsets[columns.video_fields :], dtype=np.int32)


def viewer_codes(batch: FeatureBatch, columns: Layout) -> Codes:
    """[B, C] rows of the code table."""
    return batch.viewer.codes_BC + np.asarray(columns.viewer_offsets, dtype=np.int32)
