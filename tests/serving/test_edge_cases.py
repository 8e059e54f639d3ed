"""Whatever breaks, there is a page with a reason, never an exception."""

import dataclasses

import numpy as np
import pytest

from core.policy import HOME, UP_NEXT, Request
from retrieval.cowatch import CoWatch
from retrieval.sources import CoWatchSource, FreshSource, TrendingSource, TwoTowerSource
from serving import fakes, trace
from serving.config import ExplorationConfig, ServingConfig
from serving.fakes import Broken
from serving.recommender import Recommender
from serving.suppressed import Suppressed


def page(parts, viewer_id=1, k=10, surface=HOME, video_id=None):
    slate = Recommender(parts).recommend([Request("r", viewer_id, fakes.NOW, surface=surface, k=k, video_id=video_id)])[0]
    sizes = {len(slate.video_ids), len(slate.propensities), len(slate.exploration), len(slate.sources)}
    assert sizes | {len(values) for values in slate.scores.values()} == {len(slate.video_ids)}
    assert len(set(slate.video_ids.tolist())) == len(slate.video_ids)
    assert ((slate.propensities > 0) & (slate.propensities <= 1)).all()
    return slate


def replace_source(parts, name, source):
    return dataclasses.replace(parts, sources=tuple(source if s.name == name else s for s in parts.sources))


class StoreDown(fakes.Features):
    def viewer_part(self, viewer_ids, at):
        raise fakes.StoreUnavailable("no answer in 5 ms")


class NoFeaturesAtAll(StoreDown):
    blank_part = StoreDown.viewer_part

    def assemble(self, part, video_BK, at):
        raise ValueError("broken")


def with_features(parts, cls):
    return dataclasses.replace(parts, features=cls(parts.catalogue, fakes.viewers(), {}))


def test_the_store_is_down():
    slate = page(with_features(fakes.parts(), StoreDown))
    assert slate.degraded == (trace.NO_HISTORY_STORE,)
    assert len(slate.video_ids) == 10
    assert "click" in slate.scores


def test_no_features_of_any_kind():
    slate = page(with_features(fakes.parts(), NoFeaturesAtAll))
    assert slate.degraded[0] == trace.NO_HISTORY_STORE
    assert trace.NO_VIDEO_FEATURES in slate.degraded
    assert len(slate.video_ids) == 10
    assert slate.feature_hash is None


def test_the_encoder_fails_or_is_missing():
    for encoder in (None, Broken(RuntimeError("onnx"))):
        slate = page(dataclasses.replace(fakes.parts(), encoder=encoder))
        assert slate.degraded == (trace.NO_VECTOR,)
        assert set(slate.sources) <= {"cowatch", "trending", "fresh"}
        assert "affinity" not in slate.scores
        assert len(slate.video_ids) == 10


def test_the_index_fails():
    parts = replace_source(fakes.parts(), "two_tower", TwoTowerSource(Broken(RuntimeError("faiss"))))
    slate = page(parts)
    assert slate.degraded == (trace.NO_VECTOR,)
    assert set(slate.sources) <= {"cowatch", "trending", "fresh"}
    assert "affinity" in slate.scores


def test_the_index_returns_padding_only():
    class Nothing:
        def search(self, queries, k):
            return np.zeros((len(queries), k), np.float32), np.full((len(queries), k), -1, np.int32)

    slate = page(replace_source(fakes.parts(), "two_tower", TwoTowerSource(Nothing())))
    assert len(slate.video_ids) == 10
    assert "two_tower" not in slate.sources


@pytest.mark.parametrize("name", ["cowatch", "trending", "fresh"])
def test_any_other_source_fails(name):
    slate = page(replace_source(fakes.parts(), name, Broken(name=name)))
    assert slate.degraded == (f"{name} videos are unavailable right now",)
    assert len(slate.video_ids) == 10


def test_all_sources_fail():
    parts = fakes.parts()
    slate = page(dataclasses.replace(parts, sources=tuple(Broken(name=s.name) for s in parts.sources)))
    assert trace.NOTHING_FOUND in slate.degraded
    assert len(slate.video_ids) == 10
    assert set(slate.sources) == {"any"}


def test_the_ranker_fails_or_is_missing_and_affinity_orders_the_page():
    for scorer in (None, Broken(RuntimeError("onnx"))):
        config = ServingConfig(exploration=ExplorationConfig(epsilon=0.0))
        slate = page(dataclasses.replace(fakes.parts(config=config), scorer=scorer))
        assert slate.degraded == (trace.NO_RANKER,)
        assert set(slate.scores) == {"affinity", "utility"}
        assert slate.scores["affinity"][0] == slate.scores["affinity"].max()


def test_neither_ranker_nor_vectors_and_the_sources_order_the_page():
    config = ServingConfig(exploration=ExplorationConfig(epsilon=0.0))
    slate = page(dataclasses.replace(fakes.parts(config=config), scorer=None, encoder=None))
    assert set(slate.degraded) == {trace.NO_VECTOR, trace.NO_ORDER}
    assert set(slate.scores) == {"utility"}
    assert slate.sources[0] == "cowatch"


def test_video_features_fail():
    class Partial(fakes.Features):
        assemble = NoFeaturesAtAll.assemble

    slate = page(with_features(fakes.parts(), Partial))
    assert trace.NO_VIDEO_FEATURES in slate.degraded
    assert len(slate.video_ids) == 10


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_come_last(bad):
    class Sick(fakes.Scorer):
        def score(self, batch, affinity_BK):
            scores = super().score(batch, affinity_BK)
            scores["click"] = np.where(np.arange(affinity_BK.shape[1]) % 2, np.float32(bad), scores["click"])
            return scores

    slate = page(dataclasses.replace(fakes.parts(), scorer=Sick()), k=30)
    assert trace.BAD_SCORES in slate.degraded
    greedy = ~slate.exploration
    assert np.isfinite(slate.scores["utility"][greedy]).all()


def test_an_unknown_viewer_gets_a_page_that_is_not_personal():
    slate = page(fakes.parts(), viewer_id=987_654_321)
    assert slate.degraded == (trace.UNKNOWN_VIEWER,)
    assert len(slate.video_ids) == 10


def test_a_known_viewer_without_history_is_not_degraded():
    assert page(fakes.parts(histories={}), viewer_id=2).degraded == ()


def test_more_asked_for_than_there_is():
    slate = page(fakes.parts(20, {1: [1, 2]}), k=50)
    assert slate.degraded == ("only 18 of 50 videos could be found",)
    assert len(slate.video_ids) == 18


@pytest.mark.parametrize("k", [0, -1, 10**6])
def test_absurd_sizes(k):
    slate = page(fakes.parts(), k=k)
    assert len(slate.video_ids) == (197 if k > 0 else 0)


def test_everything_was_seen():
    slate = page(fakes.parts(30, {1: list(range(30))}))
    assert slate.degraded == (trace.NOTHING_UNSEEN,)
    assert len(slate.video_ids) == 10


def test_everything_was_seen_but_removed_videos_stay_away():
    suppressed = Suppressed(fakes.catalogue(30))
    suppressed.block(np.arange(25, dtype=np.int32))
    slate = page(fakes.parts(30, {1: list(range(30))}, suppressed=suppressed))
    assert trace.NOTHING_UNSEEN in slate.degraded
    assert set(slate.video_ids.tolist()) == {26, 27, 28, 29, 30}


def test_everything_was_removed():
    suppressed = Suppressed(fakes.catalogue(30))
    suppressed.block(np.arange(30, dtype=np.int32))
    slate = page(fakes.parts(30, suppressed=suppressed))
    assert trace.NOTHING_AT_ALL in slate.degraded
    assert len(slate.video_ids) == 0


def test_one_request_of_a_batch_has_nothing_left_and_the_others_do_not_notice():
    parts = fakes.parts(30, {1: list(range(30)), 2: [3]})
    requests = [Request(str(v), v, fakes.NOW, k=5) for v in (1, 2, 3)]
    slates = Recommender(parts).recommend(requests)
    assert [slate.degraded for slate in slates] == [(trace.NOTHING_UNSEEN,), (), ()]
    assert all(len(slate.video_ids) == 5 for slate in slates)
    assert 4 not in slates[1].video_ids


def test_an_empty_catalogue():
    parts = fakes.parts(0, {})
    slate = page(parts)
    assert trace.NOTHING_AT_ALL in slate.degraded
    assert len(slate.video_ids) == 0


def test_a_catalogue_of_one_video_that_is_being_watched():
    slate = page(fakes.parts(1, {}), surface=UP_NEXT, video_id=1)
    assert len(slate.video_ids) == 0
    assert trace.NOTHING_AT_ALL in slate.degraded


def test_up_next_to_an_unknown_video():
    slate = page(fakes.parts(), surface=UP_NEXT, video_id=10**15)
    assert slate.degraded == (trace.UNKNOWN_VIDEO,)
    assert len(slate.video_ids) == 10


def test_a_dismissed_video_stays_away():
    suppressed = Suppressed(fakes.catalogue())
    parts = fakes.parts(config=ServingConfig(exploration=ExplorationConfig(epsilon=0.0)), suppressed=suppressed)
    first = page(parts).video_ids[0]
    suppressed._dismiss(1, parts.catalogue.rows([first])[0])
    assert first not in page(parts).video_ids
    assert first in page(parts, viewer_id=2, k=200).video_ids


def test_no_requests():
    assert Recommender(fakes.parts()).recommend([]) == []


def test_explaining_a_page_that_lacks_everything():
    parts = dataclasses.replace(with_features(fakes.parts(), NoFeaturesAtAll), encoder=None, scorer=None, schema=None)
    slate = Recommender(parts).recommend([Request("r", 1, fakes.NOW)], explain=True)[0]
    assert len(slate.explanation["slots"]) == 10
    assert slate.explanation["slots"][0]["features"] == {}


def test_extreme_instants():
    for at in (0, 1, 2**62):
        slate = Recommender(fakes.parts()).recommend([Request("r", 1, at)])[0]
        assert len(slate.video_ids) in (0, 10)


def test_sources_with_quotas_nobody_named():
    class Odd:
        name = "odd"

        def candidates(self, query, k):
            return np.full((len(query), 1), 5, dtype=np.int32)

    parts = fakes.parts()
    assert len(page(dataclasses.replace(parts, sources=(*parts.sources, Odd()))).video_ids) == 10
    assert page(dataclasses.replace(parts, sources=(Odd(),)), k=1).sources == ("odd",)


def test_everything_empty_at_once():
    counts = fakes.Counts(np.zeros(5, np.float32), np.zeros(5, np.float32))
    no_neighbours = CoWatch(np.full((5, 2), -1, np.int32), np.zeros((5, 2), np.float32))
    parts = fakes.parts(5, {})
    sources = (
        CoWatchSource(no_neighbours),
        TrendingSource(counts, np.zeros(5, np.int64)),
        FreshSource(counts, np.zeros(5, np.int64)),
    )
    slate = page(dataclasses.replace(parts, sources=sources), viewer_id=2)
    assert trace.NOTHING_FOUND in slate.degraded
    assert len(slate.video_ids) == 5
