"""What can be said about the flow without running it; tests/flows/test_pipeline_kill.py runs it."""

import ast
import json
from functools import partial
from pathlib import Path

import pytest

from core.clock import ManualClock
from core.errors import BadInput
from pipelines import presets
from pipelines.orchestration import job
from pipelines.orchestration.job import Job, Request
from pipelines.orchestration.launch import begin
from pipelines.spaces import Space

FLOW = Path(job.__file__).parents[1] / "flow.py"
STEPS = (
    "start", "validate", "rows", "gather_rows", "features", "train_retrieval", "build_index", "train_ranker", "evaluate",
    "compare_seeds", "register", "gates", "deploy", "monitor_baseline", "end",
)  # fmt: skip


def test_every_step_is_ten_lines_at_most():
    tree = ast.parse(FLOW.read_text())
    (found,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "TrainingFlow"]
    steps = [node for node in found.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    assert tuple(step.name for step in steps) == STEPS
    assert max(step.end_lineno - step.lineno + 1 for step in steps) <= 10


def test_a_request_survives_its_file(tmp_path):
    asked = Request("csv", presets.configure("tiny", ["towers.epochs=2"]), (1, 2), False, "/log", None)
    folder = begin(Space(tmp_path / "space"), asked, ManualClock(0))
    assert job.read(folder) == asked
    assert folder.name == "19700101-000000"
    assert begin(Space(tmp_path / "space"), asked, ManualClock(0)).name == "19700101-000000-2"


def test_a_request_of_an_earlier_program_is_read_as_far_as_it_still_means_something(tmp_path):
    asked = Request("world", presets.tiny(), (1,))
    folder = begin(Space(tmp_path / "space"), asked, ManualClock(0))
    path = folder / job.REQUEST
    said = json.loads(path.read_text())
    del said["shards"]
    path.write_text(json.dumps(said | {"colour": "red", "config": said["config"] | {"wings": 2}}))
    assert job.read(folder) == asked
    for broken in (json.dumps(said | {"seeds": "all"}), "{", json.dumps({"seeds": [1]})):
        path.write_text(broken)
        with pytest.raises(BadInput, match=r"another version of this program .* begin a new one"):
            job.read(folder)


def test_the_first_seed_is_the_config_as_it_came():
    config = presets.tiny()
    asked = Request("world", config, (config.seed, config.seed + 1))
    assert asked.config_of(config.seed) is config
    other = asked.config_of(config.seed + 1)
    assert (other.seed, other.towers.seed, other.ranker.seed) == (2, 2, 2)
    assert other.world == config.world


def test_a_step_that_may_pass_is_tried_again(tmp_path, monkeypatch):
    folder = begin(Space(tmp_path / "space"), Request("world", presets.tiny(), (1,)), ManualClock(0))
    tries = []

    def work(step: Job, given: int) -> int:
        tries.append(step.seed)
        if len(tries) < 3:
            raise ConnectionError("reset")
        step.note = "done"
        return given + 1

    monkeypatch.setattr(job, "retrying", partial(job.retrying, sleep=lambda wait_s: None))
    assert job.perform(folder, "work", None, work, 4) == 5
    assert tries == [1, 1, 1]
