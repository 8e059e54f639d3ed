"""What goes into a release: every file that serving reads, written into one directory.

catalogue.parquet viewers.parquet     ids, titles, attributes                      data.catalogue
feature_schema.json                   columns, and the hash that code must match   features.definitions
viewer_states.parquet                 viewers' features at the log's end           features.states
video_state.safetensors               videos' features at the log's end            features.video_state
viewer_tower.onnx … index.faiss       retrieval                                    retrieval.export, retrieval.index
cowatch.safetensors                   videos watched together                      retrieval.cowatch
ranker.onnx …                         ranking                                      ranking.export
search.sqlite                         titles                                       serving.search
lineage.json                          end of the log, offset of the live log, dataset, configs
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from core import config as configs
from data import interactions
from features import definitions as features
from features import states
from features.video_state import VideoState
from pipelines.fit import Material
from pipelines.presets import RunConfig
from ranking import export as ranker_files
from ranking.model import Ranker
from retrieval import cowatch, index
from retrieval import export as tower_files
from retrieval.encoder import VECTORS
from retrieval.towers import TwoTower
from serving import search
from serving.releases import CATALOGUE, INDEX, LINEAGE, SCHEMA, VIDEO_STATE, VIEWER_STATES, VIEWERS


@dataclass(frozen=True)
class Staged:
    """The files of a release that is not published yet."""

    path: Path
    feature_schema: str
    index_kind: str
    index_recall: float

    def copy_to(self, target: Path) -> None:
        """Fill `target` with the files."""
        shutil.copytree(self.path, target, dirs_exist_ok=True)


def write(path: Path, material: Material, towers: TwoTower, ranker: Ranker, config: RunConfig, log_offset: int) -> Staged:
    """Write everything into a fresh directory `path`."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    catalogue, dataset = material.catalogue, material.dataset
    catalogue.save(path / CATALOGUE)
    material.viewers.save(path / VIEWERS)
    tower_files.write(towers, catalogue, path, at=dataset.end_at)
    ranker_files.export(ranker, path)
    search.build(catalogue, path)
    known = interactions.clicks(dataset.events, catalogue.video_ids).before(material.split.test_from)
    cowatch.build(known).save(path)
    built = index.build(np.load(path / VECTORS), config.index)
    built.save(path / INDEX)
    feature_schema = _write_features(path, material)
    lineage = {
        "dataset": dataset.name,
        "end_at": dataset.end_at,
        "log_offset": log_offset,
        "split": asdict(material.split),
        "run": configs.to_dict(config),
        "serving": configs.to_dict(config.serving),
    }
    (path / LINEAGE).write_text(json.dumps(lineage, indent=1, sort_keys=True))
    return Staged(path, feature_schema, built.kind, built.recall)


def _write_features(path: Path, material: Material) -> str:
    declared, as_of = features.default_definitions(), material.dataset.end_at + 1
    digest = features.schema_hash(material.schema)
    (path / SCHEMA).write_text(json.dumps({"hash": digest, "schema": asdict(material.schema)}, indent=1, sort_keys=True))
    events, catalogue = material.dataset.events, material.catalogue
    states.viewer_states(events, catalogue, declared, as_of).save(path / VIEWER_STATES)
    VideoState.from_events(events, catalogue, declared, as_of).save(path / VIDEO_STATE)
    return digest
