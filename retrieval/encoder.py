"""The towers as the service runs them: look-ups in numpy, layers in ONNX. Torch-free.

    raw v    = id row + content @ W + channel + category + language
    video v  = video_tower([raw v, log age])
    viewer   = viewer_tower([pools, code vectors, dense]),   pool_p = Σ_l weight[p, l] · raw[history l]
             or viewer_tower(raw history in order, its length, [code vectors, dense])

An id that training never saw has a zero row, so a new video lives on its content and codes, and a viewer without history on
codes and context. Vectors have unit norm: inner product is cosine, and the exact model score.
Shapes: B requests, L history, P pools, A code columns, F dense columns, N videos, C content, D vector length.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from core import tensors
from core.errors import BadInput, ReleaseRefused
from features.schema import ViewerPart
from retrieval.config import POOLS, TRANSFORMER

VIEWER_TOWER, VIDEO_TOWER = "viewer_tower.onnx", "video_tower.onnx"
TABLES, VECTORS, FACTS = "retrieval_tables.safetensors", "video_vectors.npy", "retrieval.json"
VIDEO_CODES = ("category", "channel", "language")
NUM_POOLS = 3
DAY_MS = 86_400_000

Floats = NDArray[np.float32]


def pool_weights(history_BL: NDArray[np.int32], decay: float, recent: int) -> Floats:
    """Weight of each history position in each pool: all alike, exp(−l / decay), the latest `recent`. [B, P, L]

    Weights of a pool sum to 1 over the positions filled; an empty history has zero weights.
    """
    weights = (history_BL >= 0)[:, None, :] * _pool_shapes(history_BL.shape[1], decay, recent)
    return (weights / np.maximum(weights.sum(axis=2, keepdims=True), 1e-9)).astype(np.float32)


@cache
def _pool_shapes(length: int, decay: float, recent: int) -> Floats:
    """[P, L]"""
    position = np.arange(length)
    return np.stack([np.ones(length), np.exp(-position / decay), position < recent]).astype(np.float32)


def log_age(at: Any, uploaded_at: Any) -> Floats:
    """log(1 + days since upload), 0 for the future and where unknown (uploaded_at 0)."""
    days = np.where(np.asarray(uploaded_at) > 0, np.maximum(np.asarray(at) - np.asarray(uploaded_at), 0), 0) / DAY_MS
    return np.log1p(days).astype(np.float32)


@dataclass(frozen=True)
class _Layers:
    """One ONNX graph from a matrix to unit vectors."""

    session: Any

    @staticmethod
    def load(path: Path) -> "_Layers":
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            return _Layers(onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]))
        except Exception as error:
            raise ReleaseRefused(f"{path} cannot be opened: {error}") from error

    def __call__(self, **inputs: NDArray[Any]) -> Floats:
        return self.session.run(None, inputs)[0]


def _facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads((path / FACTS).read_text())
    except (OSError, ValueError) as error:
        raise ReleaseRefused(f"{path / FACTS} cannot be read: {error}") from error
    if facts.get("viewer") not in (POOLS, TRANSFORMER):
        raise ReleaseRefused(f"{path / FACTS} is of an older version of upnext; train again")
    return facts


class ViewerEncoder:
    """Viewer features to viewer vectors. Safe for many threads."""

    def __init__(self, facts: dict[str, Any], tables: dict[str, NDArray[Any]], layers: _Layers) -> None:
        self._raw_VD = tables["raw"]
        self._codes = [tables[f"viewer_{name}"] for name in facts["viewer_codes"]]
        self._num_codes = np.array([len(table) for table in self._codes], dtype=np.int32)
        self._num_dense = len(facts["viewer_dense"])
        self._decay, self._recent, self._layers = float(facts["decay"]), int(facts["recent"]), layers
        self._length, self._viewer = int(facts["history_length"]), facts["viewer"]
        self.dim: int = self._raw_VD.shape[1]

    @staticmethod
    def load(path: Path) -> "ViewerEncoder":
        """From a release directory.

        Raises:
            ReleaseRefused: a file is missing or unreadable.
        """
        return ViewerEncoder(_facts(path), _tables(path), _Layers.load(path / VIEWER_TOWER))

    def encode(self, part: ViewerPart) -> Floats:
        """Unit vectors. [B, D]

        Rows of videos newer than the release count as unseen, codes newer than it as unknown.

        Raises:
            BadInput: the part has other columns than the towers were trained with.
        """
        if part.codes_BC.shape[1] != len(self._codes) or part.dense_BF.shape[1] != self._num_dense:
            raise BadInput(
                f"the towers read {len(self._codes)} codes and {self._num_dense} numbers per viewer, "
                f"got {part.codes_BC.shape[1]} and {part.dense_BF.shape[1]}: serve with the feature schema of the release"
            )
        known = np.where(part.codes_BC < self._num_codes, part.codes_BC, 0)
        codes = [table[code] for table, code in zip(self._codes, known.T, strict=True)]
        context = np.concatenate([*codes, part.dense_BF], axis=1, dtype=np.float32)
        if self._viewer != TRANSFORMER:
            return self._layers(inputs=np.concatenate([self._pools(part), context], axis=1))
        history_BLD, length_B = self._in_order(part)
        more = {"context": context} if context.shape[1] else {}
        return self._layers(history=history_BLD, length=length_B, **more)

    def _known(self, history_BL: NDArray[np.int32]) -> NDArray[np.bool_]:
        return (history_BL >= 0) & (history_BL < len(self._raw_VD))

    def _pools(self, part: ViewerPart) -> Floats:
        history = part.history_BL[:, : self._length]
        known = self._known(history)
        weights_BPL = pool_weights(history, self._decay, self._recent) * known[:, None, :]
        vectors_BLD = self._raw_VD[np.where(known, history, 0)]
        return (weights_BPL @ vectors_BLD).reshape(len(history), -1)

    def _in_order(self, part: ViewerPart) -> tuple[Floats, NDArray[np.int64]]:
        """Raw vectors oldest first, padded at the end to the longest of the batch, and how many there are. [B, L, D], [B]"""
        known = self._known(part.history_BL)
        latest_first = np.take_along_axis(part.history_BL, np.argsort(~known, axis=1, kind="stable"), axis=1)
        length_B = np.minimum(known.sum(axis=1), self._length)
        back = length_B[:, None] - 1 - np.arange(length_B.max(initial=0))
        rows = np.take_along_axis(latest_first, np.maximum(back, 0), axis=1) if back.size else latest_first[:, :0]
        return self._raw_VD[np.where(back >= 0, rows, 0)], length_B.astype(np.int64)


class VideoEncoder:
    """Videos to video vectors: the whole catalogue of the release, or uploads it has never seen."""

    def __init__(self, facts: dict[str, Any], tables: dict[str, NDArray[Any]], layers: _Layers) -> None:
        self._tables, self._layers = tables, layers
        self._raw_VD = tables["raw"]
        self.trained_at = int(facts["at"])

    def __len__(self) -> int:
        """Videos of the release that `encode_rows` knows."""
        return len(self._raw_VD)

    @staticmethod
    def load(path: Path) -> "VideoEncoder":
        """From a release directory.

        Raises:
            ReleaseRefused: a file is missing or unreadable.
        """
        return VideoEncoder(_facts(path), _tables(path), _Layers.load(path / VIDEO_TOWER))

    def encode(self, content_NC: Floats, codes_N3: NDArray[np.int32], uploaded_at_N: NDArray[np.int64], at: int) -> Floats:
        """Unit vectors of videos without an id row: content, (category, channel, language) codes and age say it all. [N, D]

        Raises:
            BadInput: content of another width than in training.
        """
        return self._vectors(raw_vectors(self._tables, content_NC, codes_N3), uploaded_at_N, at)

    def encode_rows(self, video_rows: NDArray[np.int32], uploaded_at_N: NDArray[np.int64], at: int) -> Floats:
        """Unit vectors of videos of the release, as of `at`. [N, D]"""
        return self._vectors(self._raw_VD[video_rows], uploaded_at_N, at)

    def _vectors(self, raw_ND: Floats, uploaded_at_N: NDArray[np.int64], at: int) -> Floats:
        age_N1 = log_age(at, uploaded_at_N)[:, None]
        return self._layers(inputs=np.concatenate([raw_ND, age_N1], axis=1, dtype=np.float32))


def raw_vectors(tables: dict[str, NDArray[Any]], content_NC: Floats, codes_N3: NDArray[np.int32]) -> Floats:
    """Raw vectors of videos without an id row, from the towers' tables; codes newer than these count as unknown. [N, D]

    Raises:
        BadInput: content of another width than in training.
    """
    projection_CD = tables["content_projection"]
    if content_NC.shape[1] != len(projection_CD):
        raise BadInput(f"content vectors have {content_NC.shape[1]} numbers, the towers read {len(projection_CD)}")
    raw = content_NC @ projection_CD
    for name, code in zip(VIDEO_CODES, codes_N3.T, strict=True):
        table = tables[f"video_{name}"]
        raw += table[np.where(code < len(table), code, 0)]
    return raw


def _tables(path: Path) -> dict[str, NDArray[Any]]:
    try:
        return tensors.mapped(path / TABLES)
    except Exception as error:
        raise ReleaseRefused(f"{path / TABLES} cannot be read: {error}") from error
