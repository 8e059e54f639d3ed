"""The files of a release that follow from the log alone, or from vectors already written: no torch in here.

catalogue.arrow viewers.parquet       ids, titles, attributes                      data.catalogue
vocabularies.json                     codes of categories, channels, languages     data.catalogue
removed_videos.npy                    ids that were taken down by the log's end    serving.suppressed
feature_schema.json                   columns, and the hash that code must match   features.definitions
viewer_states.parquet                 viewers' features at the log's end           features.states
video_state.safetensors               videos' features at the log's end            features.video_state
index.faiss                           nearest videos                               retrieval.index
cowatch.safetensors                   videos watched together                      retrieval.cowatch
search.sqlite                         titles                                       serving.search
lineage.json                          end of the log, offset of the live log, dataset, configs

What training adds is in `bundle`. Every function writes into an existing directory.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core import columns as c
from core import config as configs
from core import events as ev
from data import interactions
from data.catalogue import Catalogue, ViewerTable
from data.dataset import Dataset
from data.splits import TimeSplit
from features import definitions as features
from features import states
from features.definitions import Definitions
from features.video_state import VideoState
from pipelines.presets import RunConfig
from retrieval import cowatch, index
from retrieval.config import IndexConfig
from retrieval.encoder import VECTORS
from retrieval.index import VectorIndex
from serving import search
from serving.releases import CATALOGUE, INDEX, LINEAGE, REMOVED, SCHEMA, VIDEO_STATE, VIEWER_STATES, VIEWERS, VOCABULARIES


@dataclass(frozen=True)
class Staged:
    """The files of a release that is not published yet."""

    path: Path
    feature_schema: str
    index_kind: str
    index_recall: float

    @staticmethod
    def of(path: Path) -> "Staged":
        """What the files in `path` say of themselves."""
        facts = json.loads((path / INDEX).with_suffix(".json").read_text())
        return Staged(path, json.loads((path / SCHEMA).read_text())["hash"], facts["kind"], facts["recall"])

    def copy_to(self, target: Path) -> None:
        """Fill `target` with the files."""
        shutil.copytree(self.path, target, dirs_exist_ok=True)


def write_features(
    path: Path, dataset: Dataset, catalogue: Catalogue, viewers: ViewerTable, definitions: Definitions | None = None
) -> None:
    """The catalogue, the viewers, and the features of both at the log's end: all declared ones, or those of given models."""
    declared, as_of = definitions or features.default_definitions(catalogue.labels), dataset.end_at + 1
    schema = declared.schema(catalogue, viewers)
    catalogue.save(path / CATALOGUE)
    viewers.save(path / VIEWERS)
    (path / VOCABULARIES).write_text(json.dumps([vocabulary.values for vocabulary in catalogue.vocabularies]))
    np.save(path / REMOVED, removed_ids(dataset.events), allow_pickle=False)
    described = {"hash": features.schema_hash(schema, declared), "schema": asdict(schema)}
    (path / SCHEMA).write_text(json.dumps(described, indent=1, sort_keys=True))
    states.viewer_states(dataset.events, catalogue, declared, as_of).save(path / VIEWER_STATES)
    VideoState.from_events(dataset.events, catalogue, declared, as_of).save(path / VIDEO_STATE)


def removed_ids(events: pl.DataFrame) -> NDArray[np.int64]:
    """Videos that were taken down, sorted."""
    return events.filter(pl.col(c.KIND) == ev.REMOVE)[c.VIDEO_ID].drop_nulls().unique().sort().to_numpy()


def write_index(
    path: Path, vectors: Path, dataset: Dataset, catalogue: Catalogue, split: TimeSplit, config: IndexConfig
) -> VectorIndex:
    """Everything that finds videos besides the towers; `vectors` is the directory that holds theirs."""
    search.build(catalogue, path)
    known = interactions.clicks(dataset.events, catalogue.video_ids).before(split.test_from)
    cowatch.build(known).save(path)
    built = index.build(np.load(vectors / VECTORS), config)
    built.save(path / INDEX)
    return built


def write_lineage(
    path: Path, dataset: Dataset, split: TimeSplit, config: RunConfig, log_offset: int, refreshed: dict[str, Any] | None = None
) -> None:
    """Where the files come from; `refreshed`: of which release these are a refresh, and what changed."""
    lineage = {
        "dataset": dataset.name,
        "end_at": dataset.end_at,
        "log_offset": log_offset,
        "split": asdict(split),
        "run": configs.to_dict(config),
        "serving": configs.to_dict(config.serving),
    } | ({"refreshed": refreshed} if refreshed else {})
    (path / LINEAGE).write_text(json.dumps(lineage, indent=1, sort_keys=True))
