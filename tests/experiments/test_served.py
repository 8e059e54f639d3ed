import json

import pytest

from core import config as configs
from core.errors import BadInput, ConfigError
from experiments import served
from experiments.canary import CanaryState, Phase, end

CANARY = CanaryState("b2b2b2b2b2", "a1")
OTHER = """
[[experiments]]
name = "bold"
layer = "exploration"
arms = [{ name = "control" }, { name = "bold", set = ["exploration.epsilon=0.2"] }]
"""


def write(folder, state):
    (folder / served.CANARY).write_text(json.dumps(configs.to_dict(state)))


def test_a_canary_runs_beside_what_people_wrote(tmp_path):
    assert served.read(tmp_path) is None
    write(tmp_path, CANARY)
    assert served.read(tmp_path).releases == ("b2b2b2b2b2",)
    (tmp_path / served.EXPERIMENTS).write_text(OTHER)
    found = served.read(tmp_path)
    assert [each.name for each in found.experiments] == ["bold", "canary-b2b2b2b2-1"]
    assert found.experiments[1].shares == pytest.approx((0.99, 0.01))


def test_one_that_has_ended_is_no_experiment(tmp_path):
    write(tmp_path, end(CANARY, Phase.HALTED, 1, "worse"))
    assert served.read(tmp_path) is None
    assert served.read_canary(tmp_path).phase == Phase.HALTED


def test_a_broken_state_is_no_canary(tmp_path):
    (tmp_path / served.CANARY).write_text("{")
    with pytest.raises(BadInput, match="cannot be read"):
        served.read(tmp_path)


def test_two_layers_cannot_choose_the_release(tmp_path):
    write(tmp_path, CANARY)
    (tmp_path / served.EXPERIMENTS).write_text(OTHER.replace('set = ["exploration.epsilon=0.2"]', 'release = "c3"'))
    with pytest.raises(ConfigError, match="canary and exploration both choose releases"):
        served.read(tmp_path)
