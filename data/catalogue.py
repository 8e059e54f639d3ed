"""Videos and viewers as aligned arrays: the id ↔ row dictionaries that models, indexes and the service share.

A *row* is a position in the id-sorted catalogue; tables, vectors and the index are all in row order. Categorical attributes are
codes into a vocabulary whose code 0 is "unknown". A catalogue may carry labels: the probability, per question, that a video is
such. Torch-free. Saved inside a release as one Arrow file, which is mapped: opening it copies next to nothing, and processes
that open the same one share its memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from core import columns as c

Codes = NDArray[np.int32]
_VIDEO_CODES = (c.CATEGORY, c.CHANNEL_ID, c.LANGUAGE)
LABEL, BEFORE, VOTES = "label_", "before_", "votes_"
"""Prefixes of optional columns, by question: the probability of a yes, the same before any person answered, and what each
labelling function said (a struct of −1, 0, +1 by function)."""


def lookup(sorted_ids: NDArray[np.int64], ids: ArrayLike) -> NDArray[np.int32]:
    """Row of each id in `sorted_ids`, −1 where absent."""
    wanted = np.asarray(ids, dtype=np.int64)
    if not len(sorted_ids):
        return np.full(wanted.shape, -1, dtype=np.int32)
    at = np.minimum(np.searchsorted(sorted_ids, wanted), len(sorted_ids) - 1)
    return np.where(sorted_ids[at] == wanted, at, -1).astype(np.int32)


@dataclass(frozen=True)
class Vocabulary:
    """Values by code; code 0 is unknown."""

    values: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.values)

    @staticmethod
    def of(column: pl.Series) -> "Vocabulary":
        """Sorted distinct values of a column."""
        found = sorted(set(column.cast(pl.String).drop_nulls().unique().to_list()) - {c.UNKNOWN})
        return Vocabulary((c.UNKNOWN, *found))

    def encode(self, column: pl.Series) -> Codes:
        """Codes of a column, 0 for values never seen."""
        codes = pl.DataFrame(
            {"value": self.values, "code": range(len(self.values))}, schema={"value": pl.String, "code": pl.Int32}
        )
        joined = pl.DataFrame({"value": column.cast(pl.String)}).join(codes, on="value", how="left", maintain_order="left")
        return joined["code"].fill_null(0).to_numpy().astype(np.int32)


@dataclass(frozen=True)
class Catalogue:
    """All videos. V rows; `content` is [V, C], C may be 0."""

    frame: pl.DataFrame
    video_ids: NDArray[np.int64]
    codes: Codes
    """[V, 3]: category, channel, language."""
    vocabularies: tuple[Vocabulary, ...]
    duration_s: NDArray[np.float32]
    """0 where unknown."""
    uploaded_at: NDArray[np.int64]
    """0 where unknown."""
    content: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.video_ids)

    @staticmethod
    def of(videos: pl.DataFrame) -> "Catalogue":
        """From a frame of schema `columns.VIDEOS`, sorted by id."""
        vocabularies = tuple(Vocabulary.of(videos[name]) for name in _VIDEO_CODES)
        return Catalogue.coded(videos, vocabularies)

    @staticmethod
    def coded(videos: pl.DataFrame, vocabularies: tuple[Vocabulary, ...]) -> "Catalogue":
        """With vocabularies that exist already: what they do not have counts as unknown."""
        codes = [v.encode(videos[name]) for v, name in zip(vocabularies, _VIDEO_CODES, strict=True)]
        return Catalogue(
            frame=videos,
            video_ids=videos[c.VIDEO_ID].to_numpy(),
            codes=np.stack(codes, axis=1),
            vocabularies=vocabularies,
            duration_s=videos[c.DURATION_S].fill_null(0).to_numpy(),
            uploaded_at=videos[c.UPLOADED_AT].fill_null(0).to_numpy(),
            content=_content(videos[c.CONTENT]),
        )

    @property
    def category(self) -> Codes:
        """[V] category codes."""
        return self.codes[:, 0]

    @property
    def channel(self) -> Codes:
        """[V] channel codes."""
        return self.codes[:, 1]

    @cached_property
    def labels(self) -> Mapping[str, NDArray[np.float32]]:
        """Question → [V] probability of a yes, 0 where unknown; empty where no labels were made."""
        names = [name for name in self.frame.columns if name.startswith(LABEL)]
        return {name.removeprefix(LABEL): self.frame[name].fill_null(0.0).cast(pl.Float32).to_numpy() for name in names}

    def rows(self, video_ids: ArrayLike) -> NDArray[np.int32]:
        """Row of each id, −1 where unknown."""
        return lookup(self.video_ids, video_ids)

    def save(self, path: Path) -> None:
        """Write to one Arrow file."""
        table = self.frame.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
        table = table.cast(_mappable(table.schema))
        with pa.ipc.new_file(str(path), table.schema) as file:
            file.write_table(table, max_chunksize=max(len(table), 1))  # parts of a column would be copied together

    @staticmethod
    def load(path: Path) -> "Catalogue":
        """The inverse of `save`; vocabularies follow from the frame."""
        return Catalogue.of(read_frame(path))


def read_frame(path: Path) -> pl.DataFrame:
    """The frame that `Catalogue.save` wrote, mapped. Raises OSError or pyarrow's own where it is no such file."""
    frame = pl.from_arrow(pa.ipc.open_file(pa.memory_map(str(path))).read_all())
    assert isinstance(frame, pl.DataFrame)
    return frame


def _mappable(schema: pa.Schema) -> pa.Schema:
    """The schema in which Polars takes every column as it lies: strings as views."""
    fields = [field.with_type(pa.string_view()) if pa.types.is_large_string(field.type) else field for field in schema]
    return pa.schema(fields)


def _content(column: pl.Series) -> NDArray[np.float32]:
    """[V, C] the vectors as they lie in the column; where some are missing, a copy with zeros for them."""
    length = column.list.len().fill_null(0).to_numpy()
    width = int(length.max(initial=0))
    known = (length == width) & (width > 0)
    if known.all() and len(known):
        return column.explode().to_numpy().reshape(-1, width)
    content = np.zeros((len(column), width), dtype=np.float32)
    if known.any():
        content[known] = column.filter(pl.Series(known)).explode().to_numpy().reshape(-1, width)
    return content


@dataclass(frozen=True)
class ViewerTable:
    """Known viewers. `codes` is [N, 6], one column per `columns.VIEWER_ATTRIBUTES`."""

    frame: pl.DataFrame
    viewer_ids: NDArray[np.int64]
    codes: Codes
    vocabularies: tuple[Vocabulary, ...]

    def __len__(self) -> int:
        return len(self.viewer_ids)

    @staticmethod
    def of(viewers: pl.DataFrame) -> "ViewerTable":
        """From a frame of schema `columns.VIEWERS`, sorted by id."""
        vocabularies = tuple(Vocabulary.of(viewers[name]) for name in c.VIEWER_ATTRIBUTES)
        codes = [v.encode(viewers[name]) for v, name in zip(vocabularies, c.VIEWER_ATTRIBUTES, strict=True)]
        return ViewerTable(viewers, viewers[c.VIEWER_ID].to_numpy(), np.stack(codes, axis=1), vocabularies)

    def attributes(self, viewer_ids: ArrayLike) -> Codes:
        """[B, 6] codes; all 0 for unknown viewers."""
        rows = lookup(self.viewer_ids, viewer_ids)
        if not len(self):
            return np.zeros((len(rows), len(c.VIEWER_ATTRIBUTES)), dtype=np.int32)
        return np.where(rows[:, None] >= 0, self.codes[rows], 0).astype(np.int32)

    def save(self, path: Path) -> None:
        """Write to one Parquet file."""
        self.frame.write_parquet(path)

    @staticmethod
    def load(path: Path) -> "ViewerTable":
        """The inverse of `save`."""
        return ViewerTable.of(pl.read_parquet(path))
