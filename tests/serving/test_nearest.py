"""Videos near to viewers that were found ahead of time: as a spared search, and when the search fails."""

from dataclasses import replace

import numpy as np
import pytest

from core.policy import Request
from ranking.config import RerankConfig
from retrieval.sources import TwoTowerSource
from serving import fakes, nearest, trace
from serving.config import ExplorationConfig, ServingConfig, SourceQuotas
from serving.recommender import Recommender

CONFIG = ServingConfig(
    num_candidates=50,
    quotas=SourceQuotas(two_tower=30, cowatch=10, trending=5, fresh=5),
    exploration=ExplorationConfig(epsilon=0.0),
    rerank=RerankConfig(diversity=0.0, channel_cap=0),
)
HISTORIES = {1: [3, 7, 11], 2: [0, 4], 3: [2, 6, 10, 14]}


class Counting(fakes.Index):
    """An index that remembers how many viewers it searched for."""

    def search(self, queries, k):
        asked.append(len(queries))
        return super().search(queries, k)


asked: list[int] = []


def parts(index=Counting):
    asked.clear()
    made = fakes.parts(histories=HISTORIES, config=CONFIG)
    source = fakes.Broken(name=TwoTowerSource.name) if index is None else TwoTowerSource(index(made.video_VD))
    return replace(made, sources=(source, *made.sources[1:]))


def ask(viewer_id, **changes):
    return replace(Request(f"r{viewer_id}", viewer_id, fakes.NOW, k=10), **changes)


def found(*viewers):
    """What a batch would keep of them."""
    made = parts()
    ids = nearest.kept(Recommender(made).retrieve([ask(v) for v in viewers]), made.catalogue, 60)
    asked.clear()
    return [each[each >= 0] for each in ids]


def candidates(recommender, request, name=TwoTowerSource.name):
    got = recommender.retrieve([request])
    return got.rows_BK[got.of(name)].tolist()


def test_what_is_kept_is_what_the_search_contributed_best_first():
    made = parts()
    recommender = Recommender(made)
    got = recommender.retrieve([ask(1), ask(2)])
    ids = nearest.kept(got, made.catalogue, 12)
    assert ids.shape == (2, 12)
    for place in range(2):
        rows = got.rows_BK[place][got.of("two_tower")[place]]
        assert ids[place].tolist() == made.catalogue.video_ids[rows[:12]].tolist()
    wide = nearest.kept(got, made.catalogue, 300)
    assert wide.shape == (2, 300)
    assert [(each >= 0).sum() for each in wide] == got.of("two_tower").sum(axis=1).tolist()
    assert (wide[:, -1] == -1).all()


def test_nothing_is_kept_of_a_search_that_failed():
    made = parts(None)
    assert (nearest.kept(Recommender(made).retrieve([ask(1)]), made.catalogue, 5) == -1).all()


def test_a_spared_search_gives_the_same_page_while_nothing_has_changed():
    recommender = Recommender(parts())
    (usual,) = recommender.recommend([ask(1)])
    (known,) = found(1)
    (spared,) = recommender.recommend([ask(1, nearest=known, search=False)])
    assert asked == []
    assert spared.video_ids.tolist() == usual.video_ids.tolist()
    assert (spared.sources, spared.degraded, spared.feature_hash) == (usual.sources, (), usual.feature_hash)


def test_what_was_done_since_counts_in_filters_other_sources_and_the_ranker():
    known = found(1)[0]
    made = parts()
    recommender = Recommender(made)
    (before,) = recommender.recommend([ask(1, nearest=known, search=False)])
    watched = made.catalogue.rows(before.video_ids[:1]).tolist()
    made.features.histories[1] = [*watched, *HISTORIES[1]]
    (after,) = recommender.recommend([ask(1, nearest=known, search=False)])
    assert before.video_ids[0] not in after.video_ids
    assert candidates(recommender, ask(1, nearest=known, search=False), "cowatch") != []
    assert after.scores["affinity"].tolist() != before.scores["affinity"].tolist()
    assert asked == []


def test_a_search_that_works_is_preferred_and_what_is_known_stays_aside():
    recommender = Recommender(parts())
    (usual,) = recommender.recommend([ask(1)])
    (page,) = recommender.recommend([ask(1, nearest=np.array([190, 191]))])
    assert asked == [1, 1]
    assert page.video_ids.tolist() == usual.video_ids.tolist()
    assert page.degraded == ()


@pytest.mark.parametrize("broken", ["index", "encoder"])
def test_when_the_search_fails_what_is_known_takes_its_place(broken):
    (known,) = found(1)
    made = parts(None) if broken == "index" else replace(parts(), encoder=fakes.Broken())
    with_known, without = Recommender(made).recommend([ask(1, nearest=known), ask(2)])
    assert with_known.degraded == (trace.NO_VECTOR, trace.NEAREST_OF_EARLIER)
    assert without.degraded == (trace.NO_VECTOR,)
    assert "two_tower" in with_known.sources
    assert "two_tower" not in without.sources
    assert set(made.catalogue.rows(known[:30])) <= set(candidates(Recommender(made), ask(1, nearest=known)))


def test_a_spared_search_cannot_fail():
    (known,) = found(1)
    (page,) = Recommender(parts(None)).recommend([ask(1, nearest=known, search=False)])
    assert page.degraded == ()


def test_company_changes_nothing():
    one, three = found(1, 3)
    requests = [
        ask(1, nearest=one, search=False),
        ask(2),
        ask(3, nearest=three),
        ask(4, nearest=np.empty(0, dtype=np.int64), search=False),
    ]
    recommender = Recommender(parts())
    together = recommender.recommend(requests)
    assert asked == [3]
    for request, slate in zip(requests, together, strict=True):
        (alone,) = recommender.recommend([request])
        assert slate.video_ids.tolist() == alone.video_ids.tolist()
        assert (slate.sources, slate.degraded) == (alone.sources, alone.degraded)


def test_videos_that_this_catalogue_lacks_are_passed_over():
    (known,) = found(1)
    recommender = Recommender(parts())
    (page,) = recommender.recommend([ask(1, nearest=np.concatenate([[9_999], known]), search=False)])
    (usual,) = recommender.recommend([ask(1, nearest=known, search=False)])
    assert page.video_ids.tolist() == usual.video_ids.tolist()
    (nothing,) = recommender.recommend([ask(1, nearest=np.array([9_999]), search=False)])
    assert len(nothing.video_ids) == 10
