from dataclasses import replace

import polars as pl
import pytest

from core import columns as c
from core import events as ev
from core.clock import DAY_MS
from data.world import surveys
from data.world.config import DeliveryConfig, tiny
from data.world.simulate import generate


@pytest.fixture(scope="module")
def asked():
    """A world in which every click is asked about, and everything arrives the moment it happens."""
    prompt = DeliveryConfig(delay_ms=0.0, late_rate=0.0, missing_rate=0.0)
    return [
        generate(replace(tiny(), days=21, impressions=30_000, delivery=prompt, survey_share=share)).events
        for share in (0.0, 1.0)
    ]


def kind(events, name):
    return events.filter(pl.col(c.KIND) == name)


def test_viewers_do_the_same_with_surveys_and_without(asked):
    without, with_them = asked
    assert not len(kind(without, ev.SURVEY))
    assert with_them.filter(pl.col(c.KIND) != ev.SURVEY).drop(c.RECEIVED_AT).equals(without.drop(c.RECEIVED_AT))


def test_answers_come_days_after_the_watch_and_say_one_to_five_stars(asked):
    events, pair = asked[1], [c.REQUEST_ID, c.VIDEO_ID]
    joined = kind(events, ev.SURVEY).join(kind(events, ev.WATCH), on=pair, suffix="_watch")
    days = (joined[c.EVENT_AT] - joined[f"{c.EVENT_AT}_watch"]) / DAY_MS
    assert len(joined) == len(kind(events, ev.SURVEY)) > 500
    assert surveys.FIRST_DAYS - 0.001 <= days.min() < 5.2
    assert 8.8 < days.max() <= surveys.LAST_DAYS
    assert set(joined[c.VALUE]) == {1.0, 2.0, 3.0, 4.0, 5.0}


def test_who_regrets_gives_fewer_stars(asked):
    events, pair = asked[1], [c.REQUEST_ID, c.VIDEO_ID]
    answers = kind(events, ev.SURVEY)
    regretted = answers.join(kind(events, ev.REGRET), on=pair, how="semi")
    assert regretted[c.VALUE].mean() < answers[c.VALUE].mean() - 0.3
