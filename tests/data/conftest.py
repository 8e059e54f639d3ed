"""A small log with impressions, written by hand."""

import polars as pl
import pytest

from core import columns as c
from core.clock import DAY_MS
from data import dataset as datasets

START_AT = 1_700_000_000_000


def event(kind, event_id, at, viewer_id=1, video_id=10, request_id="r1", **more):
    row = {
        c.EVENT_ID: event_id,
        c.KIND: kind,
        c.EVENT_AT: START_AT + at,
        c.RECEIVED_AT: START_AT + at,
        c.VIEWER_ID: viewer_id,
        c.VIDEO_ID: video_id,
        c.REQUEST_ID: request_id,
        c.POSITION: None,
        c.SOURCE: None,
        c.PROPENSITY: None,
        c.VALUE: None,
    }
    return {**row, **more}


def frame(rows):
    types = {c.POSITION: pl.Int32, c.SOURCE: pl.String, c.PROPENSITY: pl.Float64, c.VALUE: pl.Float64, c.REQUEST_ID: pl.String}
    return pl.DataFrame(rows, schema_overrides=types)


def catalogue():
    viewers = pl.DataFrame(
        {c.VIEWER_ID: [1, 2], c.EXTERNAL_ID: ["1", "2"], **{n: ["unknown"] * 2 for n in c.VIEWER_ATTRIBUTES}}
    )
    videos = pl.DataFrame(
        {
            c.VIDEO_ID: [10, 11],
            c.EXTERNAL_ID: ["10", "11"],
            c.TITLE: ["a", "b"],
            c.CHANNEL_ID: [0, 0],
            **{name: ["unknown"] * 2 for name in (c.CHANNEL, c.CATEGORY, c.LANGUAGE)},
            c.DURATION_S: [60.0, None],
            c.CONTENT: [[1.0, 2.0], None],
        }
    )
    return viewers, videos


@pytest.fixture
def dataset():
    shown = {c.POSITION: 0, c.SOURCE: "log", c.PROPENSITY: 0.5}
    events = [
        event("impression", "a", 0, **shown),
        event("impression", "b", 0, video_id=11, **{**shown, c.POSITION: 1}),
        event("click", "c", 10),
        event("watch", "d", 20, value=30.0),
        event("impression", "e", 2 * DAY_MS, viewer_id=2, request_id="r2", **shown),
        event("click", "f", 2 * DAY_MS + 5, viewer_id=2, request_id="r2"),
    ]
    return datasets.make("hand", frame(events), *catalogue())
