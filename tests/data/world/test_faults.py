from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from core import columns as c
from core import events as ev
from core.clock import DAY_MS
from core.errors import ConfigError
from data.world import faults
from data.world.config import Fault, FaultKind, tiny
from data.world.simulate import generate

START = tiny().start_at


def _split(fault: Fault, kind: str) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """(during, outside, all viewers) events of a kind."""
    data = generate(replace(tiny(), faults=(fault,)))
    found = data.events.filter(pl.col(c.KIND) == kind).join(data.videos.select(c.VIDEO_ID, c.DURATION_S), on=c.VIDEO_ID)
    day = (pl.col(c.EVENT_AT) - START) / DAY_MS
    inside = (day >= fault.from_day) & (day < fault.until_day)
    return found.filter(inside), found.filter(~inside), data.events


def test_null_feature():
    during, outside, _ = _split(Fault("null_feature", 4, 8, 0.5), ev.WATCH)
    assert abs(during[c.VALUE].is_null().mean() - 0.5) < 0.1
    assert outside[c.VALUE].null_count() == 0


def test_unit_change():
    during, outside, _ = _split(Fault("unit_change", 4, 8), ev.WATCH)
    assert during[c.VALUE].median() > 300 * outside[c.VALUE].median()
    assert (outside[c.VALUE] <= outside[c.DURATION_S]).all()


def test_taste_flip_hurts_the_old_policy(lived):
    flipped = generate(replace(tiny(), faults=(Fault("taste_flip", 7, 14),)))
    clicks = [
        len(data.events.filter((pl.col(c.KIND) == ev.CLICK) & (pl.col(c.EVENT_AT) >= START + 7 * DAY_MS)))
        for data in (flipped, lived[1])
    ]
    assert clicks[0] < 0.8 * clicks[1]


def test_bots_are_many_pages_of_one_second_watches():
    during, outside, _ = _split(Fault("bot_traffic", 5, 7, 0.02), ev.WATCH)
    bots = np.flatnonzero(
        faults.hits(
            replace(tiny(), faults=(Fault("bot_traffic", 5, 7, 0.02),)),
            FaultKind.BOT_TRAFFIC,
            np.arange(500),
            START + 5 * DAY_MS,
        )
    )
    assert 0 < len(bots) < 25
    robotic = during.filter(pl.col(c.VIEWER_ID).is_in((bots + 1).tolist()))
    assert (robotic[c.VALUE] == 1.0).all()
    assert len(robotic) > 200
    assert during[c.VALUE].median() < 0.5 * outside[c.VALUE].median()


def test_hits_hold_their_share_and_range():
    config = replace(tiny(), faults=(Fault("taste_flip", 1, 2, 0.3),))
    rows = np.arange(20_000)
    assert abs(faults.hits(config, FaultKind.TASTE_FLIP, rows, START + DAY_MS).mean() - 0.3) < 0.02
    assert not faults.hits(config, FaultKind.TASTE_FLIP, rows, START + 2 * DAY_MS).any()
    assert not faults.hits(config, FaultKind.BOT_TRAFFIC, rows, START + DAY_MS).any()


@pytest.mark.parametrize("kind", list(FaultKind))
def test_a_fault_leaves_other_days_alone(kind, lived):
    data = generate(replace(tiny(), faults=(Fault(kind, 12, 13, 0.1),)))
    early = pl.col(c.RECEIVED_AT) < START + 11 * DAY_MS
    assert data.events.filter(early).equals(lived[1].events.filter(early))


def test_a_fault_of_one_device_leaves_the_others_alone():
    data = generate(replace(tiny(), faults=(Fault("null_feature", 4, 8, device="tv"),)))
    watches = data.events.filter(pl.col(c.KIND) == ev.WATCH).join(data.viewers.select(c.VIEWER_ID, c.DEVICE), on=c.VIEWER_ID)
    day = (pl.col(c.EVENT_AT) - START) / DAY_MS
    hit = (pl.col(c.DEVICE) == "tv") & (day >= 4) & (day < 8)
    assert watches.filter(hit)[c.VALUE].is_null().all()
    assert watches.filter(~hit)[c.VALUE].null_count() == 0
    with pytest.raises(ConfigError, match="device"):
        Fault("taste_flip", 0, 1, device="tv")


def test_a_season_brings_pages_and_changes_nothing_else():
    during, outside, _ = _split(Fault("seasonal_shift", 7, 14), ev.IMPRESSION)
    assert 1.35 < len(during) / len(outside) < 1.9
    clicks, before, _ = _split(Fault("seasonal_shift", 7, 14), ev.CLICK)
    assert len(clicks) / len(during) == pytest.approx(len(before) / len(outside), rel=0.15)


def test_a_bad_release_shows_pages_made_for_others():
    during, outside, events = _split(Fault("bad_release", 7, 14), ev.IMPRESSION)
    clicks = events.filter(pl.col(c.KIND) == ev.CLICK)
    rate = [len(clicks.join(part, on=[c.REQUEST_ID, c.VIDEO_ID], how="semi")) / len(part) for part in (during, outside)]
    assert rate[0] < 0.85 * rate[1]
    config = replace(tiny(), faults=(Fault("bad_release", 7, 14),))
    rows = np.arange(500)
    assert (faults.made_for(config, rows, np.full(500, START)) == rows).all()
    assert (faults.made_for(config, rows, np.full(500, START + 7 * DAY_MS)) == rows[::-1]).all()
