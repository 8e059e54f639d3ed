"""Every dependency off, slow and hung under load: everybody gets a page, it says what is missing, and all is well soon after.

Short versions of benchmarks/faults.py, over the real recommender with small parts.
"""

import dataclasses
import time

import pytest

from app import fakes as site_fakes
from app.cards import Cards
from benchmarks.faulty import HUNG, OFF, PASS, SLOW, Faulty, proxied
from core.settings import Settings
from features.redis_server import running
from features.redis_store import RedisStore
from serving import fakes, trace
from serving.config import ServingConfig
from serving.recommender import Recommender


class StoreFeatures(fakes.Features):
    """Features that ask a real store first."""

    store: RedisStore

    def viewer_part(self, viewer_ids, at):
        self.store.read(viewer_ids.tolist())
        return super().viewer_part(viewer_ids, at)


@pytest.fixture
def serve(site, make_client):
    """A client over a recommender made of these parts, and what else its page depends on."""

    def make(parts, **breakers):
        recommender = Recommender(parts)
        live = dataclasses.replace(
            site.releases.live, recommender=recommender, catalogue=parts.catalogue, cards=Cards(parts.catalogue),
            breakers=lambda: {**breakers, **recommender.breakers}, deadline_ms=60_000.0,
        )  # fmt: skip
        return make_client(dataclasses.replace(site, releases=site_fakes.OneRelease(live)))

    return make


def pages(client, number=12):
    """Reasons of so many pages; every one must be whole."""
    answers = [client.get("/recommend", params={"viewer_id": "1"}) for _ in range(number)]
    assert {answer.status_code for answer in answers} == {200}
    assert {len(answer.json()["videos"]) for answer in answers} == {10}
    return [tuple(answer.json()["reasons"]) for answer in answers]


def well_again(client, within_s=5.0):
    until = time.monotonic() + within_s
    while pages(client, 1) != [()]:
        assert time.monotonic() < until, f"not well after {within_s} s"
        time.sleep(0.05)


def state(client, name):
    """As the operations page and as Prometheus have it."""
    said = client.get("/ops/summary").json()["breakers"][name]
    number = {"open": 1.0, "closed": 0.0}[said]
    assert f'upnext_breaker_open{{dependency="{name}"}} {number}' in client.get("/metrics").text.splitlines()
    return said


@pytest.mark.parametrize("mode", [OFF, SLOW, HUNG])
@pytest.mark.parametrize(("name", "reason"), [("two_tower", trace.NO_VECTOR), ("ranker", trace.NO_RANKER)])
def test_index_and_ranker(serve, name, reason, mode):
    parts = fakes.parts(config=ServingConfig(part_limit_ms=50.0))
    index = Faulty(parts.sources[0], "candidates")
    scorer = Faulty(parts.scorer, "score")
    parts = dataclasses.replace(parts, sources=(index, *parts.sources[1:]), scorer=scorer)
    part = index if name == "two_tower" else scorer
    with serve(parts) as client:
        well_again(client)
        part.mode = mode
        assert set(pages(client)) == {(reason,)}
        assert state(client, name) == "open"
        part.heal()
        well_again(client)
        assert state(client, name) == "closed"


@pytest.mark.parametrize("mode", [OFF, SLOW, HUNG])
def test_the_store(serve, mode, tmp_path):
    parts = fakes.parts()
    with running(Settings(tmp_path, None, None, None)) as url, proxied(url) as proxy:
        store = RedisStore(proxy.url, "faults", timeout_s=0.1)
        features = StoreFeatures(parts.catalogue, fakes.viewers(), {1: [3, 7, 11]})
        features.store = store
        with serve(dataclasses.replace(parts, features=features), store=store.breaker) as client:
            well_again(client)
            proxy.mode = mode
            assert set(pages(client)) == {(trace.NO_HISTORY_STORE,)}
            assert state(client, "store") == "open"
            proxy.mode = PASS
            well_again(client)
            assert state(client, "store") == "closed"
        store.close()
