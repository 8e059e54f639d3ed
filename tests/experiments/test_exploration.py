import math

import polars as pl
import pytest

from core import columns as c
from core import events as ev
from core import rng
from core.clock import DAY_MS
from experiments import exploration

AT = 20_000 * DAY_MS
VIDEOS = pl.DataFrame({c.VIDEO_ID: [1, 2], c.UPLOADED_AT: [AT - 30 * DAY_MS, AT - DAY_MS]})


def shown(viewer, position, *, chance, video=1, arm="control", day=0, propensity=0.9):
    at, request = AT + day * DAY_MS, f"{viewer}-{day}-{arm}"
    return ev.Impression(
        event_id=f"{request}:{position}", event_at=at, received_at=at, viewer_id=viewer, video_id=video, request_id=request,
        position=position, surface="home", release_id="r", arm=arm, source="fresh", propensity=propensity, exploration=chance,
    )  # fmt: skip


def click(viewer, video=1, arm="control", day=0):
    at = AT + day * DAY_MS
    return ev.Click(
        event_id=f"c{viewer}{video}{day}", event_at=at, received_at=at, viewer_id=viewer, video_id=video,
        request_id=f"{viewer}-{day}-{arm}",
    )  # fmt: skip


def found(events):
    return exploration.by_arm(pl.DataFrame(pl.from_arrow(ev.to_table(events))), VIDEOS)


def test_by_hand():
    events = [
        shown(1, 0, chance=False), shown(1, 1, chance=True, video=2, propensity=0.01), click(1),
        shown(2, 0, chance=False), shown(2, 1, chance=False, video=2), click(2, video=2),
        shown(1, 0, chance=True, arm="explore:more", propensity=0.2), shown(1, 0, chance=True, arm="explore:more", day=1),
    ]  # fmt: skip
    control, more = found(events)
    assert (control.arm, control.pages, control.slots, control.explored, control.share) == ("control", 2, 4, 1, 0.25)
    assert (control.new_explored, control.new_others) == (1.0, pytest.approx(1 / 3))
    assert (control.clicks_explored, control.clicks_others) == (0.0, pytest.approx(2 / 3))
    assert control.price.mean == 1.0  # of the slots second from the top that chance left alone, every one was clicked
    assert (control.least_propensity, control.most_a_day) == (0.01, 1)
    assert (more.share, more.most_a_day, more.least_propensity) == (1.0, 1, 0.2)
    assert math.isnan(more.price.mean)
    assert math.isnan(more.new_others)
    assert more.to_json()["price"] == dict.fromkeys(("mean", "low", "high", "p"))


def test_the_price_is_taken_within_a_position():
    # The top slot is clicked far more often; chance, which costs nothing here, mostly fills the bottom one.
    random, events = rng.stream(1, "price"), []
    for viewer in range(1_500):
        for position, rate, share in ((0, 0.6, 0.05), (1, 0.1, 0.5)):
            events.append(shown(viewer, position, chance=random.random() < share, video=position + 1))
            events += [click(viewer, video=position + 1)] if random.random() < rate else []
    (control,) = found(events)
    assert control.clicks_others - control.clicks_explored > 0.1
    assert control.price.low < 0 < control.price.high
    assert control.price.high - control.price.low < 0.1


def test_pages_made_without_a_known_chance_are_left_out_and_nothing_is_nothing():
    assert found([]) == []
    events = pl.DataFrame(pl.from_arrow(ev.to_table([shown(1, 0, chance=False)])))
    assert exploration.by_arm(events.with_columns(pl.lit(None, pl.Float64).alias(c.PROPENSITY)), VIDEOS) == []
