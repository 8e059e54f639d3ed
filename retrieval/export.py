"""Write trained towers as files of a release: what `retrieval.encoder` and the index read without torch.

viewer_tower.onnx, video_tower.onnx    layers over gathered vectors, any batch size
retrieval_tables.safetensors           raw [V, D] vector of every video, tables of codes, projection of content
video_vectors.npy                      [V, D] unit vectors as of `at`, catalogue order
retrieval.json                         what the encoder must know
"""

import copy
import json
import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor, nn

from core import config as configs
from data.catalogue import Catalogue
from retrieval.batches import video_features
from retrieval.config import TRANSFORMER
from retrieval.encoder import FACTS, TABLES, VECTORS, VIDEO_CODES, VIDEO_TOWER, VIEWER_TOWER, log_age
from retrieval.solved_graphs import HistorySolver
from retrieval.towers import TwoTower, ViewerTower
from retrieval.transformer import HistoryTransformer

_BLOCK = 65_536
_OPSET = 18


def write(tower: TwoTower, catalogue: Catalogue, path: Path, *, at: int) -> None:
    """Fill `path` (an existing directory) with the towers' files, video vectors aged as of `at` (milliseconds)."""
    raw, vectors = video_arrays(tower, catalogue, at)
    np.save(path / VECTORS, vectors, allow_pickle=False)
    save_file({name: np.ascontiguousarray(array) for name, array in _tables(tower, raw).items()}, path / TABLES)
    if tower.history is None:
        _write_onnx(tower.viewer, {"inputs": torch.zeros(2, tower.viewer.width)}, path / VIEWER_TOWER)
    else:
        _write_onnx(OrderedViewer(tower.history, tower.viewer), _ordered_example(tower), path / VIEWER_TOWER)
    _write_onnx(tower.video, {"inputs": torch.zeros(2, tower.config.dim + 1)}, path / VIDEO_TOWER)
    facts = {
        "at": at,
        "viewer": tower.config.viewer if tower.history is None else TRANSFORMER,  # the graph reads the history row by row
        "viewer_codes": tower.schema.viewer_codes,
        "viewer_dense": tower.schema.viewer_dense,
        "history_length": tower.config.history_length,
        "decay": tower.config.decay,
        "recent": tower.config.recent,
        "num_known": int(tower.known_V.sum()),
        "config": configs.to_dict(tower.config),
    }
    (path / FACTS).write_text(json.dumps(facts, indent=1, sort_keys=True))


@torch.no_grad()
def video_arrays(tower: TwoTower, catalogue: Catalogue, at: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Raw and unit vectors of the whole catalogue. Two of [V, D]"""
    tower.eval()
    place, raws, vectors = tower.device, [], []
    for start in range(0, len(catalogue), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(catalogue)), dtype=np.int32)
        videos = video_features(catalogue, rows, tower.id_row_VP, tower.known_V[rows]).to(place)
        raw = tower.raw(videos, torch.from_numpy(catalogue.content[rows]).to(place))
        age = torch.from_numpy(log_age(at, catalogue.uploaded_at[rows])).to(place)
        raws.append(raw.cpu().numpy())
        vectors.append(tower.video_vectors(raw, age).cpu().numpy())
    return np.concatenate(raws), np.concatenate(vectors)


def _tables(tower: TwoTower, raw: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    tables = {"raw": raw}
    tables |= {f"video_{name}": tower.video_tables.array(name) for name in VIDEO_CODES}
    if tower.viewer_tables is not None:
        tables |= {f"viewer_{name}": tower.viewer_tables.array(name) for name in tower.schema.viewer_codes}
    projection = np.zeros((0, tower.config.dim), dtype=np.float32)
    if tower.content is not None:
        projection = (tower.content_scale * tower.content.weight.detach().T).cpu().numpy()
    return tables | {"content_projection": projection}


class OrderedViewer(nn.Module):
    """What reads the history row by row, and the viewer tower, as one graph over gathered vectors."""

    def __init__(self, history: HistoryTransformer | HistorySolver, viewer: ViewerTower) -> None:
        super().__init__()
        self.history, self.viewer = history, viewer

    def forward(self, history_BLD: Tensor, length_B: Tensor, context_BX: Tensor | None = None) -> Tensor:
        """Unit vectors after length_B videos, oldest first. [B, D]"""
        state_BD = self.history.last(history_BLD, length_B)
        return self.viewer(state_BD if context_BX is None else torch.cat([state_BD, context_BX], dim=1))


def _ordered_example(tower: TwoTower) -> dict[str, Tensor]:
    """Inputs of OrderedViewer; `context` (code vectors and numbers) only where the schema has any."""
    dim, width = tower.config.dim, tower.viewer.width - tower.config.dim
    inputs = {"history": torch.zeros(2, 3, dim), "length": torch.tensor([3, 1])}
    return inputs | ({"context": torch.zeros(2, width)} if width else {})


def _write_onnx(layers: nn.Module, example: dict[str, Tensor], path: Path) -> None:
    """One graph of named inputs → `vectors` [B, D]; every batch size, every length of `history`; weights inside the file."""
    axes = {name: {0: "batch", 1: "length"} if tensor.ndim == 3 else {0: "batch"} for name, tensor in example.items()}
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                copy.deepcopy(layers).cpu().eval(),
                tuple(example.values()),
                str(path),
                input_names=list(example),
                output_names=["vectors"],
                dynamic_axes={**axes, "vectors": {0: "batch"}},
                opset_version=_OPSET,
                dynamo=False,
                external_data=False,
            )
    finally:
        quiet.setLevel(level)
