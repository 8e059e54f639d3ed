from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from ranking import config, export, train
from ranking.batches import RankingData
from ranking.model import Ranker
from ranking.scorer import Scorer
from tests.ranking import planted

CONFIG = replace(config.tiny(), max_position=8, max_epochs=4)


@dataclass(frozen=True)
class Trained:
    truth: planted.World
    data: RankingData
    ranker: Ranker
    directory: Path
    scorer: Scorer


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums over threads differ in the last digit; one thread makes training repeatable everywhere."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Trained:
    truth = planted.world()
    data = planted.data(truth, 30_000)
    ranker = train.train(CONFIG, truth.schema, truth.videos, data)
    directory = tmp_path_factory.mktemp("ranker")
    export.export(ranker, directory, truth.videos)
    return Trained(truth, data, ranker, directory, Scorer.load(directory, truth.videos))
