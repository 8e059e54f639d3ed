import numpy as np
import polars as pl
import pytest

from core import events as ev
from core.clock import DAY_MS
from data.dataset import make
from features.definitions import default_definitions
from features.video_state import VideoState
from serving import fakes
from serving.activity import LiveActivity, LoggedActivity, windows

DEFINITIONS = default_definitions()
START = fakes.NOW // DAY_MS * DAY_MS


def log(triples):
    events = [
        ev.KINDS[kind](event_id=f"{n:06}", event_at=at, received_at=at + late, viewer_id=1, video_id=video)
        if kind == "click"
        else ev.Like(event_id=f"{n:06}", event_at=at, received_at=at + late, viewer_id=1, video_id=video)
        for n, (kind, video, at, late) in enumerate(triples)
    ]
    frame = pl.DataFrame(pl.from_arrow(ev.to_table(events)))
    return make("log", frame, fakes.viewers().frame, fakes.catalogue(20).frame).events


def test_a_click_counts_for_every_window_it_is_in():
    catalogue = fakes.catalogue(20)
    activity = LoggedActivity.of(log([("click", 3, START, 0)]), catalogue, DEFINITIONS.video_sums)
    assert activity.clicks(START)[2] == 0  # not yet known at its own instant
    assert activity.clicks(START + 1)[2] == pytest.approx(1 + 1 / 7 + 1 / 30)
    assert activity.clicks(START + DAY_MS)[2] == pytest.approx(1 / 7 + 1 / 30)
    assert activity.clicks(START + 7 * DAY_MS)[2] == pytest.approx(1 / 30)
    assert activity.clicks(START + 31 * DAY_MS)[2] == 0
    assert np.count_nonzero(activity.clicks(START + 1)) == 1


def test_live_counters_agree_with_the_log_exactly():
    random, catalogue = np.random.default_rng(3), fakes.catalogue(20)
    late = random.integers(0, 2 * DAY_MS, 400) * (random.random(400) < 0.3)
    events = log(
        [
            ("click" if kind else "like", int(video), int(START + at), int(wait))
            for kind, video, at, wait in zip(
                random.random(400) < 0.8, random.integers(1, 23, 400), random.integers(0, 12 * DAY_MS, 400), late, strict=True
            )
        ]
    )
    logged = LoggedActivity.of(events, catalogue, DEFINITIONS.video_sums)
    for at in (START + 5 * DAY_MS, START + 9 * DAY_MS + 12_345, START + 14 * DAY_MS):
        live = LiveActivity(VideoState.from_events(events, catalogue, DEFINITIONS, at))
        assert np.array_equal(live.clicks(at), logged.clicks(at))
        assert np.array_equal(live.impressions(at), logged.impressions(at))
    assert logged.clicks(START + 9 * DAY_MS).sum() > 0


def test_kinds_that_no_feature_counts_have_no_activity():
    assert windows(DEFINITIONS.video_sums, "regret") == ()
