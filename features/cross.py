"""Features of a (viewer, video) pair: pure functions of the viewer part, the candidate rows and the catalogue.

Training and serving call the same code with the same inputs. Content vectors are normalised and rounded to integers once,
so small that dot products with the sum of a history are exact in float32 (below 2²⁴ by Cauchy–Schwarz) and do not depend on how
many candidates are asked about at a time.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core import columns as c
from core.blocks import blocks
from data.catalogue import Catalogue, ViewerTable
from features.definitions import DAYPARTS, Definitions, code_sizes, length_bucket
from features.facts import Codes, Doubles, Facts
from features.kinds import matrix
from features.schema import Floats, ViewerPart
from features.tiles import Ints

_CONTENT_SCALE = 1 << 9


@dataclass(frozen=True)
class _Columns:
    """What the catalogue knows, in the form that the formulas want."""

    groups: dict[str, Codes]
    """[V] category and channel codes."""
    language: Codes
    """[V]"""
    viewer_language: Codes
    """Video language code of each viewer language code; −1 where there is none."""
    content: NDArray[np.int16]
    """[V, C] unit vectors · 2⁹, rounded."""
    norm: Doubles
    """[V] their lengths."""


class CrossReader:
    """Reads the declared cross features."""

    def __init__(self, definitions: Definitions, catalogue: Catalogue, viewers: ViewerTable) -> None:
        self._definitions = definitions
        self._columns = _columns(catalogue, viewers)
        self._right = {c.CATEGORY: catalogue.category, "length": length_bucket(catalogue.duration_s)}
        self._left = {feature.column: place for place, feature in enumerate(definitions.viewer_codes)}
        self._hour = len(definitions.viewer_codes) + [f.part for f in definitions.context_codes].index("hour")
        self._sizes = code_sizes(catalogue, viewers)

    def dense(self, part: ViewerPart, video_BK: Codes) -> Floats:
        """[B, K, Fx] columns as in FeatureSchema.cross_dense."""
        facts = CrossFacts(part, video_BK, self._columns, self._left[c.LANGUAGE])
        return matrix(self._definitions.cross, facts, video_BK.shape)

    def codes(self, part: ViewerPart, video_BK: Codes) -> Codes:
        """[B, K, Cx] columns as in FeatureSchema.cross_codes."""
        found = np.empty((*video_BK.shape, len(self._definitions.cross_codes)), dtype=np.int32)
        for column, feature in enumerate(self._definitions.cross_codes):
            if feature.left == "daypart":
                left_B = part.codes_BC[:, self._hour] * DAYPARTS // 24
            else:
                left_B = part.codes_BC[:, self._left[feature.left]]
            found[..., column] = left_B[:, None] * self._sizes[feature.right] + self._right[feature.right][video_BK]
        return found


@dataclass(frozen=True)
class _Overlap:
    """What the history has in common with each candidate."""

    count_BK: Ints
    """How many of its clicks."""
    latest_BK: Ints
    """Place of the latest such click; meaningless where there is none."""


@dataclass(frozen=True)
class CrossFacts(Facts):
    """About K candidates for each of B viewers. Unknown categories, channels and languages match nothing."""

    part: ViewerPart
    video_BK: Codes
    columns: _Columns
    language_column: int
    overlaps: dict[str, _Overlap] = field(default_factory=dict)

    def share(self, what: str) -> Doubles:
        """Share of the history in the candidate's `category` or `channel`. [B, K]"""
        size_B = np.count_nonzero(self.part.history_BL >= 0, axis=1)
        return self._overlap(what).count_BK / np.maximum(size_B, 1)[:, None]

    def hours_since(self, what: str) -> Doubles:
        """Hours since the latest click in the candidate's `category` or on its `channel`. [B, K]"""
        overlap = self._overlap(what)
        hours = np.take_along_axis(self.part.history_age_BL, overlap.latest_BK, axis=1).astype(np.float64)
        return np.where(overlap.count_BK > 0, hours, -1.0)

    def column(self, name: str) -> Doubles:
        """`same_language`. [B, K]"""
        if name != "same_language":
            self._refuse(f"column '{name}'")
        wanted_B = self.columns.viewer_language[self.part.codes_BC[:, self.language_column]]
        return (self.columns.language[self.video_BK] == wanted_B[:, None]).astype(np.float64)

    def cosine(self, what: str) -> Doubles:
        """Cosine of the candidate's `content` with the sum over the history. [B, K]"""
        if what != "content":
            self._refuse(f"vectors of '{what}'")
        rows = self.part.history_BL
        past = self.columns.content[np.maximum(rows, 0)] * (rows >= 0)[..., None]
        past_BC = past.sum(axis=1, dtype=np.int32).astype(np.float32)
        candidate_BKC = self.columns.content.take(self.video_BK, axis=0).astype(np.float32)
        dot_BK = np.matmul(candidate_BKC, past_BC[..., None])[..., 0].astype(np.float64)
        length = np.linalg.norm(past_BC.astype(np.float64), axis=1)[:, None] * self.columns.norm.take(self.video_BK)
        return np.divide(dot_BK, length, out=np.zeros_like(dot_BK), where=length > 0)

    def _overlap(self, what: str) -> _Overlap:
        """Clicks of the history that share the candidate's category or channel."""
        if what not in self.columns.groups:
            self._refuse(f"'{what}'")
        if what not in self.overlaps:
            self.overlaps[what] = _overlap(self.part.history_BL, self.video_BK, self.columns.groups[what])
        return self.overlaps[what]


def _overlap(history_BL: Codes, video_BK: Codes, codes: Codes) -> _Overlap:
    """Compare each candidate's code with all of its own history: L · K comparisons cost less than sorting."""
    past_BL = np.where(history_BL >= 0, codes.take(history_BL), 0)
    same_BLK = np.where(past_BL > 0, past_BL, -1)[:, :, None] == codes.take(video_BK)[:, None, :]
    return _Overlap(same_BLK.sum(axis=1, dtype=np.int32), same_BLK.argmax(axis=1))


def _columns(catalogue: Catalogue, viewers: ViewerTable) -> _Columns:
    # Each on its own: taking rows out of a strided column would copy the whole of it first.
    category, channel, language = np.ascontiguousarray(catalogue.codes.T)
    content, norm = np.empty(catalogue.content.shape, dtype=np.int16), np.empty(len(catalogue))
    for rows in blocks(len(catalogue)):
        content[rows], norm[rows] = _rounded(catalogue.content[rows])
    spoken = viewers.vocabularies[c.VIEWER_ATTRIBUTES.index(c.LANGUAGE)].values
    written = {value: code for code, value in enumerate(catalogue.vocabularies[2].values) if code}
    return _Columns(
        groups={c.CATEGORY: category, c.CHANNEL: channel},
        language=language,
        viewer_language=np.array([written.get(value, -1) for value in spoken], dtype=np.int32),
        content=content,
        norm=norm,
    )


def _rounded(content_NC: Floats) -> tuple[NDArray[np.int16], Doubles]:
    """Unit vectors · 2⁹, rounded, and their lengths."""
    length = np.linalg.norm(content_NC.astype(np.float64), axis=1, keepdims=True)
    unit = np.divide(content_NC, length, out=np.zeros(content_NC.shape), where=length > 0)
    rounded = np.rint(unit * _CONTENT_SCALE)
    return rounded.astype(np.int16), np.sqrt((rounded**2).sum(axis=1))
