"""Logs and models that several benchmarks share: histories in, rankings out, settings at their defaults.

The real log is MovieLens-100K in RecBole's form, in the folder that UPNEXT_DATA names or in ../shared/data; the built-in worlds
need nothing.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from core import settings
from core.errors import BadInput
from data.catalogue import Catalogue
from data.dataset import Dataset
from data.interactions import Interactions
from data.sources import registry
from data.world import config as worlds
from data.world import simulate
from pipelines.evaluation.cases import Cases, HeldOut
from pipelines.evaluation.evaluate import Model, Scored, Towers
from retrieval import export
from retrieval import train as retrieval
from retrieval.config import TwoTowerConfig
from retrieval.encoder import VECTORS, ViewerEncoder
from retrieval.examples import bare_schema, from_interactions, history_part
from retrieval.towers import TwoTower
from retrieval.tunable import tunables

WORLDS = {"tiny": worlds.tiny, "lab": worlds.lab}
LOGS = (*WORLDS, "ml-100k")
BASELINES = ("popularity", "recent_popularity", "markov", "ease")
_NEARBY = Path(__file__).parents[2] / "shared" / "data"


def open_log(name: str) -> Dataset:
    """A world or a real log by name.

    Raises:
        BadInput: the real log is not here.
    """
    if name in WORLDS:
        return simulate.generate(WORLDS[name]())
    path = (settings.load().data_dir or _NEARBY) / name
    if not path.is_dir():
        raise BadInput(
            f"{path} does not exist: set UPNEXT_DATA to a folder with {name}/ in it, or ask for a world: {[*WORLDS]}"
        )
    return registry.load("recbole", path).dataset


def default_log() -> str:
    """The real log where it is at hand, else the tiny world."""
    return "ml-100k" if ((settings.load().data_dir or _NEARBY) / "ml-100k").is_dir() else "tiny"


def fit(train: Interactions, catalogue: Catalogue, towers: TwoTowerConfig) -> dict[str, Model]:
    """Baselines at their default settings, and two towers on histories alone."""
    return {**fit_baselines(train), "two_tower": fit_towers(train, catalogue, towers)}


def fit_baselines(train: Interactions) -> dict[str, Model]:
    """Simple models at their default settings."""
    known = tunables(max_ease_videos=4_000)
    return {name: Scored(known[name].default.fit(train)) for name in BASELINES}


def fit_towers(train: Interactions, catalogue: Catalogue, config: TwoTowerConfig) -> Towers:
    """Two towers that know of a viewer what they have watched."""
    schema = bare_schema(catalogue, config.history_length)
    tower = retrieval.train(config, schema, catalogue, from_interactions(train, schema))
    return served(tower, catalogue, at=int(train.at.max()) + 1)


def served(tower: TwoTower, catalogue: Catalogue, at: int) -> Towers:
    """Towers on histories alone, as their files are read; videos aged as of `at`."""
    with TemporaryDirectory() as folder:
        export.write(tower, catalogue, Path(folder), at=at)
        encoder, video_VD = ViewerEncoder.load(Path(folder)), np.load(Path(folder) / VECTORS)

    def encode(cases: Cases, rows: slice) -> NDArray[np.float32]:
        histories = cases.histories.take(rows)
        return encoder.encode(history_part([histories[i] for i in range(len(histories))], tower.schema))

    return Towers(video_VD, encode)


def ranks(model: Model, held_out: HeldOut) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[N] full rank of each case's one target from 1, and [N] how many videos were candidates."""
    cases, targets = held_out.cases, held_out.targets.values
    rank, candidates = np.empty((2, len(cases)), dtype=np.int64)
    for begin in range(0, len(cases), 512):
        rows = slice(begin, min(begin + 512, len(cases)))
        scores = cases.hide(_scores(model, cases, rows), rows)
        own = targets[rows, None]
        target = np.take_along_axis(scores, own, axis=1)
        ahead = (scores > target) | ((scores == target) & (np.arange(scores.shape[1]) < own))
        rank[rows] = 1 + ahead.sum(axis=1)
        candidates[rows] = np.isfinite(scores).sum(axis=1)
    return rank, candidates


def _scores(model: Model, cases: Cases, rows: slice) -> NDArray[np.float32]:
    if isinstance(model, Scored):
        return model.scorer.scores(cases.histories.take(rows))
    if isinstance(model, Towers):
        return model.encode(cases, rows) @ model.video_VD.T
    raise TypeError(f"{type(model).__name__} has no score for every video")
