import pytest

from core.config import from_dict, override, to_dict
from core.errors import ConfigError
from data.world import config as presets
from data.world.config import Fault, WorldConfig, tiny


@pytest.mark.parametrize("preset", [presets.tiny, presets.lab, presets.demo, presets.full])
def test_presets_survive_json(preset):
    assert from_dict(WorldConfig, to_dict(preset())) == preset()


def test_sizes_are_those_of_the_design():
    sizes = [(p().num_viewers, p().num_videos) for p in (presets.tiny, presets.lab, presets.demo, presets.full)]
    assert sizes == [(500, 800), (2_000, 5_000), (20_000, 50_000), (1_000_000, 1_000_000)]
    assert presets.demo().impressions == 1_000_000
    assert presets.demo().days == 28


def test_faults_survive_json_and_overrides_reach_inside():
    config = WorldConfig(faults=(Fault("taste_flip", 1.0, 2.0, 0.5),))
    assert from_dict(WorldConfig, to_dict(config)) == config
    assert override(tiny(), ["behaviour.taste=0"]).behaviour.taste == 0.0


def test_impossible_worlds_are_refused():
    with pytest.raises(ConfigError, match="no such fault: 'meteor'"):
        Fault("meteor", 0, 1)
    with pytest.raises(ConfigError, match="num_topics"):
        WorldConfig(num_topics=99)
    with pytest.raises(ConfigError, match="raise num_videos"):
        WorldConfig(num_videos=20)
    with pytest.raises(ConfigError, match="midnight"):
        WorldConfig(start_at=1_767_571_200_001)
    with pytest.raises(ConfigError, match="at least one viewer"):
        WorldConfig(num_viewers=0)
