import dataclasses

import polars as pl
import pytest

from core import columns as c
from core import events as ev
from core import rng
from core.clock import DAY_MS, HOUR_MS
from core.errors import BadInput, SchemaMismatch
from core.event_log import SqliteEventLog
from experiments.analysis import analyse
from experiments.config import ExperimentConfig
from pipelines import experiment as panels
from pipelines.spaces import Space

RANKER = ExperimentConfig("ranker")
MONDAY = 20_458


def event(cls, n, viewer, day, **fields):
    at = (MONDAY + day) * DAY_MS + 12 * HOUR_MS
    return cls(event_id=f"{cls.kind}{n}-{viewer}-{day}", event_at=at, received_at=at, viewer_id=viewer, **fields)


def shown(viewer, day, arm, video=1, request="r"):
    return event(
        ev.Impression, video, viewer, day, video_id=video, request_id=f"{request}{viewer}-{day}", position=0, surface="home",
        release_id="r", arm=arm, source="fresh", propensity=1.0, exploration=False,
    )  # fmt: skip


LOG = [
    shown(1, 0, "control"),
    event(ev.Click, 0, 1, 0, video_id=1),
    *(shown(1, 2, "other:x+ranker:treatment", video) for video in (1, 2, 2 + 1)),
    event(ev.Click, 0, 1, 2, video_id=1),
    event(ev.Watch, 0, 1, 2, video_id=1, watch_s=30.0),
    event(ev.Watch, 1, 1, 3, video_id=1, watch_s=12.5),
    shown(1, 4, "control"),
    shown(2, 2, "ranker:control"),
    shown(2, 12, "ranker:control"),
    event(ev.Unsubscribe, 0, 2, 12, video_id=1),
    shown(3, 2, "control"),
    shown(4, 2, "ranker-two:treatment"),
]


def frame():
    return pl.DataFrame(pl.from_arrow(ev.to_table(LOG)))


def test_rows_per_viewer_and_day():
    found = panels.rows(frame(), RANKER)
    assert found.select(
        c.VIEWER_ID, "day", c.ARM, "pages", "impressions", "videos", "clicks", "watch_s", "unsubscribes"
    ).rows() == [
        (1, MONDAY, None, 1, 1, 1, 1, 0.0, 0),
        (1, MONDAY + 2, "treatment", 1, 3, 3, 1, 30.0, 0),
        (1, MONDAY + 3, "treatment", 0, 0, 0, 0, 12.5, 0),
        (1, MONDAY + 4, "treatment", 1, 1, 1, 0, 0.0, 0),
        (2, MONDAY + 2, "control", 1, 1, 1, 0, 0.0, 0),
        (2, MONDAY + 12, "control", 1, 1, 1, 0, 0.0, 1),
    ]


def test_what_pages_were_like_counts_for_the_arm():
    pages = [
        event(ev.Loaded, 0, 1, 2, video_id=1, load_s=0.5), event(ev.Loaded, 1, 1, 2, video_id=1, load_s=1.5),
        event(ev.Failed, 0, 1, 2), event(ev.Failed, 0, 8, 2),
    ]  # fmt: skip
    found = panels.rows(pl.DataFrame(pl.from_arrow(ev.to_table([*LOG, *pages]))), RANKER)
    here = found.filter((pl.col(c.VIEWER_ID) == 1) & (pl.col("day") == MONDAY + 2))
    assert here.select("load_s", "loads", "failures", "watch_s").rows() == [(2.0, 2, 1, 30.0)]
    assert found["failures"].sum() == 1  # a viewer who was never shown a page is in no arm


def test_what_a_viewer_did_earlier_that_day_is_from_before():
    early = [replaced(shown(2, 2, "control", video, "early"), hours=-2) for video in (1, 2)]
    found = panels.rows(pl.DataFrame(pl.from_arrow(ev.to_table([*LOG, *early]))), RANKER).filter(pl.col(c.VIEWER_ID) == 2)
    columns = found.select("day", c.ARM, "pages", "impressions", "returnable", "returned").rows()
    assert columns == [
        (MONDAY + 2, None, 1, 2, None, None),
        (MONDAY + 2, "control", 1, 1, True, False),  # ten days until the next visit, none of them counted twice
        (MONDAY + 12, "control", 1, 1, False, False),
    ]


def replaced(event, hours):
    return dataclasses.replace(event, event_at=event.event_at + hours * HOUR_MS, event_id=f"{event.event_id}{hours}")


def test_returning_counts_only_where_the_log_is_long_enough():
    found = panels.rows(frame(), RANKER)
    assert found.select("returnable", "returned").rows() == [
        (True, True), (True, True), (None, None), (True, False), (True, False), (False, False),
    ]  # fmt: skip


def test_channels_come_from_the_catalogue():
    videos = pl.DataFrame({c.VIDEO_ID: [1, 2, 3], c.CHANNEL_ID: [7, 7, 8]})
    assert panels.rows(frame(), RANKER, videos)["channels"].to_list() == [1, 2, None, 1, 1, 1]


def test_a_viewer_with_two_arms_is_found_by_the_panel(tmp_path):
    log = SqliteEventLog(tmp_path / "events.db")
    log.append(ev.to_table([*LOG, shown(9, 2, "ranker:control", 1), shown(9, 2, "ranker:treatment", 2)]))
    panel = panels.from_space(Space(tmp_path), RANKER)
    assert (panel.mixed, panel.counts.tolist()) == (1, [1, 1])
    assert panel.column("watch_s").sum() == 42.5


def test_what_chance_filled_knows_uploads_of_the_log(tmp_path):
    upload = event(ev.Upload, 0, 1, 1, video_id=3)
    SqliteEventLog(tmp_path / "events.db").append(ev.to_table([upload, *LOG]))
    found = {one.arm: one for one in panels.explored(Space(tmp_path))}
    assert (found["other:x+ranker:treatment"].slots, found["other:x+ranker:treatment"].new_others) == (3, pytest.approx(1 / 3))
    assert (found["control"].pages, found["control"].share) == (3, 0.0)


def test_nobody_exposed_is_said(tmp_path):
    with pytest.raises(BadInput, match="no impression in the log carries an arm of 'nothing'"):
        panels.rows(frame(), dataclasses.replace(RANKER, name="nothing"))
    with pytest.raises(BadInput, match="has no log yet"):
        panels.from_space(Space(tmp_path), RANKER)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_of_rows(tmp_path, suffix):
    days = ["2026-01-04", "2026-01-05", "2026-01-05", "2026-01-06"]
    table = pl.DataFrame(
        {"viewer_id": [1, 1, 2, 2], "day": days, "arm": ["", "control", "treatment", "treatment"], "clicks": [5, 1, None, 3]}
    )
    path = tmp_path / f"rows{suffix}"
    if suffix == ".csv":
        table.write_csv(path)
    else:
        table.with_columns(pl.col("day").str.to_date()).write_parquet(path)
    panel = panels.from_file(path, RANKER)
    assert panel.day_N.tolist() == [MONDAY - 1, MONDAY, MONDAY, MONDAY + 1]
    assert panel.during_N.tolist() == [False, True, True, True]
    assert panel.column("clicks").tolist() == [5, 1, 0, 3]


@pytest.mark.parametrize(
    ("column", "values", "says"),
    [
        ("day", ["monday"] * 2, "must hold dates"),
        ("day", [None, 3], "1 empty values"),
        ("arm", None, "no column 'arm'"),
        ("watch_s", ["12", "much"], "'watch_s' of .* must hold numbers, not '12'"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, column, values, says):
    table = {"viewer_id": [1, 2], "day": [3, 3], "arm": ["control", "treatment"]} | {column: values}
    pl.DataFrame({name: v for name, v in table.items() if v is not None}).write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(SchemaMismatch, match=says):
        panels.from_file(tmp_path / "rows.parquet", RANKER)


def test_from_a_log_to_a_verdict():
    """120 viewers every day for two weeks; the treatment doubles watch time."""
    random = rng.stream(0, "log")
    log = []
    for viewer in range(120):
        arm = "treatment" if viewer % 2 else "control"
        for day in range(14):
            log += [shown(viewer, day, f"ranker:{arm}", video) for video in (1, 2)]
            log += [event(ev.Click, v, viewer, day, video_id=v) for v in (1, 2) if random.random() < 0.2 * (1 + viewer % 2)]
            log += [
                event(ev.Watch, v, viewer, day, video_id=v, watch_s=10.0 * (1 + viewer % 2) + random.random()) for v in (1,)
            ]
    rows = panels.rows(pl.DataFrame(pl.from_arrow(ev.to_table(log))), RANKER)
    report = analyse(panels.panel(rows, RANKER), RANKER)
    assert report.headline.startswith("Ship 'treatment'")
