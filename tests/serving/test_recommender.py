import dataclasses
from typing import Any

import numpy as np
import pytest

from core.clock import DAY_MS
from core.policy import HOME, UP_NEXT, Request
from ranking.config import RerankConfig
from serving import fakes
from serving.config import ExplorationConfig, ServingConfig, SourceQuotas
from serving.recommender import Recommender

GREEDY = ServingConfig(exploration=ExplorationConfig(epsilon=0.0), rerank=RerankConfig(diversity=0.0, channel_cap=0))


def ask(viewer_id=1, k=10, surface=HOME, video_id=None, at=fakes.NOW, request_id="r"):
    return Request(request_id, viewer_id, at, surface=surface, k=k, video_id=video_id)


def topics(parts, slate):
    return [fakes.TOPICS[video_id % 4] for video_id in slate.video_ids]


def test_a_greedy_page_is_the_order_of_utility_over_all_unseen_videos():
    parts = fakes.parts(config=GREEDY)
    slate = Recommender(parts).recommend([ask()])[0]
    part = parts.features.viewer_part(np.array([1]), np.array([fakes.NOW]))
    affinity = parts.video_VD @ parts.encoder.encode(part)[0]
    batch = parts.features.assemble(part, np.arange(200, dtype=np.int32)[None], np.array([fakes.NOW]))
    click = parts.scorer.score(batch, affinity[None])["click"][0]
    click[[3, 7, 11]] = -1
    # Utility rises with affinity and click; both heads agree on the order here up to the combination, so compare scores.
    rows = parts.catalogue.rows(slate.video_ids)
    assert np.allclose(slate.scores["affinity"], affinity[rows], atol=1e-6)
    assert np.allclose(slate.scores["click"], click[rows], atol=1e-6)
    assert (np.diff(slate.scores["utility"]) <= 1e-6).all()
    unchosen = np.setdiff1d(np.arange(200), [*rows, 3, 7, 11])
    assert affinity[unchosen].max() <= slate.scores["affinity"].max() + 1e-6
    assert slate.degraded == ()


def test_history_decides_the_topic():
    parts = fakes.parts(histories={1: [3, 7, 11], 2: [0, 4, 8]}, config=GREEDY)
    chess, cooking = Recommender(parts).recommend([ask(1), ask(2)])
    assert topics(parts, chess).count("Chess") >= 8
    assert topics(parts, cooking).count("Cooking") >= 8


def test_a_batch_gives_the_same_slates_as_one_at_a_time():
    recommender = Recommender(fakes.parts(histories={1: [3, 7], 2: [0], 3: list(range(60))}))
    requests = [ask(v, k, s, c, request_id=f"r{i}") for i, (v, k, s, c) in enumerate(
        [(1, 10, HOME, None), (2, 3, UP_NEXT, 9), (99, 10, HOME, None), (3, 25, HOME, None), (3, 0, UP_NEXT, 777)]
    )]  # fmt: skip
    together = recommender.recommend(requests)
    for request, slate in zip(requests, together, strict=True):
        alone = recommender.recommend([request])[0]
        assert np.array_equal(slate.video_ids, alone.video_ids)
        assert np.allclose(slate.propensities, alone.propensities)
        assert slate.sources == alone.sources
        assert slate.degraded == alone.degraded
        assert slate.feature_hash == alone.feature_hash


def test_up_next_follows_the_video_being_watched_and_never_offers_it():
    recommender = Recommender(fakes.parts(histories={1: [3, 7, 11], 2: []}, config=GREEDY))
    about_music = recommender.recommend([ask(2, surface=UP_NEXT, video_id=3)])[0]
    assert 3 not in about_music.video_ids
    assert topics(None, about_music).count("Music") >= 8
    head = recommender.retrieve([ask(1, surface=UP_NEXT, video_id=3)]).query.part.history_BL[0]
    assert head[:4].tolist() == [2, 3, 7, 11]
    already = recommender.retrieve([ask(1, surface=UP_NEXT, video_id=4)]).query.part.history_BL[0]
    assert already[:4].tolist() == [3, 7, 11, -1]


def test_sources_get_their_quotas():
    quotas = SourceQuotas(two_tower=30, cowatch=10, trending=5, fresh=5)
    config = ServingConfig(num_candidates=50, quotas=quotas)
    found = Recommender(fakes.parts(400, config=config)).retrieve([ask()])
    counts = {name: int((found.source_BK[0] == code).sum()) for code, name in enumerate(found.names)}
    assert counts["two_tower"] >= 30
    assert counts["cowatch"] >= 3
    assert counts["trending"] >= 1
    assert sum(counts.values()) == 50 == found.count_B[0]
    assert len(set(found.rows_BK[0].tolist())) == 50


def test_seen_videos_are_made_up_for():
    seen = list(range(0, 400, 2))
    config = ServingConfig(num_candidates=100)
    found = Recommender(fakes.parts(600, {1: seen}, config)).retrieve([ask()])
    assert found.count_B[0] == 100
    assert not set(found.rows_BK[0].tolist()) & set(seen)
    assert found.removed["already seen"][0] > 0


def test_pages_of_the_past_hold_only_videos_of_their_time():
    slate = Recommender(fakes.parts()).recommend([ask(at=fakes.NOW - 150 * DAY_MS, k=30)])[0]
    assert slate.video_ids.max() <= 50


def test_the_same_request_replays_exactly():
    pages = [Recommender(fakes.parts()).recommend([ask(request_id="same", k=50)])[0] for _ in range(2)]
    assert np.array_equal(pages[0].video_ids, pages[1].video_ids)
    assert np.array_equal(pages[0].propensities, pages[1].propensities)


def test_over_many_requests_each_slot_is_explored_as_often_as_epsilon_says():
    config = ServingConfig(exploration=ExplorationConfig(epsilon=0.3))
    slates = Recommender(fakes.parts(config=config)).recommend([ask(request_id=str(i)) for i in range(400)])
    explored = np.stack([slate.exploration for slate in slates])
    assert abs(explored.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / explored.size)
    low = np.concatenate([slate.propensities for slate in slates])
    assert ((low >= 0.3 / 100) & (low <= 0.7 + 0.3)).all()


def test_fresh_uploads_are_always_in_the_exploration_pool():
    config = ServingConfig(exploration=ExplorationConfig(epsilon=1.0, pool=8), fresh_days=7.5)
    slates = Recommender(fakes.parts(config=config)).recommend([ask(request_id=str(i), k=1) for i in range(300)])
    shown = np.bincount([int(slate.video_ids[0]) for slate in slates], minlength=201)
    assert set(np.flatnonzero(shown)) == set(range(193, 201))


def test_a_viewer_at_the_daily_cap_gets_pages_without_chance_until_tomorrow():
    recommender = Recommender(fakes.parts(config=ServingConfig(exploration=ExplorationConfig(epsilon=1.0, daily_cap=12))))
    first, second, third = (recommender.recommend([ask(request_id=name)])[0] for name in "abc")
    assert [slate.exploration.sum() for slate in (first, second, third)] == [10, 10, 0]
    assert (third.propensities == 1.0).all()
    tomorrow = recommender.recommend([ask(at=fakes.NOW + DAY_MS)])[0]
    assert tomorrow.exploration.all()


def test_plackett_luce_exploration_prefers_what_the_ranker_likes():
    def mean_utility(**settings: Any) -> float:
        config = ServingConfig(exploration=ExplorationConfig(epsilon=1.0, **settings))
        slates = Recommender(fakes.parts(config=config)).recommend([ask(request_id=str(i), k=3) for i in range(50)])
        return float(np.mean([slate.scores["utility"] for slate in slates]))

    assert mean_utility(kind="plackett_luce", temperature=0.05) > mean_utility()


def test_the_feature_hash_changes_with_the_features_and_only_with_them():
    first = Recommender(fakes.parts(config=GREEDY)).recommend([ask(), ask(request_id="other"), ask(at=fakes.NOW + DAY_MS)])
    assert first[0].feature_hash == first[1].feature_hash != first[2].feature_hash


def test_the_explanation_names_what_is_shown():
    parts = fakes.parts()
    slate = Recommender(parts).recommend([ask()], explain=True)[0]
    slots = slate.explanation["slots"]
    assert [slot["source"] for slot in slots] == list(slate.sources)
    assert [slot["propensity"] for slot in slots] == slate.propensities.tolist()
    assert set(slots[0]["features"]) == {"video_age", "category_share"}
    assert set(slots[0]["scores"]) == {"affinity", "click", "watch", "utility"}
    for slot in slots:
        assert ("by chance" in slot["why"]) == slot["exploration"]
    liked = next(slot for slot in slots if not slot["exploration"])
    assert "Cooking" not in liked["why"]
    assert "Chess" in liked["why"]
    assert slate.explanation["removed"]["already seen"] >= 3
    assert sum(slate.explanation["candidates"].values()) == 197
    assert slate.explanation["viewer"] == {"history_size": pytest.approx(0.3)}
    assert Recommender(parts).recommend([ask()])[0].explanation == {}


def test_every_stage_is_timed():
    slate = Recommender(fakes.parts()).recommend([ask()])[0]
    assert list(slate.stage_ms) == [
        "viewer_features", "viewer_vector", "sources", "filters", "merge",
        "video_features", "ranker", "combine", "rerank", "explorer",
    ]  # fmt: skip
    assert all(ms >= 0 for ms in slate.stage_ms.values())


def test_release_and_arm_are_on_the_slate():
    parts = dataclasses.replace(fakes.parts(), release_id="abc", arm="treatment")
    slate = Recommender(parts).recommend([ask()])[0]
    assert (slate.release_id, slate.arm, slate.request_id) == ("abc", "treatment", "r")
