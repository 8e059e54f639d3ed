import polars as pl
import pytest

from core import columns as c
from core.errors import BadInput, TooManyBrokenRows
from data import validation
from data.dataset import Dataset


def with_events(dataset, *changes):
    return Dataset(dataset.name, dataset.events.with_columns(*changes), dataset.viewers, dataset.videos)


def failures(dataset, **arguments):
    return {(f.table, f.what): f.num_rows for f in validation.check(dataset, **arguments).failures}


def test_a_good_dataset_passes(dataset):
    report = validation.check(dataset)
    assert report.findings == ()
    assert report.require() is report
    assert report.summary() == "all checks passed"
    assert report.to_text() == "hand: 6 events, 2 viewers, 2 videos; all checks passed"


FIRST = pl.int_range(pl.len()) == 0


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        (c.KIND, "peek", "kind is a known kind"),
        (c.EVENT_ID, "b", "event_id is unique"),
        (c.EVENT_AT, 1_800_000_000_000, "received_at ≥ event_at"),
        (c.EVENT_AT, -1, "event_at is not before 1970"),
        (c.VIEWER_ID, None, "viewer_id is never empty"),
        (c.POSITION, -1, "position is not negative"),
        (c.PROPENSITY, 0.0, "propensity is in (0, 1]"),
        (c.VALUE, float("inf"), "value is finite"),
        (c.VIDEO_ID, None, "names its video"),
        (c.VIDEO_ID, 99, "video_id is in the catalogue"),
        (c.REQUEST_ID, None, "an impression names its request"),
    ],
)
def test_each_rule_catches_its_fault(dataset, column, value, what):
    dtype = dataset.events.schema[column]
    broken = with_events(dataset, pl.when(FIRST).then(pl.lit(value, dtype=dtype)).otherwise(pl.col(column)).alias(column))
    assert ("events", what) in failures(broken)
    with pytest.raises(BadInput, match="the dataset is not usable"):
        validation.check(broken).require()


def test_columns_and_catalogues(dataset):
    missing = Dataset("x", dataset.events, dataset.viewers.drop(c.GENDER), dataset.videos)
    assert any("gender" in f.to_text() for f in validation.check(missing).failures)
    infinite = dataset.videos.with_columns(pl.lit([float("nan"), 1.0], dtype=pl.List(pl.Float32)).alias(c.CONTENT))
    assert failures(Dataset("x", dataset.events, dataset.viewers, infinite)) == {("videos", "content is finite"): 2}
    twice = Dataset("x", dataset.events, pl.concat([dataset.viewers] * 2), dataset.videos)
    assert ("viewers", "viewer_id is unique") in failures(twice)


def test_order_clicks_and_the_future(dataset):
    assert failures(with_events(dataset, pl.all().reverse())) == {("events", "sorted by received_at"): 4}
    silent = Dataset("x", dataset.events.filter(pl.col(c.KIND) != "click"), dataset.viewers, dataset.videos)
    assert ("events", "the log has clicks") in failures(silent)
    assert failures(dataset, now=0) == {("events", "received before tomorrow"): 6}
    assert failures(dataset, now=dataset.end_at) == {}


def test_warnings_do_not_fail(dataset):
    orphaned = with_events(dataset, pl.lit(None, dtype=pl.Float64).alias(c.PROPENSITY))
    orphaned = Dataset("x", orphaned.events.filter(pl.col(c.EVENT_ID) != "a"), dataset.viewers[:1], dataset.videos)
    report = validation.check(orphaned)
    assert report.ok
    assert {f.what: f.num_rows for f in report.findings} == {
        "viewer_id is among the viewers": 2,
        "an impression has a propensity (needed for off-policy estimates)": 2,
        "an outcome has its impression": 2,
    }
    assert report.summary() == "0 failures, 3 warnings"


def test_structure_is_checked_before_values(dataset):
    texts = with_events(dataset, pl.col(c.EVENT_AT).cast(pl.String))
    assert failures(texts) == {("events", "event_at is of type Int64"): 6}
    assert failures(Dataset("x", dataset.events.drop(c.KIND), dataset.viewers, dataset.videos)) == {
        ("events", "kind is present"): 6
    }


def test_the_example_shows_the_row(dataset):
    broken = with_events(dataset, pl.when(pl.col(c.EVENT_ID) == "d").then(-1.0).otherwise(pl.col(c.VALUE)).alias(c.VALUE))
    (found,) = validation.check(broken).failures
    assert found.to_text() == "fail  events  a watch has a length ≥ 0: 1 rows, e.g. event_id d, kind watch, value -1.0"


def test_screening_takes_out_exactly_the_broken_rows(dataset, tmp_path):
    again = pl.concat([dataset.events, dataset.events.filter(pl.col(c.EVENT_ID) == "f")])
    lost = again.with_columns(pl.when(pl.col(c.EVENT_ID) == "c").then(99).otherwise(pl.col(c.VIDEO_ID)).alias(c.VIDEO_ID))
    negative = pl.when(pl.col(c.EVENT_ID) == "d").then(-1.0).otherwise(pl.col(c.VALUE)).alias(c.VALUE)
    broken = Dataset("x", lost.with_columns(negative), dataset.viewers, dataset.videos)
    whole, quarantine = validation.screen(broken, max_broken=0.5, directory=tmp_path)
    assert whole.events[c.EVENT_ID].to_list() == ["a", "b", "e", "f"]
    assert quarantine.counts == {"a watch has a length ≥ 0": 1, "event_id is unique": 1, "video_id is in the catalogue": 1}
    assert quarantine.rows["line"].to_list() == [3, 4, 7]
    assert '"event_id":"c"' in quarantine.rows["raw"][0]
    assert len(pl.read_csv(quarantine.path)) == 3
    with pytest.raises(TooManyBrokenRows, match=r"events: 42\.9% of the rows are broken"):
        validation.screen(broken)


def test_an_event_of_a_broken_video_goes_with_it(dataset):
    videos = dataset.videos.with_columns(pl.when(FIRST).then(-1.0).otherwise(None).cast(pl.Float32).alias(c.DURATION_S))
    whole, quarantine = validation.screen(Dataset("x", dataset.events, dataset.viewers, videos), max_broken=1.0)
    assert whole.videos[c.VIDEO_ID].to_list() == [11]
    assert set(whole.events[c.VIDEO_ID]) == {11}
    assert quarantine.counts == {"video_id is in the catalogue": 5, "duration_s is finite and ≥ 0": 1}
    assert validation.screen(dataset)[0].events is dataset.events
