from dataclasses import replace

import pytest

from core import config
from core.errors import ConfigError
from retrieval.config import IndexConfig, TwoTowerConfig


@pytest.mark.parametrize(
    "preset", [TwoTowerConfig.tiny(), TwoTowerConfig.demo(), TwoTowerConfig.full(), TwoTowerConfig.set_of_videos()]
)
def test_presets_survive_json(preset):
    assert config.from_dict(TwoTowerConfig, config.to_dict(preset)) == preset


@pytest.mark.parametrize(
    "change",
    [
        {"schedule": "warm"},
        {"dim": 30},
        {"temperature": 0.0},
        {"id_dropout": 1.0},
        {"batch_size": 1},
        {"uniform_negatives": -1},
        {"precision": "float16"},
        {"processes": 0},
        {"batch_size": 2, "processes": 3},
    ],
)
def test_values_that_cannot_work_are_refused(change):
    with pytest.raises(ConfigError):
        replace(TwoTowerConfig.tiny(), **change)


def test_what_is_solved_takes_no_steps_that_could_be_shared():
    with pytest.raises(ConfigError, match="take no steps"):
        replace(TwoTowerConfig.set_of_videos(), processes=2)


def test_index_kinds_are_known():
    with pytest.raises(ConfigError, match="none of"):
        IndexConfig(kind="lsh")
