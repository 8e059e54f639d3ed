"""The laboratory end to end on its tiny world: killed, continued, summed up."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core import columns as c
from core import config as configs
from core import events as ev
from core.errors import BadInput, ConfigError
from core.policy import Request
from data.world.journal import HISTORY
from features.memory_store import MemoryStore
from pipelines.lab import config as lab_config
from pipelines.lab import loop as lab
from pipelines.lab import report as lab_report
from pipelines.lab import summary as lab_summary
from pipelines.lab import training as lab_training
from pipelines.lab.config import ARMS, Arm
from pipelines.lab.policies import HOLDOUT, serving_policy
from pipelines.lab.state import EVENTS, Shelf
from pipelines.progress import Stages
from ranking.batches import Impressions
from retrieval.export import video_arrays
from serving.live import go_live
from serving.thompson import ThompsonRecommender
from tests.pipelines.lab.killing import kill_after_first_week

CONFIG = lab_config.tiny()
CHILD = """
import sys
from pathlib import Path
from pipelines.lab import loop as lab
from pipelines.lab import config as lab_config
from pipelines.progress import Stages
lab.run(lab_config.tiny(), lab_config.arms(["epsilon"]), [1], 2, Path(sys.argv[1]), Stages(), workers=1)
"""


def untimed(shelf: Shelf, arm: str, week: int) -> dict:
    record = shelf.record(1, arm, week)
    assert record.pop("seconds")["whole"] > 0
    return record


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """A run that was killed without warning once it had lived through its first week."""
    return kill_after_first_week(CHILD, tmp_path_factory.mktemp("killed"), CONFIG, "epsilon")


@pytest.fixture(scope="module")
def lived(killed, tmp_path_factory) -> Shelf:
    """Another run from the same start: two weeks of two policies in one go."""
    root, begun = tmp_path_factory.mktemp("lived"), Shelf.of(killed, CONFIG)
    shutil.copytree(begun.start(1), Shelf.of(root, CONFIG).start(1))
    return lab.run(CONFIG, lab_config.arms(["none", "epsilon"]), [1], 2, root, Stages(), workers=1)


def test_a_killed_run_goes_on_as_if_nothing_had_happened(killed, lived):
    half = Shelf.of(killed, CONFIG)
    (half.week(1, "epsilon", 2).with_name(".staged-week-02")).mkdir(exist_ok=True)
    stages = Stages()
    shelf = lab.run(CONFIG, lab_config.arms(["epsilon"]), [1], 2, killed, stages, workers=1)
    assert shelf.done(1, "epsilon") == 2
    assert [untimed(shelf, "epsilon", week) for week in (1, 2)] == [untimed(lived, "epsilon", week) for week in (1, 2)]
    assert not list(shelf.path.rglob(".staged-*"))
    assert [name for name, _ in stages.seconds] == ["start", "weeks"]


def test_only_the_release_that_goes_on_is_kept(lived):
    kept = {str(path.relative_to(lived.path)) for path in lived.path.rglob("release")}
    assert kept == {"seed-1/start/release", "seed-1/none/week-02/release", "seed-1/epsilon/week-02/release"}


def test_policies_meet_the_same_visits(lived):
    asked = {arm: pl.read_parquet(lived.week(1, arm, 1) / EVENTS)[c.REQUEST_ID].unique().sort() for arm in ("none", "epsilon")}
    assert asked["none"].equals(asked["epsilon"])
    log = lived.events(1, "epsilon", 2)
    assert log[c.EVENT_ID].is_unique().all()
    impressions = log.filter((pl.col(c.KIND) == ev.IMPRESSION) & (pl.col(c.RELEASE_ID) != HISTORY))
    chance = impressions[c.EXPLORATION].mean()
    assert chance == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / len(impressions)))
    assert impressions[c.PROPENSITY].is_between(0, 1, closed="right").all()
    greedy = pl.read_parquet(lived.week(1, "none", 1) / EVENTS).filter(pl.col(c.KIND) == ev.IMPRESSION)
    assert (greedy[c.PROPENSITY] == 1).all()


def test_measures_of_a_week(lived):
    measured = lived.record(1, "none", 1)["measures"]
    assert measured["greedy_s"] > 0
    assert measured["chance_cost_s"] == pytest.approx(0, abs=0.01 * measured["greedy_s"]), "equals change places, no more"
    assert measured["regret_s"] == pytest.approx(measured["best_s"] - measured["greedy_s"], rel=1e-3)
    assert all(0 <= measured[name] <= 1 for name in ("coverage", "gini", "top_share", "creators", "new_found"))


def test_towers_go_on_where_they_ended(lived):
    model = lab_training.open_model(lived.week(1, "none", 2), CONFIG.of_seed(1))
    vectors = video_arrays(model.towers, model.loaded.catalogue, model.loaded.end_at)[1]
    assert vectors == pytest.approx(model.loaded.video_VD, abs=1e-6)
    assert (model.loaded.catalogue.uploaded_at < CONFIG.starts_at(4)).all()
    assert model.loaded.end_at < CONFIG.starts_at(3)


def test_the_served_arm_is_the_service_exploring_by_thompson_sampling(lived):
    live = go_live(lab_training.open_model(lived.week(1, "none", 2), CONFIG.of_seed(1)).loaded, MemoryStore())
    policy = serving_policy(ARMS["served"], live, CONFIG, 7, pl.DataFrame())
    assert isinstance(policy, ThompsonRecommender)
    chance = policy.config.exploration
    assert (chance.kind, chance.epsilon, chance.seed) == ("thompson", CONFIG.thompson_epsilon, 7)
    viewers = live.loaded.viewers.viewer_ids[:20].tolist()
    slates = policy.recommend([Request(f"r{viewer}", viewer, live.loaded.end_at + 1, k=5) for viewer in viewers])
    assert 0.05 < np.mean([slate.exploration.mean() for slate in slates]) < 1
    assert all(((slate.propensities > 0) & (slate.propensities <= 1)).all() for slate in slates)


@pytest.mark.parametrize(("arm", "at_most"), [("thompson", 0.95), ("topics", 0.7), ("linear", 0.7)])
def test_an_arm_orders_by_what_its_log_leaves_open(lived, arm, at_most):
    live = go_live(lab_training.open_model(lived.week(1, "none", 2), CONFIG.of_seed(1)).loaded, MemoryStore())
    viewers = live.loaded.viewers.viewer_ids[:40].tolist()
    requests = [Request(f"r{viewer}", viewer, live.loaded.end_at + 1, k=5) for viewer in viewers]
    log = lived.events(1, "none", 2)
    unknown, known = (serving_policy(ARMS[arm], live, CONFIG, 7, events) for events in (log.clear(), pl.concat([log] * 200)))
    chance = [np.mean([slate.exploration.mean() for slate in policy.recommend(requests)]) for policy in (unknown, known)]
    assert chance[1] < at_most * chance[0]


def test_the_summary_pairs_with_no_exploration(lived, tmp_path):
    result = lab_summary.summarise(lived, ["none", "epsilon"], [1], 2)
    bill, nothing = result["bill"]["none"], pytest.approx(0, abs=0.01 * lived.record(1, "none", 1)["measures"]["greedy_s"])
    assert all(line["mean"] == nothing for name, line in bill.items() if "growth" not in name)
    change = lived.record(1, "none", 2)["measures"]["gini"] - lived.record(1, "none", 1)["measures"]["gini"]
    assert result["bill"]["none"]["gini_growth"]["mean"] == pytest.approx(change)
    records = {arm: lived.record(1, arm, 2)["measures"] for arm in ("none", "epsilon")}
    earned = records["epsilon"]["greedy_s"] - records["none"]["greedy_s"]
    assert result["bill"]["epsilon"]["earned_last_s"]["mean"] == pytest.approx(earned)
    assert result["curves"]["none"]["gini"][1]["mean"] == records["none"]["gini"]
    assert result["curves"]["none"]["gini"][1]["low"] is None
    assert "one seed" in result["lead"][-1]
    lab_report.write(result, "Loops", tmp_path / "report.html")
    held = (tmp_path / "report.html").read_text().split('id="data">')[1].split("</script>")[0]
    assert json.loads(held)["runs"][0]["picture"]["lorenz"][-1] == 1.0


def test_one_command_at_a_time(lived):
    with lived.alone(), pytest.raises(BadInput, match="another run is at work"):
        lab.run(CONFIG, [ARMS["none"]], [1], 1, lived.path.parent, Stages())


def test_a_holdout_arm_learns_only_from_chance():
    rows = pl.DataFrame({c.ARM: ["control", HOLDOUT, None, HOLDOUT], c.PROPENSITY: [1.0, 0.01, None, 0.01]})
    assert lab_training.lessons_of(rows, ARMS["holdout"], CONFIG, 1, "x").tolist() == [1, 3]
    assert lab_training.lessons_of(rows, ARMS["none"], CONFIG, 1, "x").tolist() == [0, 1, 2, 3]


def test_a_corrected_arm_draws_rows_by_their_weight():
    rows = pl.DataFrame({c.ARM: ["control"] * 3_000, c.PROPENSITY: [1.0, 0.5, 0.001] * 1_000})
    drawn = lab_training.lessons_of(rows, Arm("ips", corrected=True), CONFIG, 1, "x")
    # Weights 1, 2 and, cut off, 10.
    assert len(drawn) == 3_000
    assert np.bincount(drawn % 3) / 3_000 == pytest.approx([1 / 13, 2 / 13, 10 / 13], abs=0.03)


def test_taken_rows_keep_their_features():
    zeros = np.zeros(3, dtype=np.float32)
    shown = Impressions(
        features=lambda rows: rows * 10,  # type: ignore[arg-type, return-value]
        affinity=np.array([0.1, 0.2, 0.3], dtype=np.float32),
        at=np.array([5, 6, 7]),
        position=np.array([0, 1, 2], dtype=np.int32),
        clicked=zeros,
        watch_s=zeros,
        liked=zeros,
        disliked=zeros,
    )
    found = lab_training.taken(shown, np.array([2, 2, 0]))
    assert found.at.tolist() == [7, 7, 5]
    assert found.features(np.array([1, 2])).tolist() == [20, 0]


def test_a_seed_is_another_world_and_a_week_follows_the_history():
    assert CONFIG.of_seed(2).world.seed == CONFIG.run.world.seed + 2
    assert CONFIG.starts_at(2) - CONFIG.starts_at(1) == 7 * 86_400_000
    assert CONFIG.max_weeks == 2
    assert configs.fingerprint(CONFIG) != configs.fingerprint(lab_config.configure("tiny", ["sample=11"]))


def test_mistakes_are_named(tmp_path):
    with pytest.raises(BadInput, match="lasts 2 weeks"):
        lab.run(CONFIG, [ARMS["none"]], [1], 3, tmp_path, Stages())
    with pytest.raises(ConfigError, match="no policy 'greedy'; known: none"):
        lab_config.arms(["greedy"])
    with pytest.raises(ConfigError, match="no week after"):
        lab_config.configure("tiny", ["history_days=27"])


def test_towers_whose_files_keep_too_little_to_go_on_are_refused(tmp_path):
    run = CONFIG.of_seed(1)
    run = configs.override(run, ["towers.ids.scheme=hash", "towers.ids.share=0.5"])
    with pytest.raises(ConfigError, match="a row per video"):
        lab_training.first(None, CONFIG, run, tmp_path)
