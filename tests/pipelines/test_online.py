"""What `upnext experiment` reads of a live log and of the records beside it: merged pages, the shadow, the export for `ope`."""

import json

import pytest
from typer.testing import CliRunner

from core import events as ev
from core.errors import BadInput
from core.event_log import SqliteEventLog
from core.policy import Request
from data import tombstones
from experiments import ope, open_bandit
from experiments.config import ArmConfig, ExperimentConfig, ExperimentsConfig
from pipelines import experiment
from pipelines.spaces import Space
from serving import fakes
from serving.arms import ArmRecommender, Base
from serving.config import ExplorationConfig, ServingConfig
from serving.counterfactual import FOLDER, Recorder, Subjects, Writer
from serving.impressions import to_table
from serving.recommender import Recommender

DUEL = ExperimentConfig(
    "duel", (ArmConfig("live"), ArmConfig("wild", release="b")), interleaving="team_draft", segment=(0, 0.5)
)
CONFIG = """
[[experiments]]
name = "duel"
interleaving = "team_draft"
"""


def base(histories):
    return Base(ServingConfig(exploration=ExplorationConfig(epsilon=0.2)), lambda c: Recommender(fakes.parts(60, histories, c)))


@pytest.fixture
def space(tmp_path):
    """Forty viewers saw a page each, and clicked on its first slot."""
    found = Space(tmp_path / "site")
    live = ArmRecommender(ExperimentsConfig((DUEL,)), base({1: [3]}), {"b": base({1: [4]})})
    requests = [Request(f"r{viewer}", viewer, fakes.NOW + viewer, k=4) for viewer in range(40)]
    slates = live.recommend(requests)
    log = SqliteEventLog(found.events)
    log.append(to_table(requests, slates, fakes.NOW + 99))
    clicks = [
        ev.Click(
            event_id=f"c{request.viewer_id}", event_at=fakes.NOW + 100, received_at=fakes.NOW + 100,
            viewer_id=request.viewer_id, video_id=int(slate.video_ids[0]), request_id=request.request_id,
        )
        for request, slate in zip(requests, slates, strict=True)
    ]  # fmt: skip
    log.append(ev.to_table(clicks))
    log.close()
    writer = Writer(found.path / FOLDER)
    challenger = base({1: [4]}).build(ServingConfig())
    recorder = Recorder(lambda: Subjects(live.of, fakes.viewers(), challenger), writer.add)
    for request, slate in zip(requests, slates, strict=True):
        recorder(request, slate)
    writer.close()
    return found


def test_clicks_on_merged_pages_reach_the_verdict(space):
    found = experiment.interleaved(space, DUEL)
    merged = found.outcome.pages
    assert 10 < merged < 30
    assert (found.viewers, found.outcome.wins + found.outcome.losses) == (merged, merged)  # every first slot has a team
    tombstones.forget(space.path, range(40), fakes.NOW)
    with pytest.raises(BadInput, match="no page in the log was interleaved"):
        experiment.interleaved(space, DUEL)


def test_the_shadow_is_read_from_the_records(space):
    (slices,) = experiment.unseen(space).values()
    assert slices[0].requests == 40 - experiment.interleaved(space, DUEL).outcome.pages
    assert 0 < slices[0].overlap <= 1
    with pytest.raises(BadInput, match="set `shadow`"):
        experiment.unseen(Space(space.path / "elsewhere"))


def test_the_export_is_a_log_that_off_policy_estimates_read(space, tmp_path):
    found = experiment.export(space, tmp_path / "out")
    log = open_bandit.read(found.behaviour)
    assert (len(log), found.num_shown) == (160, 160)
    assert log.reward_N.sum() == 40
    assert log.reward_N[log.position_N == 0].all()
    assert found.target is not None
    report = ope.evaluate_files(found.behaviour, str(found.target), draws=100)
    assert report.behaviour.mean == pytest.approx(0.25)


def test_the_commands_write_json(space, tmp_path, monkeypatch):
    from cli.main import app

    monkeypatch.setenv("UPNEXT_VAR", str(space.path.parent))
    (tmp_path / "experiments.toml").write_text(CONFIG)
    for command in (
        ["analyse", "--config", str(tmp_path / "experiments.toml")],
        ["shadow"],
        ["export", str(tmp_path / "out")],
    ):
        file = tmp_path / f"{command[0]}.json"
        result = CliRunner().invoke(app, ["experiment", *command, "--space", space.name, "--json", str(file)])
        assert result.exit_code == 0, result.output
        assert json.loads(file.read_text())
