"""A pipeline run makes its rows in two tasks at once, is killed while it trains, goes on, and ends at the release that `upnext
train` makes."""

import json
import subprocess
import sys
import time

import pytest

from app import reports
from benchmarks import kill_pipeline as killing
from core import settings
from core.errors import BadInput
from pipelines.orchestration import launch, lineage, steps
from pipelines.orchestration.products import CODE, Shelf
from pipelines.spaces import Space


@pytest.fixture(scope="module")
def killed(trained, tmp_path_factory):
    """(space, run as it was after the kill, release of an undisturbed training)."""
    space = Space(tmp_path_factory.mktemp("killed") / killing.SPACE)
    child = killing.attempt(space, (), "--shards", "2", "--workers", "2")
    while not any("train ranker" in found.steps for found in launch.runs(space)):
        assert child.poll() is None, "the run ended before it could be killed"
        time.sleep(0.05)
    killing.kill(child, alone=True)
    killing.check(space)
    (before,) = launch.runs(space)
    assert killing.attempt(space, ()).wait() == 0
    return space, before, trained[1].release_id


def test_a_killed_run_says_so(killed):
    _, before, _ = killed
    assert (before.state, before.steps["train ranker"].state) == ("killed", "killed")
    assert before.release_id is None


def test_it_goes_on_to_the_same_release(killed):
    space, before, wanted = killed
    killing.check_finished(space, wanted)
    (after,) = launch.runs(space)
    assert after.attempts == 2
    done = ("ingest", "validate", "rows 1", "rows 2", "features", "train retrieval", "index")
    assert [after.steps[name] for name in done] == [before.steps[name] for name in done]


ARTEFACTS = """
import json
from metaflow import Flow, namespace
namespace(None)
found = {f"{step.id}.{each.id}": (each.size, each.data) for step in Flow("TrainingFlow").latest_run for each in step.task}
print(json.dumps(found))
"""


def test_artefacts_are_ids_and_numbers(killed):
    space, *_ = killed
    environment = settings.metaflow_environment(space.metaflow, CODE)
    told = subprocess.run([sys.executable, "-c", ARTEFACTS], env=environment, capture_output=True, text=True, check=True)
    found = json.loads(told.stdout)
    assert {"features.snapshot_id", "evaluate.board", "register.release_id"} <= set(found)
    assert max(size for size, _ in found.values()) < 2_048
    assert all(is_plain(value) for _, value in found.values())


def is_plain(value):
    return all(map(is_plain, value)) if isinstance(value, list) else isinstance(value, str | int | float | None)


def test_cards_are_the_pages_of_seeds_gates_and_lineage(killed):
    space, _, wanted = killed
    (after,) = launch.runs(space)
    folder = space.pipeline / after.name
    seeds = steps.seeds_page(folder, after.steps["compare seeds"].result)
    wanted_pages = [steps.page(folder, name) for name in (seeds, "", f"lineage/{wanted}.html")]
    cards = [card.read_text() for card in (space.metaflow / ".metaflow" / "mf.cards").rglob("*.html")]
    assert sorted(cards) == sorted(wanted_pages)
    assert "<svg" in wanted_pages[0]
    assert "<svg" in wanted_pages[2]


def test_lineage_names_every_product(killed, tmp_path):
    space, _, wanted = killed
    found = lineage.of(space, "live").to_json()
    assert found["release_id"] == wanted
    for part in ("features", "towers", "index", "ranker"):
        assert (space.products / part / found["nodes"][part]["id"] / "made.json").is_file()
    made = Shelf(space.products).find("ranker", found["nodes"]["ranker"]["id"]).made
    assert made["inputs"]["towers"] == found["nodes"]["towers"]["id"]
    assert reports.newest(space.path, wanted)["lineage"] == found
    assert reports.newest(space.path, wanted)["validation"]["snapshot_id"] == found["nodes"]["snapshot"]["id"]
    lineage.write(lineage.of(space, wanted), tmp_path / "lineage.html")
    assert wanted in (tmp_path / "lineage.html").read_text()


def test_there_is_nothing_more_to_resume(killed):
    space, *_ = killed
    with pytest.raises(BadInput, match="no unfinished pipeline run"):
        launch.find(space)


def test_a_release_of_one_process_says_so(trained):
    _, result = trained
    found = lineage.of(result.space, result.release_id).to_json()
    assert found["run"] is None
    assert "made by `upnext train`, in one process" in found["nodes"]["release"]["facts"]
    assert found["nodes"]["data"]["facts"][0].startswith("source world ")
