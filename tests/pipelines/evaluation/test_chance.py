import numpy as np
import pytest

from core import columns as c
from data import dataset as datasets
from data.catalogue import Catalogue
from data.world.config import WorldConfig
from data.world.simulate import generate
from data.world.world import World
from pipelines.evaluation import chance
from pipelines.evaluation.chance import ChancePages, Replay
from tests.data.conftest import START_AT, catalogue, event, frame


def shown(page, video, position, propensity, exploration=True, at=0):
    more = {c.POSITION: position, c.SOURCE: "random", c.PROPENSITY: propensity, c.EXPLORATION: exploration}
    return event("impression", f"{page}{video}", at, video_id=video, request_id=page, **more)


def pages_of(*events, since=START_AT):
    dataset = datasets.make("x", frame(events), *catalogue())
    return ChancePages.of(dataset, [Catalogue.of(dataset.videos)], since)


def test_a_page_is_of_chance_when_every_slot_was_drawn_evenly_from_what_was_left():
    found = pages_of(
        *(shown("even", 10, 0, 1 / 2), shown("even", 11, 1, 1.0)),
        *(shown("uneven", 10, 0, 1 / 2), shown("uneven", 11, 1, 1 / 2)),
        *(shown("one slot", 10, 0, 1 / 2), shown("one slot", 11, 1, 1.0, exploration=False)),
        *(shown("unknown", 10, 0, None), shown("unknown", 11, 1, None)),
        *(shown("early", 10, 0, 1 / 2, at=-5), shown("early", 11, 1, 1.0, at=-5)),
    )
    assert found.shown[c.REQUEST_ID].to_list() == ["even", "even"]
    assert (found.num, found.page_R.tolist(), found.viewer_P.tolist()) == (1, [0, 0], [1])


def test_what_came_of_the_first_choice_counts_unless_it_was_regretted():
    found = pages_of(
        *(shown("a", 10, 0, 1 / 2), shown("a", 11, 1, 1.0), shown("b", 10, 0, 1 / 2, at=9), shown("b", 11, 1, 1.0, at=9)),
        *(event("click", "c1", 1, request_id="a"), event("watch", "w1", 2, request_id="a", value=40.0)),
        *(event("click", "c2", 10, request_id="b"), event("watch", "w2", 11, request_id="b", value=70.0)),
        event("regret", "r2", 12, request_id="b"),
    )
    assert found.satisfied_R.tolist() == [40.0, 0.0, 0.0, 0.0]
    assert found.chosen(np.array([2.0, 1.0, 1.0, 2.0])).tolist() == [40.0, 0.0]
    assert found.chosen(np.array([1, 2, 2, 1])).tolist() == [0.0, 0.0]
    assert found.chosen(np.zeros(4)).tolist() == [40.0, 0.0], "the first of equals"
    assert found.mean().tolist() == [20.0, 0.0]


def test_a_video_that_one_of_the_catalogues_lacks_leaves_the_rest_of_its_page():
    dataset = datasets.make("x", frame([shown("a", 10, 0, 1 / 2), shown("a", 11, 1, 1.0)]), *catalogue())
    both, older = Catalogue.of(dataset.videos), Catalogue.of(dataset.videos.filter(dataset.videos[c.VIDEO_ID] != 10))
    found = ChancePages.of(dataset, [both, older], START_AT)
    assert (found.num, found.shown[c.VIDEO_ID].to_list()) == (1, [11])


def test_no_page_of_chance_is_no_page():
    found = pages_of(shown("uneven", 10, 0, 1 / 2), shown("uneven", 11, 1, 1 / 2))
    assert (found.num, len(found.viewer_P), len(found.shown)) == (0, 0, 0)


@pytest.fixture(scope="module")
def world():
    config = WorldConfig(num_viewers=300, num_videos=400, impressions=60_000)
    simulated = generate(config)
    return World(config), ChancePages.of(simulated, [Catalogue.of(simulated.videos)], config.start_at)


def test_in_the_world_those_are_the_pages_of_chance_and_whoever_knows_the_truth_chooses_best(world):
    truth, pages = world
    assert set(pages.shown[c.SOURCE].to_list()) == {"random"}
    assert pages.num > chance.MIN_PAGES
    rows = pages.shown[c.VIEWER_ID].to_numpy() - 1, pages.shown[c.VIDEO_ID].to_numpy() - 1, pages.shown["at"].to_numpy()
    known, best = truth.expected_satisfaction(*rows), pages.chosen(truth.expected_satisfaction(*rows))
    replay = Replay(pages.viewer_P, {"chance": pages.mean(), "two_stage": pages.chosen(-known), "as_served": best}).summary
    level = {each["order"]: each for each in replay["orders"]}
    assert level["two_stage"]["high"] < level["chance"]["low"] < level["chance"]["high"] < level["as_served"]["low"]
    assert replay["pages"] == pages.num
    assert replay["served_over_next_click"]["low"] > 0


def test_few_pages_say_nothing():
    few = np.arange(chance.MIN_PAGES - 1)
    replay = Replay(few, dict.fromkeys(("two_stage", "as_served"), few.astype(float)))
    assert (replay.summary, replay.to_text()) == (None, "")
