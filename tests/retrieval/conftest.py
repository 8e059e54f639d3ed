"""A planted world: 8 topics, viewers who watch two of them, content that shows the topic, a few videos nobody watched yet."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest

from data.catalogue import Catalogue
from data.interactions import Interactions, group
from features.schema import FeatureSchema, ViewerPart
from retrieval.config import TwoTowerConfig

DAY_MS = 86_400_000
TOPICS, PER_TOPIC, COLD = 8, 40, 5
VIEWERS, WATCHED = 300, 24


@dataclass(frozen=True)
class Planted:
    """The log and what is true about it."""

    catalogue: Catalogue
    interactions: Interactions
    topic: np.ndarray
    tastes: np.ndarray
    cold: np.ndarray
    """Rows that nobody watched."""


@pytest.fixture(scope="session")
def planted():
    random = np.random.default_rng(0)
    num = TOPICS * PER_TOPIC
    topic = np.arange(num) % TOPICS
    cold = np.arange(num - COLD * TOPICS, num)
    content = np.eye(TOPICS)[topic] + 0.2 * random.normal(size=(num, TOPICS))
    videos = pl.DataFrame(
        {
            "video_id": np.arange(num) * 3,
            "external_id": [str(i) for i in range(num)],
            "title": ["t"] * num,
            "channel_id": random.integers(0, 20, num),
            "channel": ["c"] * num,
            "category": [f"k{t // 2}" for t in topic],
            "language": ["en"] * num,
            "duration_s": np.full(num, 60, dtype=np.float32),
            "uploaded_at": random.integers(1, 10, num) * DAY_MS,
            "content": content.astype(np.float32).tolist(),
        },
        schema_overrides={"content": pl.List(pl.Float32)},
    )
    tastes = np.stack([random.permutation(TOPICS)[:2] for _ in range(VIEWERS)])
    popularity = 1.0 / (1 + np.arange(PER_TOPIC - COLD))
    viewers = np.repeat(np.arange(VIEWERS), WATCHED)
    chosen = tastes[viewers, random.integers(0, 2, len(viewers))]
    which = random.choice(len(popularity), len(viewers), p=popularity / popularity.sum())
    at = np.sort(random.integers(20 * DAY_MS, 40 * DAY_MS, (VIEWERS, WATCHED)), axis=1).reshape(-1)
    log = group(viewers.astype(np.int64), (which * TOPICS + chosen).astype(np.int32), at, num)
    return Planted(Catalogue.of(videos), log, topic, tastes, cold)


@pytest.fixture(scope="session")
def tiny():
    return replace(TwoTowerConfig.tiny(), hidden=(32,), batch_size=256, uniform_negatives=64, epochs=3)


@pytest.fixture(scope="session")
def rich_schema(planted):
    """A schema with numbers and codes; one code shares its name with a code of videos."""
    sizes = tuple(len(v) for v in planted.catalogue.vocabularies)
    return FeatureSchema(("clicks", "days"), ("language", "hour"), (4, 24), (), (), (), (), 10, TOPICS, sizes)


@pytest.fixture(scope="session")
def rich_part(planted, rich_schema):
    """Viewer parts for any rows, of that schema."""

    def part(rows):
        rows = np.asarray(rows)
        random = np.random.default_rng(int(rows.sum()) + 1)
        filled = np.arange(rich_schema.history_length) < random.integers(0, 11, (len(rows), 1))
        drawn = random.integers(0, len(planted.catalogue), filled.shape)
        return ViewerPart(
            dense_BF=random.gamma(1.0, 50.0, (len(rows), 2)).astype(np.float32),
            codes_BC=np.stack([random.integers(0, 4, len(rows)), random.integers(0, 24, len(rows))], axis=1).astype(np.int32),
            history_BL=np.where(filled, drawn, -1).astype(np.int32),
            history_age_BL=np.zeros(filled.shape, dtype=np.float32),
            seen=(),
        )

    return part


@pytest.fixture(scope="session")
def rich_tower(planted, tiny, rich_schema, rich_part):
    """Towers trained a little on features of every kind."""
    from retrieval.examples import RetrievalExamples
    from retrieval.train import train

    log = planted.interactions
    examples = RetrievalExamples(rich_part, log.video_rows, log.at, log.viewer_ids[log.viewer_rows])
    return train(replace(tiny, epochs=1, history_length=8), rich_schema, planted.catalogue, examples)


@pytest.fixture(scope="session")
def exported(planted, rich_tower, tmp_path_factory):
    """Their files."""
    from retrieval import export

    path = tmp_path_factory.mktemp("towers")
    export.write(rich_tower, planted.catalogue, path, at=41 * DAY_MS)
    return path
