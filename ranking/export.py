"""A trained ranker → four files of a release that the server reads without torch.

    ranker.onnx                 viewer [B, X], numbers [B, K, F], video [B, K, S], cross [B, K, C] → logits [B, K, H]; B and K
                                free; normalises viewer and numbers; video is [content, normalised | its vector | its codes']
    ranker_tables.safetensors   `codes` [T, d]
    ranker_videos.npy           [V, S] the videos of a catalogue as the graph reads them
    ranker.json                 heads, layout, normalisation statistics (copies, for people and monitoring), calibration,
                                position curve, held-out figures, config with the utility formula

The position bias stays behind: a served score has no position.
"""

import json
import warnings
from dataclasses import asdict
from pathlib import Path

import onnx
import torch
from safetensors.numpy import save_file

from core import config as configs
from data.catalogue import Catalogue
from ranking.graph import ServingGraph
from ranking.model import Network, Ranker
from ranking.scorer import FACTS, GRAPH, TABLES, write_videos


def export(ranker: Ranker, path: Path, catalogue: Catalogue) -> None:
    """Write the four files into the directory `path`; the catalogue is the one that it was trained on."""
    embedder = ranker.model.embedder
    _graph(ranker.model.network, path / GRAPH)
    codes = embedder.codes.weight.detach().cpu().numpy()
    save_file({"codes": codes.copy()}, path / TABLES)
    (path / FACTS).write_text(json.dumps(facts(ranker), indent=1, sort_keys=True))
    write_videos(path, catalogue, embedder.video.weight.detach().cpu().numpy())


def facts(ranker: Ranker) -> dict[str, object]:
    """What ranker.json says."""
    network = ranker.model.network
    statistics = ("viewer_mean", "viewer_std", "candidate_mean", "candidate_std")
    return {
        "heads": list(ranker.heads),
        "layout": asdict(ranker.columns),
        "normalisation": {name: getattr(network, name).cpu().tolist() for name in statistics},
        "curves": {head: asdict(curve) for head, curve in ranker.curves.items()},
        "watch_scale": ranker.watch_scale,
        "position_curve": list(ranker.position_curve),
        "metrics": ranker.metrics,
        "config": configs.to_dict(ranker.config),
    }


def _graph(network: Network, path: Path) -> None:
    """Trace the network, rearranged for serving, over two free dimensions."""
    columns = network.columns
    graph = ServingGraph(network.cpu().eval())
    of_cross = columns.cross_fields * columns.code_dim
    widths = {"numbers": columns.pair_numbers, "video": columns.video_width, "cross": of_cross}
    example = (torch.zeros(2, columns.viewer_width), *(torch.zeros(2, 3, width) for width in widths.values()))
    free = {name: {0: "B", 1: "K"} for name in (*widths, "logits")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            example,
            str(path),
            input_names=["viewer", *widths],
            output_names=["logits"],
            dynamic_axes={"viewer": {0: "B"}, **free},
            dynamo=False,
        )
    onnx.checker.check_model(str(path))
