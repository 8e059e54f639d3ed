import dataclasses

import pytest

from core.errors import ReleaseRefused
from core.policy import HOME, UP_NEXT, Request
from experiments.assignment import HOLDOUT, Assigner
from experiments.config import ArmConfig, ExperimentConfig, ExperimentsConfig
from features.memory_store import MemoryStore
from serving import fakes
from serving.arms import ArmRecommender, Base
from serving.config import ExplorationConfig, ServingConfig
from serving.live import go_live
from serving.recommender import Recommender
from serving.releases import open_files

GREEDY = ServingConfig(exploration=ExplorationConfig(epsilon=0.0))
ARMS = (ArmConfig("control"), ArmConfig("bold", set=("exploration.epsilon=1.0",)))
EXPERIMENTS = ExperimentsConfig((ExperimentConfig("explore", ARMS, surfaces=(HOME,)),))


def base(config=GREEDY, release_id="live"):
    return Base(config, lambda chosen: Recommender(dataclasses.replace(fakes.parts(), config=chosen, release_id=release_id)))


def recommender(experiments=EXPERIMENTS):
    return ArmRecommender(experiments, base())


def requests(surface=HOME, n=40):
    return [Request(f"r{viewer}", viewer, fakes.NOW, surface=surface) for viewer in range(n)]


def test_every_request_gets_the_arm_of_its_viewer_in_order():
    slates = recommender().recommend(requests())
    assert [slate.request_id for slate in slates] == [request.request_id for request in requests()]
    assert [slate.arm for slate in slates] == [t.label for t in Assigner(EXPERIMENTS).treat(range(40), HOME)]
    assert {slate.arm for slate in slates} == {"explore:control", "explore:bold"}
    assert all(slate.exploration.all() == (slate.arm == "explore:bold") for slate in slates)


def test_alone_or_in_a_batch_is_the_same():
    policy = recommender()
    batch = policy.recommend(requests())
    alone = [policy.recommend([request])[0] for request in requests()]
    assert [slate.video_ids.tolist() for slate in batch] == [slate.video_ids.tolist() for slate in alone]


def test_where_the_arms_do_not_differ_nobody_is_exposed():
    slates = recommender().recommend(requests(UP_NEXT))
    assert {slate.arm for slate in slates} == {"control"}
    assert not any(slate.exploration.any() for slate in slates)


def test_held_out_pages_are_left_to_chance():
    slates = recommender(dataclasses.replace(EXPERIMENTS, holdout=0.5)).recommend(requests())
    held_out = [slate for slate in slates if slate.arm == HOLDOUT]
    assert 10 < len(held_out) < 30
    assert all(slate.exploration.all() for slate in held_out)


def test_no_model_orders_or_filters_held_out_pages_whatever_others_get():
    shy = ExplorationConfig("thompson", epsilon=0.01, slots=(9,), daily_cap=1, pool=3)
    policy = ArmRecommender(ExperimentsConfig(holdout=0.5), base(ServingConfig(exploration=shy, most_clickbait=0.1)))
    held_out = [slate for slate in policy.recommend(requests()) if slate.arm == HOLDOUT]
    assert len(held_out) > 10
    assert all(slate.exploration.all() for slate in held_out)
    first = next(request for request in requests() if request.request_id == held_out[0].request_id)
    behind = policy.of(first)
    assert behind is not None
    assert (behind.config.most_clickbait, behind.config.exploration.pool) == (1.0, 100_000)


def test_an_arm_that_changes_nothing_known_is_refused():
    wrong = ExperimentsConfig((ExperimentConfig("e", (ArmConfig("control"), ArmConfig("b", set=("exploration.epsilonn=1",)))),))
    with pytest.raises(ReleaseRefused, match="did you mean 'epsilon'"):
        recommender(wrong)


CANARY = ExperimentsConfig((ExperimentConfig("canary", (ArmConfig("control"), ArmConfig("canary", release="b2"))),))


def test_an_arm_can_serve_another_release_with_its_own_config():
    bold = ServingConfig(exploration=ExplorationConfig(epsilon=1.0))
    slates = ArmRecommender(CANARY, base(), {"b2": base(bold, "b2")}).recommend(requests())
    assert {(slate.arm, slate.release_id) for slate in slates} == {("canary:control", "live"), ("canary:canary", "b2")}
    assert all(slate.exploration.all() == (slate.release_id == "b2") for slate in slates)


def test_an_arm_of_a_release_that_is_not_loaded_is_refused():
    with pytest.raises(ReleaseRefused, match="'b2', which is not loaded"):
        recommender(CANARY)


def test_a_challenger_in_service_answers_its_arm(release_files):
    challenger = go_live(open_files(release_files[0], release_id="b2"), MemoryStore(), config=GREEDY)
    loaded = open_files(release_files[0], release_id="a1")
    live = go_live(loaded, MemoryStore(), config=GREEDY, experiments=CANARY, challengers={"b2": challenger})
    assert {slate.release_id for slate in live.recommender.recommend(requests())} == {"a1", "b2"}
    alone = live.among(ExperimentsConfig())
    assert {slate.release_id for slate in alone.recommend(requests())} == {"a1"}


def test_a_release_goes_live_with_experiments(release_files):
    live = go_live(open_files(release_files[0]), MemoryStore(), config=GREEDY, experiments=EXPERIMENTS)
    slates = live.recommender.recommend(requests())
    assert {slate.arm for slate in slates} == {"explore:control", "explore:bold"}
