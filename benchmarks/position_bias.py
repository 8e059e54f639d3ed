"""Does the ranker separate "looked at" from "liked"? Its position curve and its click probabilities against the world's truth.

    python -m benchmarks.position_bias --batch 128

    examination   true: the world's P(examine | slot) over that of the first slot. The ranker's: the click rate of the first
                  slot, moved by the position bias in log-odds, over that click rate. Naive: the click rates of the slots,
                  which are wrong wherever better videos stand in better slots
    calibration   P(click), averaged over the log's mix of slots: the ranker's after calibration, against
                  World.probability_of_click. On every viewer's first page after the training window, whose viewer remembers
                  exactly what the log says; and for videos drawn uniformly in their place

The position bias starts at nothing and moves a little every step, so a small log needs small batches: `--batch`.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit, logit

from benchmarks import results_file
from core import columns as c
from core import rng
from data.catalogue import Catalogue, ViewerTable, lookup
from data.labels import definitions as labels
from data.splits import global_time_split
from data.world import config as worlds
from data.world import simulate
from data.world.world import World
from features import offline
from pipelines import examples, fit, presets
from pipelines.fit import Material
from pipelines.presets import RunConfig
from ranking import train
from ranking.batches import Impressions
from ranking.model import Ranker
from retrieval import export
from retrieval.encoder import ViewerEncoder
from retrieval.towers import TwoTower

Floats = NDArray[np.float64]
Instants = NDArray[np.int64]
WORLDS = {"tiny": worlds.tiny, "lab": worlds.lab}
BINS = 10


def main() -> None:
    """Run the benchmark from the command line."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--world", choices=sorted(WORLDS), default="lab", help="which world")
    parser.add_argument("--batch", type=int, default=128, help="impressions per training step of the ranker")
    arguments = parser.parse_args()
    result = measure(WORLDS[arguments.world](), arguments.batch)
    results_file.keep("position-bias", result, arguments)


@dataclass(frozen=True)
class Trained:
    """A world that has lived through its log, and what was learned from that log."""

    world: World
    material: Material
    towers: TwoTower
    ranker: Ranker
    shown: Impressions


def measure(world_config: worlds.WorldConfig, batch: int) -> dict[str, Any]:
    """Train on a world's log and compare with its truth."""
    config = presets.tiny()
    trained = learn(World(world_config), replace(config, ranker=replace(config.ranker, batch_impressions=batch)))
    return {"examination": examination(trained), "calibration": calibration(trained)}


def learn(world: World, config: RunConfig) -> Trained:
    """Live through the log, then train as `pipelines.run` does."""
    dataset = simulate.history(world)
    split = global_time_split(dataset.events, config.split.test_fraction, config.split.ranker_fraction)
    material = fit.prepare(dataset, Catalogue.of(dataset.videos), ViewerTable.of(dataset.viewers), split)
    towers = fit.towers(material, config, until=split.ranker_from, advance=_silent)
    data = fit.ranking_data(material, config, towers)
    assert data.impressions is not None
    ranker = train.train(config.ranker, material.schema, material.catalogue, data)
    return Trained(world, material, towers, ranker, data.impressions)


def examination(trained: Trained) -> dict[str, Any]:
    """P(examine | slot) over that of the first slot: the truth, the ranker's estimate, the log's click rates."""
    shown, curve = trained.shown, np.array(trained.ranker.position_curve)
    slots = np.arange(len(curve))
    rates = np.array([shown.clicked[shown.position == slot].mean() for slot in slots], dtype=np.float64)
    true = trained.world.truth.examination(slots)
    estimated, naive = expit(logit(rates[0]) + curve) / rates[0], rates / rates[0]
    return {
        "true": true.tolist(),
        "ranker": estimated.tolist(),
        "naive": naive.tolist(),
        "ranker_error": float(np.abs(estimated - true).mean()),
        "naive_error": float(np.abs(naive - true).mean()),
    }


def calibration(trained: Trained) -> dict[str, Any]:
    """Mean predicted and true P(click) in bins of the prediction, for the videos of the log's pages and for uniform ones."""
    world, material = trained.world, trained.material
    events, test_from = material.dataset.events, material.split.test_from
    world.remember(events.filter(pl.col(c.RECEIVED_AT) < test_from))
    shown = labels.impression_outcomes(events).filter(pl.col(labels.AT) >= test_from)
    first = shown.filter(pl.col(c.REQUEST_ID) == pl.col(c.REQUEST_ID).first().over(c.VIEWER_ID))
    viewer_ids, at = first[c.VIEWER_ID].to_numpy(), first[labels.AT].to_numpy()
    logged = material.catalogue.rows(first[c.VIDEO_ID].to_numpy())
    available = np.flatnonzero(material.catalogue.uploaded_at < test_from)
    uniform = rng.stream(world.config.seed, "pairs").choice(available, len(at)).astype(np.int32)
    return {
        name: _against_truth(trained, viewer_ids, video_rows, at)
        for name, video_rows in (("logged", logged), ("uniform", uniform))
    }


def _against_truth(trained: Trained, viewer_ids: Instants, video_rows: NDArray[np.int32], at: Instants) -> dict[str, Any]:
    world, mix = trained.world, np.bincount(trained.shown.position) / len(trained.shown)
    viewer_rows = lookup(world.viewer_ids, viewer_ids)
    chances = world.probability_of_click(viewer_rows[:, None], video_rows[:, None], at[:, None], np.arange(len(mix)))
    true, predicted = chances @ mix, predict(trained, viewer_ids, video_rows, at)
    bins = np.array_split(np.argsort(predicted), BINS)
    means = np.array([[predicted[part].mean(), true[part].mean()] for part in bins])
    return {
        "pairs": len(at),
        "mean_predicted": float(predicted.mean()),
        "mean_true": float(true.mean()),
        "correlation": float(np.corrcoef(true, predicted)[0, 1]),
        "calibration_error": float(np.abs(means[:, 0] - means[:, 1]).mean()),
        "predicted": means[:, 0].tolist(),
        "true": means[:, 1].tolist(),
    }


def predict(trained: Trained, viewer_ids: Instants, video_rows: NDArray[np.int32], at: Instants) -> Floats:
    """The ranker's calibrated P(click). [pairs]"""
    material = trained.material
    built = offline.build(
        material.dataset.events, material.catalogue, material.viewers, viewer_ids=viewer_ids, at=at, video_rows=video_rows
    )
    with TemporaryDirectory() as folder:
        export.write(trained.towers, material.catalogue, Path(folder), at=material.split.ranker_from)
        viewer_BD = examples.encode_all(built, np.arange(len(at)), ViewerEncoder.load(Path(folder)).encode)
        video_VD = np.load(Path(folder) / "video_vectors.npy")
    unknown = np.full(len(at), np.nan, dtype=np.float32)
    affinity = np.einsum("bd,bd->b", viewer_BD, video_VD[video_rows]).astype(np.float32)
    nowhere = np.full(len(at), -1, dtype=np.int32)
    shown = Impressions(built.batch, affinity, at, nowhere, unknown, unknown, unknown, unknown)
    raw = train.raw_scores(trained.ranker, shown, material.catalogue)["click"]
    return trained.ranker.curves["click"](raw).astype(np.float64)


def _silent(share: float, note: str) -> None:
    """No progress bar."""


if __name__ == "__main__":
    main()
