"""A complete release of real parts in miniature, made once per run: 60 videos, 20 viewers, models hardly trained."""

import json
from dataclasses import asdict

import numpy as np
import polars as pl
import pytest

from core import config as configs
from core import events as ev
from core.clock import HOUR_MS
from core.rng import stream
from data import dataset, interactions
from features import definitions as features
from features import offline, states
from features.video_state import VideoState
from serving import fakes, search
from serving.config import ServingConfig

END = fakes.NOW
NUM_CLICKS = 300


def click_log():
    """Viewers click on videos of their topic, one click an hour until END."""
    random, events = stream(0, "test clicks"), []
    for n in range(NUM_CLICKS):
        viewer, at = int(random.integers(1, 21)), END - (NUM_CLICKS - n) * HOUR_MS
        video = int(random.integers(0, 15)) * 4 + viewer % 4 + 1
        events.append(ev.Click(event_id=f"c{n:04}", event_at=at, received_at=at, viewer_id=viewer, video_id=video))
    frame = pl.DataFrame(pl.from_arrow(ev.to_table(events)))
    return dataset.make("clicks", frame, fakes.viewers().frame, fakes.catalogue(60).frame)


def _train(log, catalogue, viewers, path):
    from ranking import config as ranker_config
    from ranking import export as ranker_files
    from ranking import train as ranking
    from ranking.batches import Lists, RankingData
    from retrieval import export as tower_files
    from retrieval import train as retrieval
    from retrieval.config import TwoTowerConfig
    from retrieval.examples import RetrievalExamples

    clicks = log.events
    rows, at = catalogue.rows(clicks["video_id"].to_numpy()), clicks["received_at"].to_numpy()
    viewer_ids = clicks["viewer_id"].to_numpy()
    built = offline.build(clicks, catalogue, viewers, viewer_ids=viewer_ids, at=at, video_rows=rows)
    towers = TwoTowerConfig(dim=8, hidden=(16,), batch_size=64, uniform_negatives=16, epochs=2)
    tower_files.write(
        retrieval.train(towers, built.schema, catalogue, RetrievalExamples(built.viewer_part, rows, at, viewer_ids)),
        catalogue, path, at=END,
    )  # fmt: skip
    others = stream(0, "test negatives").integers(0, len(catalogue), size=(len(rows), 7))
    candidates = np.concatenate([rows[:, None], others], axis=1).astype(np.int32)
    unknown = np.full(len(rows), np.nan, dtype=np.float32)
    lists = Lists(
        features=lambda chosen: built.against(chosen, candidates[chosen]),
        affinity=np.zeros(candidates.shape, dtype=np.float32),
        at=at,
        mask=np.ones(candidates.shape, dtype=bool),
        liked=unknown,
        disliked=unknown,
    )
    ranker = ranking.train(ranker_config.tiny(), built.schema, catalogue, RankingData(lists=lists))
    ranker_files.export(ranker, path, catalogue)
    return built.schema


def write_release(path):
    """Fill `path` with the files of a release; returns its feature schema hash."""
    from retrieval import cowatch, index
    from retrieval.config import IndexConfig
    from retrieval.encoder import VECTORS
    from serving import releases

    log = click_log()
    catalogue, viewers = fakes.catalogue(60), fakes.viewers()
    catalogue.save(path / releases.CATALOGUE)
    (path / releases.VOCABULARIES).write_text(json.dumps([vocabulary.values for vocabulary in catalogue.vocabularies]))
    viewers.save(path / releases.VIEWERS)
    schema = _train(log, catalogue, viewers, path)
    search.build(catalogue, path)
    cowatch.build(interactions.clicks(log.events, catalogue.video_ids)).save(path)
    index.build(np.load(path / VECTORS), IndexConfig()).save(path / releases.INDEX)
    declared, digest = features.default_definitions(), features.schema_hash(schema)
    states.viewer_states(log.events, catalogue, declared, END).save(path / releases.VIEWER_STATES)
    VideoState.from_events(log.events, catalogue, declared, END).save(path / releases.VIDEO_STATE)
    (path / releases.SCHEMA).write_text(json.dumps({"hash": digest, "schema": asdict(schema)}))
    lineage = {"end_at": END - 1, "log_offset": 0, "serving": configs.to_dict(ServingConfig())}
    (path / releases.LINEAGE).write_text(json.dumps(lineage))
    return digest


@pytest.fixture(scope="session")
def release_files(tmp_path_factory):
    """A directory of release files, and the feature schema hash. Copy before changing anything."""
    path = tmp_path_factory.mktemp("release")
    return path, write_release(path)


@pytest.fixture(scope="session")
def clicks():
    """The log that the release was trained on."""
    return click_log()
