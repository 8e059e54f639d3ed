import asyncio
from types import SimpleNamespace

import pytest

from app.together import MAX_TOGETHER, Together
from core.policy import Request


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
