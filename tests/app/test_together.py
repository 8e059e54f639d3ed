import asyncio
import dataclasses
import threading
import time
from types import SimpleNamespace

import pytest

from app.together import MAX_TOGETHER, Together
from core.errors import Unavailable
from core.policy import Request
from serving import fakes, trace
from serving.config import ServingConfig
from serving.recommender import Recommender as RealRecommender
from serving.watchdog import Watchdog


class Recommender:
    def __init__(self, error=None):
        self.batches, self.error = [], error

    def recommend(self, requests, *, explain=False):
        self.batches.append([request.request_id for request in requests])
        if self.error:
            raise self.error
        return [f"{request.request_id} {explain}" for request in requests]


def ask(recommender, number, explain=lambda i: False):
    async def run():
        together, live = Together(), SimpleNamespace(recommender=recommender)
        asked = [together.recommend(live, Request(str(i), i, 0), explain=explain(i)) for i in range(number)]
        return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(run())


def test_requests_of_one_turn_share_a_batch_and_get_their_own_slate():
    recommender = Recommender()
    assert ask(recommender, 3) == ["0 False", "1 False", "2 False"]
    assert recommender.batches == [["0", "1", "2"]]


def test_explained_pages_are_a_batch_of_their_own():
    recommender = Recommender()
    assert ask(recommender, 4, lambda i: i % 2 == 1) == ["0 False", "1 True", "2 False", "3 True"]
    assert recommender.batches == [["0", "2"], ["1", "3"]]


def test_who_has_little_time_hurries_nobody_else():
    recommender = Recommender()

    async def run():
        together, live = Together(), SimpleNamespace(recommender=recommender)
        asked = (
            together.recommend(live, Request(str(i), i, 0), explain=False, allowed_ms=ms)
            for i, ms in enumerate((500, 5, 500, 5))
        )
        return await asyncio.gather(*asked)

    assert asyncio.run(run()) == ["0 False", "1 False", "2 False", "3 False"]
    assert recommender.batches == [["0", "2"], ["1", "3"]]


def test_a_crowd_is_split():
    recommender = Recommender()
    assert len(ask(recommender, 2 * MAX_TOGETHER + 1)) == 2 * MAX_TOGETHER + 1
    assert [len(batch) for batch in recommender.batches] == [MAX_TOGETHER, MAX_TOGETHER, 1]


def test_everyone_hears_of_an_error():
    answers = ask(Recommender(ValueError("no")), 2)
    assert [str(answer) for answer in answers] == ["no", "no"]


def test_a_client_that_left_disturbs_nobody():
    async def run():
        together, live = Together(), SimpleNamespace(recommender=Recommender())
        gone = asyncio.ensure_future(together.recommend(live, Request("gone", 1, 0), explain=False))
        here = asyncio.ensure_future(together.recommend(live, Request("here", 1, 0), explain=False))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        return await here

    assert asyncio.run(run()) == "here False"


def test_who_comes_while_a_page_is_decided_is_decided_next_and_the_event_loop_goes_on():
    go, begun = threading.Event(), threading.Event()

    class Slow(Recommender):
        def recommend(self, requests, *, explain=False):
            begun.set()
            assert go.wait(10)
            return super().recommend(requests, explain=explain)

    recommender = Slow()

    async def run():
        together, live = Together(), SimpleNamespace(recommender=recommender)
        first = asyncio.ensure_future(together.recommend(live, Request("0", 0, 0), explain=False))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        more = [asyncio.ensure_future(together.recommend(live, Request(str(i), i, 0), explain=False)) for i in (1, 2)]
        await asyncio.sleep(0.01)
        go.set()
        return await asyncio.gather(first, *more)

    assert asyncio.run(run()) == ["0 False", "1 False", "2 False"]
    assert recommender.batches == [["0"], ["1", "2"]]


def test_a_page_whose_part_hangs_is_decided_again_without_it():
    dog, go = Watchdog("ranker", 0.02), threading.Event()

    class Hanging(Recommender):
        def recommend(self, requests, *, explain=False):
            try:
                dog.call(lambda: go.wait(10))
            except Unavailable:
                return super().recommend(requests, explain=explain)
            raise AssertionError("the part should not have returned in time")

    assert ask(Hanging(), 2) == ["0 False", "1 False"]
    go.set()


@pytest.mark.parametrize(("part", "reason"), [("ranker", trace.NO_RANKER), ("encoder", trace.NO_VECTOR)])
def test_a_part_that_hangs_costs_its_limit_once_and_then_nothing(part, reason):
    go, asked = threading.Event(), []

    def hang(*arguments):
        asked.append(part)
        go.wait(20)

    config = ServingConfig(part_limit_ms=20.0)
    parts = fakes.parts(config=config)
    scorer, encoder = fakes.Scorer(), fakes.Encoder(parts.video_VD)
    object.__setattr__(scorer if part == "ranker" else encoder, "score" if part == "ranker" else "encode", hang)
    recommender = RealRecommender(dataclasses.replace(parts, scorer=scorer, encoder=encoder))

    async def run():
        together, live = Together(), SimpleNamespace(recommender=recommender)
        request = Request("r", 1, fakes.NOW, answer_by_s=time.monotonic() + 3_600)
        return [await together.recommend(live, request, explain=False) for _ in range(20)]

    slates = asyncio.run(run())
    assert {slate.degraded for slate in slates} == {(reason,)}
    assert {len(slate.video_ids) for slate in slates} == {10}
    assert asked == [part]
    go.set()
