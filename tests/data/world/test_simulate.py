import json
from dataclasses import replace

import numpy as np
import polars as pl

from core import columns as c
from core import events as ev
from core.clock import DAY_MS
from core.events import from_table
from data.dataset import conform
from data.world.config import DeliveryConfig, HistoryConfig, tiny
from data.world.simulate import generate, history
from data.world.world import World


def _kind(events, kind):
    return events.filter(pl.col(c.KIND) == kind)


def test_same_seed_same_world_other_seed_other_world(lived):
    _, data = lived
    again, other = generate(tiny()), generate(replace(tiny(), seed=8))
    assert again.events.equals(data.events)
    assert again.videos.equals(data.videos)
    assert again.viewers.equals(data.viewers)
    assert not other.videos.equals(data.videos)
    assert not _kind(other.events, ev.CLICK).equals(_kind(data.events, ev.CLICK))


def test_frames_have_the_schemas(lived):
    _, data = lived
    for frame, schema in ((data.events, c.EVENTS), (data.viewers, c.VIEWERS), (data.videos, c.VIDEOS)):
        assert conform(frame, schema).schema == frame.schema
    assert set(data.events[c.KIND]) >= {
        ev.IMPRESSION,
        ev.CLICK,
        ev.WATCH,
        ev.LIKE,
        ev.DISLIKE,
        ev.REGRET,
        ev.SUBSCRIBE,
        ev.UPLOAD,
    }


def test_size_and_click_rate(lived):
    _, data = lived
    shown, clicked = len(_kind(data.events, ev.IMPRESSION)), len(_kind(data.events, ev.CLICK))
    assert abs(shown / tiny().impressions - 1) < 0.15
    assert 0.07 < clicked / shown < 0.2


def test_referential_integrity(lived):
    _, data = lived
    events = data.events
    assert events[c.EVENT_ID].is_unique().all()
    people = events.filter(pl.col(c.KIND) != ev.UPLOAD)
    assert people[c.VIEWER_ID].is_in(data.viewers[c.VIEWER_ID].implode()).all()
    assert people[c.REQUEST_ID].null_count() == 0
    assert events[c.VIDEO_ID].is_in(data.videos[c.VIDEO_ID].implode()).all()
    keys = [c.REQUEST_ID, c.VIDEO_ID, c.VIEWER_ID]
    shown = _kind(events, ev.IMPRESSION)
    assert shown.select(keys).is_unique().all()
    outcomes = people.filter(pl.col(c.KIND) != ev.IMPRESSION)
    joined = outcomes.join(shown.select(*keys, pl.col(c.EVENT_AT).alias("shown_at")), on=keys, how="left")
    assert joined["shown_at"].null_count() == 0
    assert (joined[c.EVENT_AT] > joined["shown_at"]).all()


def test_pages_are_whole_and_show_only_what_exists(lived):
    _, data = lived
    shown = _kind(data.events, ev.IMPRESSION).join(data.videos.select(c.VIDEO_ID, c.UPLOADED_AT), on=c.VIDEO_ID)
    assert (shown[c.UPLOADED_AT] < shown[c.EVENT_AT]).all()
    pages = shown.group_by(c.REQUEST_ID).agg(pl.col(c.POSITION).sort(), pl.col(c.EVENT_AT).n_unique().alias("instants"))
    # The log's last instants may cut a page.
    assert (pages[c.POSITION].list.len() == 10).mean() > 0.999
    assert (pages[c.POSITION].list.max() == pages[c.POSITION].list.len() - 1).mean() > 0.999
    assert (pages["instants"] == 1).all()


def test_time_order(lived):
    world, data = lived
    assert (data.events[c.RECEIVED_AT] >= data.events[c.EVENT_AT]).all()
    assert data.events[c.RECEIVED_AT].is_sorted()
    assert data.end_at < world.config.end_at
    regrets = _kind(data.events, ev.REGRET).join(
        _kind(data.events, ev.CLICK).select(c.REQUEST_ID, c.VIDEO_ID, pl.col(c.EVENT_AT).alias("clicked_at")),
        on=[c.REQUEST_ID, c.VIDEO_ID],
    )
    assert ((regrets[c.EVENT_AT] - regrets["clicked_at"]) > 0.75 * DAY_MS).all()


def test_watch_never_exceeds_the_video(lived):
    _, data = lived
    watched = _kind(data.events, ev.WATCH).join(data.videos.select(c.VIDEO_ID, c.DURATION_S), on=c.VIDEO_ID)
    assert (watched[c.VALUE] <= watched[c.DURATION_S]).all()
    assert (watched[c.VALUE] > 0).all()


def test_sources_and_propensities(lived):
    _, data = lived
    shown = _kind(data.events, ev.IMPRESSION)
    assert set(shown[c.SOURCE]) == {"popular", "followed", "random"}
    assert shown.filter(pl.col(c.SOURCE) != "random")[c.PROPENSITY].null_count() == (shown[c.SOURCE] != "random").sum()
    drawn = shown.filter(pl.col(c.SOURCE) == "random")
    assert drawn[c.EXPLORATION].all()
    day = (drawn[c.EVENT_AT] - tiny().start_at) // DAY_MS
    first = drawn.filter((day == 0) & (pl.col(c.POSITION) == 0))
    np.testing.assert_allclose(first[c.PROPENSITY].to_numpy(), 1 / 640)


def test_uploads_carry_the_catalogue_row(lived):
    world, data = lived
    uploads = _kind(data.events, ev.UPLOAD)
    assert len(uploads) == (data.videos[c.UPLOADED_AT] >= world.config.start_at).sum()
    row = data.videos.row(by_predicate=pl.col(c.VIDEO_ID) == uploads[c.VIDEO_ID][0], named=True)
    attributes = json.loads(uploads[c.DETAIL][0])
    np.testing.assert_array_equal(
        np.array(attributes.pop(c.CONTENT), dtype=np.float32), np.array(row.pop(c.CONTENT), np.float32)
    )
    assert attributes == row
    assert from_table(uploads.head(1).to_arrow())[0].attributes[c.TITLE] == row[c.TITLE]


def test_late_and_missing_events_have_their_rates(lived):
    _, data = lived
    early = data.events.filter(pl.col(c.EVENT_AT) < tiny().end_at - 3 * DAY_MS)
    clicks, watches = _kind(early, ev.CLICK), _kind(early, ev.WATCH)
    late = (clicks[c.RECEIVED_AT] - clicks[c.EVENT_AT] > 60_000).mean()
    assert abs(late - 0.02) < 0.012
    orphans = len(watches.join(clicks, on=[c.REQUEST_ID, c.VIDEO_ID], how="anti"))
    assert 0 < orphans / len(watches) < 0.02
    shown = _kind(early, ev.IMPRESSION)
    assert (shown[c.RECEIVED_AT] - shown[c.EVENT_AT]).max() < 1_000


def test_examination_can_be_recovered_from_random_pages():
    quiet = DeliveryConfig(late_rate=0.0, missing_rate=0.0)
    data = generate(replace(tiny(), impressions=150_000, history=HistoryConfig(random_share=1.0), delivery=quiet))
    joined = _kind(data.events, ev.IMPRESSION).join(
        _kind(data.events, ev.CLICK).select(c.REQUEST_ID, c.VIDEO_ID, pl.lit(1.0).alias("clicked")),
        on=[c.REQUEST_ID, c.VIDEO_ID],
        how="left",
    )
    rates = joined.group_by(c.POSITION).agg(pl.col("clicked").fill_null(0).mean()).sort(c.POSITION)["clicked"].to_numpy()
    expected = (1.0 + np.arange(10)) ** -0.45
    np.testing.assert_allclose(rates / rates.sum(), expected / expected.sum(), rtol=0.15)


def test_progress_is_reported():
    heard: list[float] = []
    generate(replace(tiny(), impressions=500), lambda note, share: heard.append(share))
    np.testing.assert_allclose(heard, np.arange(1, 15) / 14)


def test_memory_can_be_rebuilt_from_the_log():
    quiet = DeliveryConfig(delay_ms=0.0, late_rate=0.0, missing_rate=0.0)
    config = replace(tiny(), delivery=quiet, impressions=5_000)
    lived = World(config)
    data = history(lived)
    told = World(config)
    told.remember(data.events)
    viewers, videos, at = np.arange(500)[:, None], np.arange(0, 800, 7), config.end_at + DAY_MS
    told_p, lived_p = (w.probability_of_click(viewers, videos, at) for w in (told, lived))
    # Clicks that fall after the log's end are remembered by those who lived them and are not in the log.
    agree = np.isclose(told_p, lived_p, rtol=1e-4).all(axis=1)
    assert agree.mean() > 0.99
    assert not np.isclose(World(config).probability_of_click(viewers, videos, at), lived_p, rtol=1e-4).all()
