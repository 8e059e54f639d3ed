import numpy as np
import polars as pl
import pytest

from core import columns as c
from core import events as ev
from core.policy import Request, Slate
from data.dataset import conform
from experiments import policies
from pipelines.lab import config as lab_config
from pipelines.lab import spreads
from pipelines.lab.policies import Holdout, Thompson
from serving import fakes

CONFIG = lab_config.tiny()
CATALOGUE = fakes.catalogue(40)
SPREAD = spreads.per_video(CONFIG.prior_shows)
REQUESTS = [Request(f"r{i}", viewer_id=i, at=1_000, k=10) for i in range(60)]


class Ranked:
    """The catalogue's first videos, in order, a little less useful each."""

    def __init__(self, arm: str = "control") -> None:
        self.arm = arm

    def recommend(self, requests):
        return [self._page(request) for request in requests]

    def _page(self, request):
        k = min(request.k, len(CATALOGUE))
        ones, utility = np.ones(k), (-0.2 * np.arange(k)).astype(np.float32)
        return Slate(
            request.request_id, CATALOGUE.video_ids[:k], ones, ones == 0, ("x",) * k, scores={"utility": utility}, arm=self.arm
        )


def log(kind: str, video_ids: list[int]) -> pl.DataFrame:
    n = len(video_ids)
    frame = pl.DataFrame({c.EVENT_ID: [f"{kind}{i}" for i in range(n)], c.KIND: [kind] * n, c.VIDEO_ID: video_ids})
    return conform(frame.with_columns([pl.lit(0).alias(name) for name in (c.EVENT_AT, c.RECEIVED_AT, c.VIEWER_ID)]), c.EVENTS)


def shown(times: int) -> pl.DataFrame:
    """Every video shown so often, one time in ten clicked."""
    ids = CATALOGUE.video_ids.tolist()
    return pl.concat([log(ev.IMPRESSION, ids * times), log(ev.CLICK, ids * (times // 10))])


def test_thompson_reorders_the_shortlist_with_exact_propensities():
    policy = Thompson(Ranked(), CATALOGUE, CONFIG, 1, shown(20), SPREAD)
    slates = policy.recommend(REQUESTS)
    shortlist = CATALOGUE.video_ids[: CONFIG.shortlist]
    chosen = np.array([[shortlist.tolist().index(v) for v in slate.video_ids] for slate in slates])
    assert all(len(set(row)) == 10 for row in chosen.tolist())
    spread = policy._spread(0)[:, : CONFIG.shortlist]
    score = (-0.2 * np.arange(CONFIG.shortlist, dtype=np.float32))[None, :] + spread
    chances = policies.thompson(np.repeat(score[:, None], len(REQUESTS), axis=1), CONFIG.thompson_epsilon)
    expected = policies.propensities(chances, np.ones((len(REQUESTS), CONFIG.shortlist), dtype=bool), chosen)
    assert np.stack([slate.propensities for slate in slates]) == pytest.approx(expected)
    assert (np.stack([slate.exploration for slate in slates])[:, 0] == (chosen[:, 0] != 0)).all()
    assert [s.video_ids.tolist() for s in policy.recommend(REQUESTS)] == [s.video_ids.tolist() for s in slates]


def test_what_is_well_known_is_left_in_its_order():
    known, unknown = (Thompson(Ranked(), CATALOGUE, CONFIG, 1, shown(times), SPREAD) for times in (5_000, 10))
    explored = [np.mean([slate.exploration.mean() for slate in policy.recommend(REQUESTS)]) for policy in (known, unknown)]
    assert explored[0] < 0.5 * explored[1]


def test_thompson_learns_from_one_day_to_the_next():
    policy = Thompson(Ranked(), CATALOGUE, CONFIG, 1, shown(10), SPREAD)
    before = policy._spread(0).std()
    policy.observe(shown(5_000))
    assert policy._spread(0).std() == before
    assert policy._spread(1).std() < 0.3 * before


def test_a_holdout_serves_its_share_by_chance_and_says_so():
    policy = Holdout(Ranked(), Ranked("holdout"), 0.3, seed=5)
    requests = [Request(f"q{i}", i, 0) for i in range(1_000)]
    slates = policy.recommend(requests)
    assert [s.request_id for s in slates] == [r.request_id for r in requests]
    share = np.mean([slate.arm == "holdout" for slate in slates])
    assert share == pytest.approx(0.3, abs=3 * np.sqrt(0.21 / 1_000))
    assert [s.arm for s in policy.recommend(requests[:50])] == [s.arm for s in slates[:50]]
